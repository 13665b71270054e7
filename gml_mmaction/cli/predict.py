"""Judge your own videos with a checkpoint.

Example:
    gml predict suspect.mp4 --checkpoint best_video_auc_iter_N.pth

Prints a line a video and writes, for each, a folder with prediction.json,
timeline.png, moment.jpg and overlay.mp4; of several videos, or a folder, also
summary.csv and summary.html, a row a video. The exit code is 1 if a video got
no score. The same command again goes on where it was stopped: what is finished
is not done again, unless the detector, the options or the video have changed.

    gml predict videos/ --checkpoint best.pth --clips 8 --workers 4
"""

import argparse
from pathlib import Path

from gml_mmaction.apis import ForgeryInferencer
from gml_mmaction.apis.inferencer import FOLDER_CLIPS
from gml_mmaction.apis.inputs import find_inputs
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import say
from gml_mmaction.stack import require
from gml_mmaction.visualization.timeline import unlike_lines, verdict_line

from .common import add_import_option, import_modules
from .numbers import whole


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
        '--checkpoint',
        required=True,
        help='checkpoint of gml train, or ONNX file of gml export',
    )
    parser.add_argument(
        '--out', default='predictions', help='folder to write [%(default)s]'
    )
    parser.add_argument(
        '--device', help='cpu, cuda:1, ... [the best there is]'
    )
    parser.add_argument(
        '--batch-size',
        type=whole(1),
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
        '--relative-heat',
        action='store_true',
        help="draw heat by the video's own range, not by that of genuine "
        'validation videos',
    )
    parser.add_argument(
        '--even-if-unlike',
        action='store_true',
        help='give a verdict on a video, too, that is unlike the training '
        'data (frame rate, size of the face, compression, brightness, '
        'sharpness)',
    )
    parser.add_argument(
        '--clips',
        type=whole(0),
        metavar='N',
        help='score N moments spread over each video, 0: all of it [all of a '
        f'video that is named, {FOLDER_CLIPS} of each in a folder]',
    )
    parser.add_argument(
        '--workers', type=whole(1), default=1, help='processes [%(default)s]'
    )
    parser.add_argument(
        '--cluster',
        metavar='ADDRESS',
        help="of a Dask cluster's scheduler, whose workers do the work",
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
        args.checkpoint,
        args.device,
        args.threshold,
        args.heat,
        args.clips,
        even_if_unlike=args.even_if_unlike,
        relative_heat=args.relative_heat,
    )
    found = find_inputs(args.videos)
    say(*found.unread)
    if inferencer.detector['origin']:
        say(f'Trained on {inferencer.detector["origin"]}.')
    with hold(args.out, 'prediction'):
        for analysis, _ in inferencer.iterate(
            found,
            args.batch_size,
            args.out,
            overlay=not args.no_overlay,
            show_progress=not args.quiet,
            skip_finished=True,
            workers=args.workers,
            cluster=args.cluster,
            modules=args.modules,
        ):
            prediction = analysis.prediction
            missing += prediction.score is None
            notes = ''.join(
                f' [{note}]'
                for note in (*unlike_lines(prediction), *prediction.notes)
            )
            say(f'{prediction.input}: {verdict_line(prediction)}{notes}')
    say('', *(f'- {line}' for line in inferencer.detector['words']))
    say(f'- written to {Path(args.out)}')
    if found.summarised:
        say(f'- all in one table: {Path(args.out, "summary.html")}')
    return int(missing > 0)
