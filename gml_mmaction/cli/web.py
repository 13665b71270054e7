"""Serve a web page on this machine: drop a video, see what a detector says.

Example:
    gml web work_dirs/demo/run/best_video_auc_iter_300.pth --open

The page shows the verdict, the scores over time and, of each moment, frame,
heat map and optical flow. Only this machine can reach it unless --host says
otherwise. Uploaded files are removed when their visitor leaves.
"""

import argparse

from gml_mmaction.apis import ForgeryInferencer
from gml_mmaction.stack import require
from gml_mmaction.web.sessions import Limits

from .common import add_import_option, import_modules
from .numbers import whole


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    usual = Limits()
    parser = argparse.ArgumentParser(
        description='Serve a web page on this machine.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('checkpoint', help='checkpoint of gml train')
    add('--host', default='127.0.0.1', help='address to listen on')
    add(
        '--port',
        type=whole(0, 65535),
        default=7860,
        help='port to listen on; 0: any that is free',
    )
    add(
        '--max-mb',
        type=_positive,
        default=usual.megabytes,
        help='largest upload, in 10^6 bytes',
    )
    add(
        '--max-minutes',
        type=_positive,
        default=usual.minutes,
        help='longest video',
    )
    add(
        '--keep-minutes',
        type=_positive,
        default=usual.keep_minutes,
        help='minutes without use after which files are removed',
    )
    add(
        '--max-uploads',
        type=whole(1),
        default=usual.uploads,
        help='videos that may come in or wait for their analysis at once',
    )
    add(
        '--max-wait',
        type=_positive,
        default=usual.wait_seconds,
        metavar='SECONDS',
        help='end a connection that keeps the server waiting for so long',
    )
    add(
        '--clips',
        type=whole(0),
        metavar='N',
        help='score N moments spread over each video [all of it]',
    )
    add(
        '--even-if-unlike',
        action='store_true',
        help='give a verdict on videos that are unlike the training data, too',
    )
    add(
        '--relative-heat',
        action='store_true',
        help="draw heat by each video's own range",
    )
    add('--device', help='such as cuda:1; default: the best there is')
    add('--open', action='store_true', help='open the page in a browser')
    add_import_option(parser)
    return parser.parse_args(argv)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return number


def main(argv: list[str] | None = None) -> None:
    """Serve until interrupted."""
    args = parse_args(argv)
    import_modules(args)
    require('nicegui')
    require('gml_mmaction.web.server').serve(
        ForgeryInferencer(
            args.checkpoint,
            args.device,
            clips=args.clips,
            even_if_unlike=args.even_if_unlike,
            relative_heat=args.relative_heat,
        ),
        host=args.host,
        port=args.port,
        limits=Limits(
            args.max_mb,
            args.max_minutes,
            args.keep_minutes,
            args.max_uploads,
            args.max_wait,
        ),
        browser=args.open,
    )
