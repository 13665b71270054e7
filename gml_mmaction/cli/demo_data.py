"""Make a miniature FaceForensics++ of talking heads and their forgeries.

Usage::

    gml demo-data data/demo
    gml demo-data data/demo --kind consistency --seed 1
    gml demo-data data/people --videos FOLDER --people CSV

Killed or stopped, the same command goes on where it was.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial

from tqdm import tqdm

from gml_mmaction.io.text import say
from gml_mmaction.synthetic.demo import make_demo
from gml_mmaction.synthetic.kinds import KINDS
from gml_mmaction.synthetic.shots import Settings

from .numbers import SEED, whole


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see ``--help``."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('root', help='folder to write to')
    parser.add_argument(
        '--kind',
        choices=KINDS,
        default='jitter',
        help='what shows a fake: single frames (appearance), motion '
        '(jitter), change of motion (consistency), three frames in their '
        'order (triplet)',
    )
    parser.add_argument('--seed', type=SEED, default=0)
    parser.add_argument(
        '--num-train',
        type=int,
        default=48,
        help='training videos, a multiple of 4',
    )
    parser.add_argument('--num-val', type=int, default=16)
    parser.add_argument('--num-test', type=int, default=24)
    parser.add_argument(
        '--frames', type=int, default=80, help='frames of each video'
    )
    parser.add_argument(
        '--amplitude',
        type=float,
        default=Settings.amplitude,
        help='how far the inner face moves, in widths of the face',
    )
    parser.add_argument(
        '--step',
        type=float,
        default=Settings.step,
        help='how fast it moves, in radians a frame',
    )
    parser.add_argument(
        '--noise',
        type=float,
        default=Settings.noise,
        help='noise of the camera, in grey levels',
    )
    parser.add_argument(
        '--videos',
        help='folder of genuine videos to use instead of the portraits',
    )
    parser.add_argument(
        '--people',
        help='CSV file with the columns file,person (default: '
        'VIDEOS/people.csv)',
    )
    parser.add_argument(
        '--test-person', help='person seen in testing only (default: the last)'
    )
    parser.add_argument(
        '--smooth-real',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='re-render genuine faces as well, with smooth motion; without, '
        'traces of the renderer show in single frames',
    )
    parser.add_argument(
        '--workers', type=whole(1), default=2, help='videos to make at a time'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the set and say what it holds."""
    args = vars(parse_args(argv))
    start = time.perf_counter()
    args['progress'] = partial(tqdm, unit='video')
    shots = make_demo(args.pop('root'), args.pop('kind'), **args)
    for split in ('train', 'val', 'test'):
        mine = [shot for shot in shots if shot.split == split]
        people = ', '.join(sorted({shot.person for shot in mine}))
        say(f'{split}: {len(mine)} real, {len(mine)} fake ({people})')
    say(f'{time.perf_counter() - start:.0f} s')
