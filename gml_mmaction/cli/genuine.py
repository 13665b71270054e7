r"""From a folder of genuine videos to a detector, in one command.

Cuts out the faces and divides the people (gml prepare), shows pseudo-fakes of
each family (gml fakes), trains on them (gml train) and tests the best
checkpoint, and untrained networks, on pseudo-fakes of people who were not
trained on (gml test). Each command is shown before it runs. OUT gets
detector.pth with its threshold, fakes.png, report.md and report.json.

Usage::

    gml genuine VIDEOS --out work_dirs/genuine
    gml genuine VIDEOS --out work_dirs/genuine --landmarks 5 \
        --config genuine/gml_xception_genuine

VIDEOS/<person>/<name>.mp4, VIDEOS/real/<person>/<name>.mp4, or people divided
already, VIDEOS/train/real and VIDEOS/val/real. Killed or stopped, the same
command goes on where it was.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from gml_mmaction.apis import load_detector
from gml_mmaction.apis.genuine_report import describe_genuine, format_genuine
from gml_mmaction.engine import newest_checkpoint
from gml_mmaction.engine.config_check import check_config, read_settings
from gml_mmaction.engine.provenance import training_of
from gml_mmaction.engine.settings import crop_side, network_of
from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.evaluation.scores import ScoreFileError, read_scores_file
from gml_mmaction.faces.landmarks import LANDMARKS
from gml_mmaction.io.files import (
    FileError,
    file_sha256,
    read_json,
    write_bytes,
    write_json,
    write_text,
)
from gml_mmaction.io.lock import hold
from gml_mmaction.io.records import UNSET
from gml_mmaction.io.rules import NUMBER
from gml_mmaction.io.text import say
from gml_mmaction.sources import LABELS, SPLITS
from gml_mmaction.sources.folder import list_videos
from gml_mmaction.video.folders import video_files

from .common import (
    CONFIGS,
    add_import_option,
    config_file,
    import_modules,
    imports_of,
)
from .demo import best_checkpoint, run_tool
from .fakes import read_dataset
from .numbers import SEED, whole

CONFIG = CONFIGS / 'genuine/gml_xception_genuine.py'
SMALL = CONFIGS / 'genuine/gml_xception-small_genuine.py'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('videos', type=Path, help='folder of genuine videos')
    add('--out', type=Path, required=True, help='folder to write to')
    add(
        '--config',
        type=config_file,
        default=CONFIG if torch.cuda.is_available() else SMALL,
        help='what to train; one of configs/genuine, or of your own on them',
    )
    add(
        '--val-fraction',
        type=float,
        default=0.2,
        help='share of the people who are not trained on',
    )
    add(
        '--landmarks',
        choices=LANDMARKS,
        default='none',
        help='points of the face that pseudo-fakes follow, an extra',
    )
    add('--iters', type=whole(1), help="iterations, instead of the config's")
    add(
        '--weights',
        nargs='?',
        const='',
        metavar='FOLDER',
        help='start from public weights in it, or without it, from those of '
        'an installed package',
    )
    add('--seed', type=SEED, default=0, help='of the training')
    add(
        '--untrained',
        type=whole(0, 1000),
        default=5,
        help='networks of random weights that take the same test',
    )
    add('--workers', type=whole(1), default=os.cpu_count(), help='processes')
    add_import_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run all parts that are not done; returns the report."""
    args = parse_args(argv)
    import_modules(args)
    # refused before hours of preparing
    read_dataset(str(args.config), '')
    check_config(network_of(read_settings(args.config)), ['model'])
    check_genuine(args)
    with hold(args.out, 'genuine'):
        check_settings(args)
        return run_parts(args)


def check_genuine(args: argparse.Namespace) -> None:
    """Refuse videos from which there is nothing to train.

    Raises:
        DataError: There are none, or fakes beside them.
        SettingError: There are too few people to divide.
    """
    videos = args.videos
    if not videos.is_dir():
        what = 'a file' if videos.exists() else 'not there'
        raise DataError(
            f'{videos}: {what}. Remedy: a folder with a folder of genuine '
            'videos for each person'
        )
    divided = is_divided(videos)
    if not divided and video_files(videos / 'fake'):
        genuine = videos / 'real'
        remedy = f'gml genuine {genuine}'
        raise DataError(
            f'{videos}: it has videos in fake, and a detector is made of '
            'genuine ones alone. Remedy: '
            + (remedy if video_files(genuine) else 'a folder of these')
        )
    share = None if divided else args.val_fraction
    found = list_videos(videos, val_fraction=share)
    for split in ('train', 'val'):
        if not any(one.split == split and not one.label for one in found):
            raise DataError(
                f'{videos}: no video in {split}/real. Remedy: put videos of '
                'people there who are in no other split'
            )


def is_divided(videos: Path) -> bool:
    """Whether folders say who is in which split."""
    return any(
        (videos / split / label).is_dir()
        for split in SPLITS
        for label in LABELS
    )


def check_settings(args: argparse.Namespace) -> None:
    """Keep what the detector depends on; refuse to mix two of them.

    Raises:
        SettingError: The folder was begun with other settings.
    """
    names = ('config', 'val_fraction', 'landmarks', 'iters', 'weights', 'seed')
    given = {name: getattr(args, name) for name in names}
    given['config'] = str(args.config.resolve())
    given['videos'] = str(args.videos.resolve())
    path = args.out / 'settings.json'
    begun = path.is_file() and (args.out / 'crops').is_dir()
    kept = read_settings_of(path) if begun else given
    other = [name for name in given if kept.get(name) != given[name]]
    if other:
        raise SettingError(
            f'{path}: begun with another '
            f'{", ".join(name.replace("_", "-") for name in other)}. Remedy: '
            'the same as before, or another --out'
        )
    write_json(path, given)


def read_settings_of(path: Path) -> dict[str, Any]:
    """What a folder was begun with.

    Raises:
        SettingError: The file is damaged.
    """
    try:
        kept = read_json(path)
    except FileError:
        kept = None
    if not isinstance(kept, dict):
        raise SettingError(
            f'{path}: damaged, so that nobody knows what {path.parent} was '
            'begun with. Remedy: another --out; or remove it, if you are sure '
            'of your settings'
        )
    return kept


def run_parts(args: argparse.Namespace) -> dict[str, Any]:
    """Prepare, show, train, test and report."""
    crops, run = args.out / 'crops', args.out / 'run'
    own = imports_of(args)
    timed(args.out, 'prepare', *prepare_options(args, crops))
    check_videos(crops, run)
    numbers = args.out / 'fakes.json'
    if not numbers.is_file():
        shown = ('--out', args.out / 'fakes.png', '--json', numbers)
        timed(args.out, 'fakes', args.config, crops, *shown, *own)
    if not (run / 'trained').is_file():
        options = ('--resume', '--data', crops, *own, *train_options(args))
        timed(args.out, 'train', args.config, '--work-dir', run, *options)
        write_text(run / 'trained', best_checkpoint(run).name)
    best, detector = best_checkpoint(run), args.out / 'detector.pth'
    tested = args.out / 'validation'
    sha256 = file_sha256(best)
    if file_sha256(detector) != sha256:
        write_bytes(detector, best.read_bytes())
    if not is_tested(tested / 'scores.json', sha256, args.untrained):
        where = ('--validation', '--data', crops, '--work-dir', tested)
        null = ('--untrained', args.untrained, *own)
        timed(args.out, 'test', args.config, detector, *where, *null)
    return write_report(args.out, crops, detector, tested / 'scores.json')


def timed(out: Path, command: str, *arguments: object) -> None:
    """Run a command; add its seconds, if it fails too, to those before."""
    path, start = out / 'seconds.json', time.perf_counter()
    try:
        run_tool(command, *arguments)
    finally:
        known = read_seconds(path)
        seconds = known.get(command, 0) + time.perf_counter() - start
        known[command] = round(seconds, 1)
        write_json(path, known)


def read_seconds(path: Path) -> dict[str, float]:
    """Seconds of the runs before; a damaged file does not end a training."""
    try:
        known = read_json(path)
    except (FileError, OSError):
        return {}
    if isinstance(known, dict) and all(map(NUMBER.holds, known.values())):
        return known
    return {}


def prepare_options(args: argparse.Namespace, crops: Path) -> list[object]:
    """Of ``gml prepare``; who is in which split may be given by folders."""
    size = crop_side(read_settings(str(args.config)))
    options: list[object] = ['folder', args.videos, crops, '--size', size]
    options += ['--landmarks', args.landmarks, '--workers', args.workers]
    if not is_divided(args.videos):
        options += ['--val-fraction', args.val_fraction]
    return options


def train_options(args: argparse.Namespace) -> list[object]:
    """Of ``gml train``, as far as they are given."""
    options: list[object] = ['--seed', args.seed]
    if args.weights is not None:
        options += filter(None, ['--weights', args.weights])
    if args.iters:
        options += ['--cfg-options', f'train_cfg.max_iters={args.iters}']
    return options


def check_videos(crops: Path, run: Path) -> None:
    """Refuse to go on with a training on other videos.

    Raises:
        SettingError: Videos have come or gone since it began.
    """
    newest = newest_checkpoint(run)
    if newest is None:
        return
    path = str(newest)
    saved = CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')
    before = training_of(saved, path).get('manifest')
    if before != file_sha256(crops / 'manifest.json'):
        raise SettingError(
            f'{run}: trained on other videos than {crops} has now. Remedy: '
            f'another --out, or remove {run}'
        )


def is_tested(path: Path, sha256: str | None, untrained: int) -> bool:
    """Whether a file has a detector's scores, and so many untrained ones'."""
    try:
        scores = read_scores_file(path)
    except (OSError, ScoreFileError):  # tested again
        return False
    if scores.checkpoint is UNSET or scores.checkpoint.sha256 != sha256:
        return False
    found = {} if scores.untrained is UNSET else scores.untrained
    return max(map(len, found.values()), default=0) == untrained


def write_report(
    out: Path, crops: Path, checkpoint: Path, scores: Path
) -> dict[str, Any]:
    """Write ``report.md`` and ``report.json``; print the former."""
    detector = load_detector(checkpoint, 'cpu', calibrated=False)
    report = describe_genuine(detector, crops, scores)
    report['seconds'] = read_seconds(out / 'seconds.json')
    text = format_genuine(report, checkpoint)
    write_json(out / 'report.json', report)
    write_text(out / 'report.md', text)
    say('', *text.splitlines(), '', f'all of it is in {out}')
    return report
