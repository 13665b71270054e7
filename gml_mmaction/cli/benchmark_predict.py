"""What predicting costs a minute of video, part by part.

CPU seconds, of which so many go into decoding, searching for faces, the
network and writing; and the most memory. Videos are made in the sizes asked
for: a face that moves before a wall, with the noise of a camera. Each
measurement is a process of its own; sizes, options and, if there are several,
versions of the package run in turn, round by round.

Usage::

    gml benchmark-predict
    gml benchmark-predict --sizes 1920x1080 --clips 0 8 --networks small
    gml benchmark-predict talk.mp4 --versions . ../other --rounds 3

Networks are configs, or checkpoints; configs get random weights, which cost
the same. A version is the folder in which its ``gml_mmaction`` is; begin with
--clips 0, as an older one may score all clips alone. Ratios are to the first
row of a video.
"""

import argparse
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import gml_mmaction
from gml_mmaction.apis.initial import write_initial
from gml_mmaction.apis.speed import PARTS, measure
from gml_mmaction.engine.config_check import read_settings
from gml_mmaction.errors import SettingError
from gml_mmaction.host.configs import find_config
from gml_mmaction.io.files import write_json
from gml_mmaction.io.text import markdown_table, say
from gml_mmaction.video.writer import write_h264

from .benchmark_data import CRF, FPS, draw_frames
from .common import add_import_option, import_modules
from .numbers import whole

HERE = Path(gml_mmaction.__file__).parents[1]
SIZES = ['256x256', '512x512', '1280x720', '1920x1080']
NETWORKS = ['gml_xception-small_demo', 'gml_xception_ffpp']


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('videos', nargs='*', type=Path, help='instead of some that are made')
    add('--sizes', nargs='+', default=SIZES, metavar='WxH', type=_size)
    add('--seconds', type=float, default=30, help='of a video that is made')
    add('--networks', nargs='+', default=NETWORKS, metavar='CONFIG')
    add('--clips', nargs='+', type=whole(0), default=[0, 8], help='0: all')
    add('--overlay', action='store_true', help='write overlay videos, too')
    add(
        '--versions',
        nargs='+',
        type=Path,
        default=[HERE],
        metavar='FOLDER',
        help='of the package',
    )
    add('--rounds', type=whole(1), default=3)
    add('--json', type=Path, help='file to write the numbers to')
    add_import_option(parser)
    return parser.parse_args(argv)


def _size(text: str) -> str:
    if not re.fullmatch(r'[1-9]\d{1,3}x[1-9]\d{1,3}', text):
        raise argparse.ArgumentTypeError(f'{text}; expected e.g. 640x480')
    return text


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Print the table; returns what ``--json`` writes."""
    args = parse_args(argv)
    import_modules(args)
    with tempfile.TemporaryDirectory() as folder:
        videos = args.videos or make_videos(
            Path(folder), args.sizes, args.seconds
        )
        networks = [checkpoint(name, Path(folder)) for name in args.networks]
        jobs = [
            dict(
                video=str(video.absolute()),
                checkpoint=str(network.absolute()),
                clips=clips,
                overlay=args.overlay,
                modules=[*map(from_anywhere, args.modules)],
            )
            for network in networks
            for video in videos
            for clips in args.clips
        ]
        found = in_turn(jobs, args.versions, args.rounds)
    result = dict(rows=summarise(found), rounds=args.rounds)
    say(*format_rows(result['rows']))
    if args.json:
        write_json(args.json, result)
    return result


def from_anywhere(module: str) -> str:
    """What ``--import`` names, for a process in another folder."""
    is_file = module.endswith('.py')
    return str(Path(module).absolute()) if is_file else module


def make_videos(
    folder: Path, sizes: Sequence[str], seconds: float
) -> list[Path]:
    """Write a video of each size."""
    paths = []
    for size in sizes:
        width, height = map(int, size.split('x'))
        paths.append(folder / f'{size}.mp4')
        frames = _resized(round(FPS * seconds), width, height)
        write_h264(str(paths[-1]), frames, fps=FPS, crf=CRF)
    return paths


def _resized(count: int, width: int, height: int) -> Iterator[np.ndarray]:
    """The benchmark's usual frames, cut to a shape and resized."""
    for frame in draw_frames(0, count):
        rows, columns = frame.shape[:2]
        wide = min(columns, rows * width // height)
        high = min(rows, columns * height // width)
        left, top = (columns - wide) // 2, (rows - high) // 2
        part = frame[top : top + high, left : left + wide]
        yield cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)


def checkpoint(name: str, folder: Path) -> Path:
    """A checkpoint as it is; of a config, one of random weights."""
    path = find_config(name)
    if path.suffix in ('.pth', '.onnx'):
        return path
    out = folder / f'{path.stem}.pth'
    write_initial(read_settings(path), out)
    return out


def in_turn(
    jobs: Sequence[dict[str, Any]], versions: Sequence[Path], rounds: int
) -> list[dict[str, Any]]:
    """Measure each job with each version, in every round."""
    found = []
    whole: set[Path] = set()  # versions that score all clips alone
    for _ in range(rounds):
        for job in jobs:
            for version in versions:
                if job['clips'] and version in whole:
                    continue
                one = _measure(version, job)
                if not one['supported']:
                    whole.add(version)
                found.append({**job, 'version': str(version), **one})
    return found


def _measure(version: Path, job: dict[str, Any]) -> dict[str, Any]:
    try:
        return measure(version.absolute(), job)
    except (OSError, RuntimeError) as error:
        raise SettingError(
            f'{version}: cannot predict {job["video"]} ({error}). Remedy: a '
            'folder with a gml_mmaction in it'
        ) from None


def summarise(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds, a minute of video.

    Ratios are to the first version with the first option, round by round.
    """
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for one in found:
        key = (one['checkpoint'], one['video'], one['clips'], one['version'])
        groups.setdefault(key, []).append(one)
    rows = []
    first: dict[tuple, list[dict[str, Any]]] = {}
    for (network, video, clips, version), group in groups.items():
        base = first.setdefault((network, video), group)
        minutes = (group[0]['seconds'] or 60) / 60
        ratios = [a['total'] / b['total'] for a, b in zip(group, base)]
        rows.append(
            dict(
                detector=Path(network).stem,
                video=Path(video).stem,
                clips=clips if group[0]['supported'] else 0,
                version=version,
                ratio=statistics.median(ratios),
                **{
                    name: statistics.median(one[name] for one in group)
                    / minutes
                    for name in ('total', *PARTS)
                },
                peak_mb=statistics.median(one['peak_mb'] for one in group),
            )
        )
    return rows


def format_rows(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lay the medians out as a table."""
    head = ['detector', 'video', 'clips', 'version', 'CPU s a minute', 'ratio']
    table = [[*head, *PARTS, 'peak MB']]
    for row in rows:
        table.append(
            [
                row['detector'],
                row['video'],
                str(row['clips'] or 'all'),
                Path(row['version']).absolute().name,
                f'{row["total"]:.1f}',
                f'{row["ratio"]:.2f}',
                *(f'{row[part]:.1f}' for part in PARTS),
                f'{row["peak_mb"]:.0f}',
            ]
        )
    return markdown_table(table)
