"""Count false alarms on genuine videos, by their numbers of faces and clips.

Example:
    gml test CONFIG CHECKPOINT
    gml false-alarms CHECKPOINT work_dirs/.../scores.json

A video's score is the highest of its faces', so that many faces or cuts raise
it. The table shows how often genuine videos, put together of the genuine faces
of the score file, reach the threshold by their highest score, and by the
corrected one that gml predict compares with the threshold. The file must not
be that of the validation set that the checkpoint knows.
"""

import argparse

from gml_mmaction.apis import load_detector
from gml_mmaction.errors import CheckpointError
from gml_mmaction.evaluation.false_alarms import Alarms, false_alarms
from gml_mmaction.evaluation.scores import check_scored_by, read_scores_file
from gml_mmaction.io.text import markdown_table, say

from .common import add_import_option, import_modules
from .numbers import SEED


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='False alarms on genuine videos of many faces or clips.'
    )
    parser.add_argument('checkpoint', help='checkpoint of gml train')
    parser.add_argument(
        'scores', help='score file that gml test wrote with it'
    )
    parser.add_argument(
        '--threshold', type=float, help="instead of the checkpoint's"
    )
    parser.add_argument(
        '--videos',
        type=int,
        default=1000,
        help='number of each kind [%(default)s]',
    )
    parser.add_argument('--seed', type=SEED, default=0, help='of the draws')
    add_import_option(parser)
    args = parser.parse_args(argv)
    if args.videos < 1:
        parser.error('--videos must be at least 1')
    return args


def main(argv: list[str] | None = None) -> list[Alarms]:
    """Print the table; returns its rows."""
    args = parse_args(argv)
    import_modules(args)
    detector = load_detector(args.checkpoint, 'cpu', args.threshold)
    if detector.genuine is None:
        raise CheckpointError(
            f'{args.checkpoint}: it does not know enough genuine faces of its '
            'validation to correct a score. Remedy: a checkpoint that this '
            'version validated on more genuine videos'
        )
    scores = read_scores_file(args.scores)
    facts = detector.facts
    weights = facts.get('exported_from', facts)['sha256']
    say(*check_scored_by(args.scores, scores, args.checkpoint, weights))
    rows = false_alarms(
        scores.clips,
        detector.genuine,
        detector.video_rule,
        detector.threshold.value,
        videos=args.videos,
        seed=args.seed,
    )
    table = [('faces', 'clips of each', 'highest score', 'corrected')]
    table += [
        (
            str(row.tracks),
            str(row.clips or 'all'),
            f'{row.highest:.3f}',
            f'{row.corrected:.3f}',
        )
        for row in rows
    ]
    say(*markdown_table(table))
    return rows
