"""Turn a data set into face crops, annotations and a report.

Usage::

    gml prepare ffpp ROOT OUT --workers 8
    gml prepare dfo ROOT OUT --ffpp FFPP --store boxes
    gml prepare cdf ROOT OUT --cluster tcp://10.0.0.1:8786

Killed or stopped, the same command goes on where it was. The last table adds
up to the input; OUT/report.json names every video without crops, and why.
gml check compares a tree with the published numbers beforehand.
"""

import argparse
import inspect
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gml_mmaction.faces import CropOptions
from gml_mmaction.faces.landmarks import LANDMARKS
from gml_mmaction.io.text import say
from gml_mmaction.prepared.manifest import Report
from gml_mmaction.prepared.prepare import format_report, prepare_videos
from gml_mmaction.sources import SPLITS, get_source
from gml_mmaction.sources.options import (
    chosen_options,
    list_with_notes,
    parse_with_source,
)

CROP_OPTIONS = (
    'store',
    'image',
    'tracks',
    'size',
    'stride',
    'rate',
    'quality',
    'min_frames',
    'landmarks',
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('source', help='name of the data set')
    add('root', type=Path, help="the data set's folder")
    add('out', type=Path, help='folder to write')
    add(
        '--store',
        choices=('crops', 'boxes'),
        default=CropOptions.store,
        help='save crops, or only the boxes at which to cut them out of the '
        'videos',
    )
    add('--image', choices=('jpg', 'png'), default=CropOptions.image)
    add(
        '--tracks',
        choices=('one', 'all'),
        default=CropOptions.tracks,
        help='follow one face in each video, or all',
    )
    add(
        '--size',
        type=int,
        default=CropOptions.size,
        help='side of a crop in pixels',
    )
    add(
        '--stride',
        type=int,
        default=CropOptions.stride,
        help='save every STRIDE-th frame',
    )
    add(
        '--rate',
        type=float,
        metavar='FPS',
        help='save so many frames a second, by time, instead of every '
        'STRIDE-th frame',
    )
    add(
        '--quality',
        type=int,
        default=CropOptions.quality,
        help='JPEG quality of the crops',
    )
    add(
        '--min-frames',
        type=int,
        default=CropOptions.min_frames,
        help='least number of saved frames of a track',
    )
    add(
        '--landmarks',
        choices=LANDMARKS,
        default=CropOptions.landmarks,
        help="save so many of the face's points with each crop, for "
        'pseudo-fakes (an extra; docs/genuine.md has the licences)',
    )
    add(
        '--max-frames',
        nargs='+',
        type=_limit,
        default=[],
        metavar='SPLIT=N',
        help='use the first N frames, e.g. train=270 val=110 test=110',
    )
    add('--workers', type=int, default=os.cpu_count(), help='processes')
    add(
        '--cluster',
        metavar='ADDRESS',
        help='address of a Dask scheduler, whose workers prepare the videos',
    )
    return parse_with_source(parser, argv)


def main(argv: list[str] | None = None) -> int:
    """Prepare a data set; return 0, 1 without any crops, 130 if stopped."""
    args = parse_args(argv)
    chosen = chosen_options(args, args.source)
    try:
        videos, notes = list_with_notes(args.source, args.root, chosen)
        say(*notes)
        report = prepare_videos(
            videos,
            args.out,
            source=args.source,
            root=args.root,
            source_options=_with_defaults(args.source, chosen),
            notes=notes,
            options=CropOptions(
                **{name: getattr(args, name) for name in CROP_OPTIONS}
            ),
            max_frames=dict(args.max_frames),
            workers=args.workers,
            cluster=args.cluster,
            progress=_progress_bar,
        )
    except KeyboardInterrupt:
        say('stopped; the same command goes on from here', file=sys.stderr)
        return 130
    _print(report, args.out)
    if not report.total.prepared:
        say(
            f'gml prepare: {args.root}: no video gave crops, as said above. '
            'Remedy: videos in which a face is seen',
            file=sys.stderr,
        )
        return 1
    return 0


def _with_defaults(source: str, chosen: dict) -> dict:
    parameters = inspect.signature(get_source(source)).parameters.values()
    defaults = {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
    }
    return {**defaults, **chosen}


def _limit(text: str) -> tuple[str, int]:
    split, _, number = text.partition('=')
    if split not in SPLITS or not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r}; expected, for instance, train=270'
        )
    return split, int(number)


def _progress_bar(
    results: Iterable[Any], *, total: int, initial: int
) -> Iterable[Any]:
    return tqdm(results, total=total, initial=initial, unit='video')


def _print(report: Report, out: Path) -> None:
    for failure in report.failures:
        say(f'{failure.video_id}: {failure.reason} ({failure.detail})')
    say(*format_report(report).split('\n'))
    say(f'annotations, manifest and report are in {out}')
