"""Distort video files as DeeperForensics-1.0 does, with its kind of meta file.

Usage::

    gml distort VIDEOS OUT --type GNC --level 3
    gml distort VIDEOS OUT --variant mix_3 --seed 1
    gml distort REALS OUT --meta \
manipulated_videos_end_to_end_level_5_meta.txt

VIDEOS are files, or folders that are searched to the bottom; sub-folders and
names are kept, sound is not. OUT/meta.txt says what was done to each. Killed
or stopped, the same command goes on where it was. The last table adds up to
the input.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gml_mmaction.errors import GMLError
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import say
from gml_mmaction.sources.origin import copy_origins, origin_words
from gml_mmaction.video.distort_files import (
    CRF,
    DistortJob,
    Outcome,
    distort_videos,
    find_in_meta,
    find_videos,
)
from gml_mmaction.video.distortions import (
    LEVELS,
    VARIANTS,
    Distortion,
    random_distortions,
    read_meta,
    seed_of,
    write_meta,
)
from gml_mmaction.video.folders import noted

from .numbers import SEED, whole


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('videos', nargs='+', type=Path, help='files and folders to read')
    add('out', type=Path, help='folder to write')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        '--type', choices=LEVELS, help='one type of distortion, with --level'
    )
    what.add_argument(
        '--variant',
        choices=VARIANTS,
        help='a variant of DeeperForensics, drawn by --seed',
    )
    what.add_argument(
        '--meta', type=Path, help='distort as this meta file says'
    )
    add(
        '--level',
        type=int,
        choices=range(1, 6),
        help='1 to 5, 5 is the strongest',
    )
    add(
        '--seed',
        type=SEED,
        default=0,
        help='random seed of noise, blocks and variants',
    )
    add(
        '--crf',
        type=int,
        choices=range(52),
        metavar='0..51',
        default=CRF,
        help='quality of the new files (x264), 0 is lossless; after a last '
        'VC its own quality is used',
    )
    add('--workers', type=whole(1), default=os.cpu_count(), help='processes')
    args = parser.parse_args(argv)
    if (args.type is None) != (args.level is None):
        parser.error('--type and --level go together')
    return args


def main(argv: list[str] | None = None) -> int:
    """Distort videos; return 0, 1 if nothing came of it, 130 if stopped."""
    args = parse_args(argv)
    try:
        with noted(Path()) as notes, hold(args.out, 'distortion'):
            _tell_origin(args)
            outcomes = _distort(args)
            _write_meta(args.out, outcomes)
    except KeyboardInterrupt:
        say('stopped; the same command goes on from here', file=sys.stderr)
        return 130
    say(*notes)
    _print(outcomes, args.out)
    return 0 if any(outcome.has_file for outcome in outcomes) else 1


def _tell_origin(args: argparse.Namespace) -> None:
    for path in args.videos:
        words = origin_words(path)
        if words:
            say(f'{path}: {words}')
    copy_origins(args.videos, args.out)


def _distort(args: argparse.Namespace) -> list[Outcome]:
    choose = _chooser(args)
    jobs, outcomes = [], []
    for name, source in find_videos(args.videos, args.out).items():
        job = DistortJob(
            source, args.out / f'{name}.mp4', name, (), args.seed, args.crf
        )
        try:
            jobs.append(job._replace(distortions=choose(name)))
        except GMLError as error:
            outcomes.append(Outcome(job, 'not distorted', str(error)))
    results = distort_videos(jobs, workers=args.workers)
    return outcomes + list(tqdm(results, total=len(jobs), unit='video'))


def _chooser(
    args: argparse.Namespace,
) -> Callable[[str], tuple[Distortion, ...]]:
    """Return the function from a video's name to its distortions."""
    if args.meta:
        meta = read_meta(args.meta)
        return lambda name: find_in_meta(meta, name)
    if args.variant:

        def draw(name: str) -> tuple[Distortion, ...]:
            seed = seed_of(f'{args.variant} {name}', args.seed)
            return random_distortions(
                args.variant, np.random.default_rng(seed)
            )

        return draw
    return lambda name: ((args.type, args.level),)


def _write_meta(out: Path, outcomes: list[Outcome]) -> None:
    """Add this run's videos to the meta file, in order of their names."""
    path = out / 'meta.txt'
    meta = read_meta(path) if path.is_file() else {}
    meta.update(
        (f'{outcome.job.name}.mp4', outcome.job.distortions)
        for outcome in outcomes
        if outcome.has_file
    )
    if meta:
        write_meta(path, dict(sorted(meta.items())))


def _print(outcomes: list[Outcome], out: Path) -> None:
    for outcome in sorted(outcomes, key=lambda outcome: outcome.job.name):
        if outcome.detail:
            say(f'{outcome.job.source}: {outcome.reason} ({outcome.detail})')
    counts = Counter(outcome.reason for outcome in outcomes)
    for reason, count in counts.most_common():
        say(f'{reason:<15}{count:>8}')
    say(f'{"total":<15}{len(outcomes):>8}')
    if any(outcome.has_file for outcome in outcomes):
        say(f'videos and meta.txt are in {out}')
