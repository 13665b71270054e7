"""Calibrate a checkpoint on a labelled validation set (scikit-learn).

Example:
    gml test CONFIG CHECKPOINT --target val_set=data/mine
    gml calibrate CHECKPOINT work_dirs/.../scores_val_set.json

Writes CHECKPOINT's side file NAME.calibration.json, which gml predict
then uses: probabilities, and the threshold of equal error rates there. The
validation set must not hold videos that will be judged.
"""

import argparse

from gml_mmaction.apis import load_detector
from gml_mmaction.evaluation.calibration import (
    METHODS,
    Calibration,
    CalibrationError,
    calibrate,
    write_calibration,
)
from gml_mmaction.evaluation.scores import check_scored_by, read_scores_file
from gml_mmaction.io.files import file_sha256
from gml_mmaction.io.text import say

from .common import add_import_option, import_modules


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Turn scores into probabilities, by labelled videos.'
    )
    parser.add_argument('checkpoint', help='checkpoint of gml train')
    parser.add_argument(
        'scores', help='score file that gml test wrote with it'
    )
    parser.add_argument(
        '--method',
        choices=METHODS,
        default=METHODS[0],
        help='fit a sigmoid, or steps if there are some hundred videos or '
        'more [%(default)s]',
    )
    add_import_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> Calibration:
    """Calibrate; returns what the side file holds."""
    args = parse_args(argv)
    import_modules(args)
    sha256 = file_sha256(args.checkpoint)
    if sha256 is None:
        raise CalibrationError(
            f'{args.checkpoint}: no such checkpoint. Remedy: a .pth file '
            'of gml train'
        )
    scores = read_scores_file(args.scores)
    say(*check_scored_by(args.scores, scores, args.checkpoint, sha256))
    try:
        calibration = calibrate(scores, sha256, args.method)
    except CalibrationError as error:
        raise CalibrationError(f'{args.scores}: {error}') from None
    load_detector(args.checkpoint, 'cpu', calibrated=False, exported=False)
    path = write_calibration(args.checkpoint, calibration)
    say(calibration.words)
    for name, measure in (
        ('Brier score', calibration.brier),
        ('expected calibration error', calibration.expected_error),
    ):
        say(
            f'{name}: {measure.before:.4f} before, {measure.after:.4f} '
            'after calibration (cross-validated)'
        )
    say(f'threshold {calibration.threshold:.4f}; written to {path}')
    return calibration
