"""Judge your own videos with a checkpoint.

Example:
    gml predict suspect.mp4 --checkpoint best_video_auc_iter_N.pth

Prints a line a video and writes, for each, a folder with prediction.json,
timeline.png and overlay.mp4. The exit code is 1 if a video got no score.
"""

import argparse
from pathlib import Path

from gml_mmaction.apis import ForgeryInferencer
from gml_mmaction.apis.inferencer import list_unread
from gml_mmaction.io.text import say
from gml_mmaction.stack import require
from gml_mmaction.visualization.timeline import verdict_line

from .common import add_import_option, import_modules


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='A verdict on videos, as JSON, plot and overlay.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'videos',
        nargs='+',
        metavar='VIDEO',
        help='video files, folders of videos, or folders with the images of '
        'one',
    )
    parser.add_argument(
        '--checkpoint', required=True, help='checkpoint of gml train'
    )
    parser.add_argument(
        '--out', default='predictions', help='folder to write [%(default)s]'
    )
    parser.add_argument(
        '--device', help='cpu, cuda:1, ... [the best there is]'
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=4,
        help='clips in a batch [%(default)s]',
    )
    parser.add_argument(
        '--threshold',
        type=float,
        help="threshold of a video's score, instead of the checkpoint's",
    )
    parser.add_argument(
        '--heat',
        choices=['auto', 'clue', 'cam', 'none'],
        default='auto',
        help='what the overlay shows: forgery clues F* of an AD block, '
        'Grad-CAM, or nothing [clue where there is an AD block, else '
        'cam]',
    )
    parser.add_argument(
        '--no-overlay',
        action='store_true',
        help='write no overlay videos, which is faster',
    )
    parser.add_argument(
        '--quiet', action='store_true', help='show no progress bars'
    )
    add_import_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Predict; returns 1 if a video got no score, else 0."""
    args = parse_args(argv)
    import_modules(args)
    missing = 0
    if not args.no_overlay:
        require('av')
    inferencer = ForgeryInferencer(
        args.checkpoint, args.device, args.threshold, args.heat
    )
    say(*list_unread(args.videos))
    if inferencer.detector['origin']:
        say(f'Trained on {inferencer.detector["origin"]}.')
    for analysis, _ in inferencer.iterate(
        args.videos,
        args.batch_size,
        args.out,
        overlay=not args.no_overlay,
        show_progress=not args.quiet,
    ):
        prediction = analysis.prediction
        missing += prediction.score is None
        notes = ''.join(f' [{note}]' for note in prediction.notes)
        say(f'{prediction.input}: {verdict_line(prediction)}{notes}')
    say('', *(f'- {line}' for line in inferencer.detector['words']))
    say(f'- written to {Path(args.out)}')
    return int(missing > 0)
