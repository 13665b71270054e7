"""A detector as one ONNX file, or as PyTorch's .pt2.

Example:
    gml export best_video_auc_iter_N.pth detector.onnx
    gml predict video.mp4 --checkpoint detector.onnx

The file takes eight crops of a face, as they are cut out, and gives P(fake),
and the forgery clue where the network has an AD block. It carries what the
checkpoint says of itself, so that reports have the same words. It is written
only if ONNX Runtime gives PyTorch's scores.
"""

import argparse
import statistics
from pathlib import Path

from gml_mmaction.apis.export import Export, export, race
from gml_mmaction.io.text import say

from .common import add_import_option, import_modules
from .numbers import whole


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write a detector as one file for other programs.'
    )
    parser.add_argument('checkpoint', help='checkpoint of gml train')
    parser.add_argument(
        'out',
        nargs='?',
        type=Path,
        help='file to write, .onnx or .pt2 [the checkpoint, as .onnx]',
    )
    parser.add_argument(
        '--rounds',
        type=whole(0),
        default=0,
        metavar='N',
        help='then time the ONNX file and PyTorch in turn, N clips each',
    )
    add_import_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> Export:
    """Write the file; returns what was written."""
    args = parse_args(argv)
    import_modules(args)
    done = export(args.checkpoint, args.out)
    say(
        f'written to {done.path}: {done.clip_len} crops {done.size}x'
        f'{done.size} to a score{" and a heat map" if done.heat else ""}; '
        f'at most {done.difference:.0e} from PyTorch on four clips'
    )
    if args.rounds and done.path.suffix == '.onnx':
        pairs = race(args.checkpoint, done.path, args.rounds)
        theirs, ours = map(statistics.median, zip(*pairs))
        ratio = statistics.median(two / one for one, two in pairs)
        say(
            f'CPU seconds a clip, medians of {args.rounds}: PyTorch '
            f'{theirs:.4f}, ONNX Runtime {ours:.4f}, ratio {ratio:.2f}'
        )
    return done
