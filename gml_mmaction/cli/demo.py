r"""All steps in one command: videos, faces, training, testing, scores.

Makes a miniature FaceForensics++ (gml demo-data), finds and crops its faces
(gml prepare), trains a small GML (gml train), tests it on people it never saw
(gml test) and prints a short table. Each command is shown before it runs.

Usage::

    gml demo
    gml demo --seed 1 --work-dir work_dirs/demo-1
    gml demo --work-dir work_dirs/people --videos FOLDER \
        --people FOLDER/people.csv --test-person p4

A work directory holds one demo: its videos and crops are used again, what was
trained there before is removed.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gml_mmaction.errors import GMLError
from gml_mmaction.io.files import read_json, write_json
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import say
from gml_mmaction.stack import installed_versions

from .common import CONFIGS, add_import_option, import_modules, imports_of
from .numbers import SEED, whole

CONFIG = CONFIGS / 'gml_xception-small_demo.py'


class StageError(GMLError):
    """A stage of the demo that failed, or left nothing to go on with."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='From made-up videos to a tested detector.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--work-dir', default='work_dirs/demo', help='folder to write to'
    )
    parser.add_argument(
        '--seed',
        type=SEED,
        default=0,
        help='random seed of the videos and the training',
    )
    parser.add_argument(
        '--config', default=str(CONFIG), help='config to train'
    )
    parser.add_argument(
        '--iters', type=whole(1), help="iterations, instead of the config's"
    )
    parser.add_argument(
        '--workers', type=whole(1), default=2, help='processes'
    )
    parser.add_argument(
        '--videos',
        help='folder of genuine videos to use instead of the portraits',
    )
    parser.add_argument(
        '--people', help='with --videos: CSV file with the columns file,person'
    )
    parser.add_argument(
        '--test-person',
        help='with --videos: the person who is seen in testing only',
    )
    add_import_option(parser)
    return parser.parse_args(argv)


def run_tool(name: str, *arguments: object) -> float:
    """Run another command, show it, return its seconds."""
    command = [name, *map(str, arguments)]
    say('', f'$ gml {shlex.join(command)}')
    start = time.perf_counter()
    code = subprocess.run(
        [sys.executable, '-m', 'gml_mmaction', *command], check=False
    ).returncode
    if code:
        raise StageError(
            f'gml {name} failed with exit code {code}. '
            'Remedy: its own message is above'
        )
    return time.perf_counter() - start


def make_data(
    root: Path, *options: object, workers: int = 2, stride: int = 2
) -> dict:
    """Make videos in ``root/videos`` and crops in ``root/crops``.

    Args:
        root: Folder of both.
        *options: Of ``gml demo-data``.
        workers: Processes.
        stride: From one saved frame to the next.

    Returns:
        Seconds of both stages.
    """
    return dict(
        videos=run_tool(
            'demo-data', root / 'videos', '--workers', workers, *options
        ),
        crops=run_tool(
            'prepare',
            *('ffpp', root / 'videos', root / 'crops'),
            *('--size', 64, '--stride', stride, '--workers', workers),
        ),
    )


def train_and_test(
    config: str,
    crops: Path,
    work_dir: Path,
    seed: int,
    *options: str,
    targets: Mapping[str, Path] | None = None,
    untrained: int = 0,
    imports: Sequence[str] = (),
) -> tuple[dict, dict]:
    """Train, then test the checkpoint that validation found best.

    ``work_dir`` is emptied first.

    Args:
        config: Config file of a detector for the demo's crops.
        crops: What ``gml prepare`` wrote.
        work_dir: Folder of logs and checkpoints.
        seed: Of the training.
        *options: More ``KEY=VALUE`` for the config.
        targets: Crops by name: the test is on each of them, not on ``crops``.
        untrained: Networks of random weights that take these tests, too.
        imports: Options that import networks of one's own.

    Returns:
        The test metrics and the seconds of both stages. With targets, those
        of each by its name; theirs have ``acc_val``, the accuracy at the
        threshold of the validation, and of networks of random weights
        ``'untrained'``.
    """
    common = [*imports, '--work-dir', work_dir, '--data', crops]
    if options:
        common += ['--cfg-options', *options]
    shutil.rmtree(work_dir, ignore_errors=True)
    seconds = dict(train=run_tool('train', config, '--seed', seed, *common))
    best = best_checkpoint(work_dir)
    if not targets:
        seconds['test'] = run_tool('test', config, best, *common)
        return read_json(work_dir / 'test_metrics.json'), seconds
    tests: list[object] = ['--target']
    tests += [f'{name}={at}' for name, at in targets.items()]
    tests += ['--untrained', untrained] if untrained else []
    seconds['test'] = run_tool('test', config, best, *tests, *common)
    rows = read_json(work_dir / 'cross_table.json')['targets']
    return {
        row['name']: {
            **row['metrics'],
            'untrained': row.get('untrained') or {},
        }
        for row in rows
    }, seconds


def best_checkpoint(work_dir: Path) -> Path:
    """The checkpoint that validation called best; a run keeps one."""
    found = list(work_dir.glob('best_video_auc_iter_*.pth'))
    if not found:
        raise StageError(
            f'{work_dir}: no best checkpoint: the training ended before its '
            'first validation, or the file was removed. Remedy: give more '
            '--iters, or remove the folder and begin anew'
        )
    return found[0]


def draw_videos(videos: Path, out: Path) -> None:
    """Draw strips of a few real and fake videos."""
    from gml_mmaction.sources.ffpp import list_videos
    from gml_mmaction.visualization.contact_sheet import contact_sheet

    contact_sheet(list_videos(videos), out)


def main(argv: list[str] | None = None) -> dict:
    """Run the demo; returns what it writes to ``summary.json``."""
    args = parse_args(argv)
    import_modules(args)
    with hold(args.work_dir, 'demo'):
        return run_demo(args, Path(args.work_dir))


def run_demo(args: argparse.Namespace, root: Path) -> dict:
    """Make the data, train, test and sum up."""
    source = ['--seed', args.seed]
    for name in ('videos', 'people', 'test_person'):
        if getattr(args, name) is not None:
            source += [f'--{name.replace("_", "-")}', getattr(args, name)]
    seconds = make_data(root, *source, workers=args.workers)
    sheet = root / 'contact_sheet.png'
    draw_videos(root / 'videos', sheet)
    options = [f'train_cfg.max_iters={args.iters}'] if args.iters else []
    metrics, trained = train_and_test(
        args.config,
        root / 'crops',
        root / 'run',
        args.seed,
        *options,
        imports=imports_of(args),
    )
    summary = dict(
        metrics,
        seed=args.seed,
        seconds={k: round(v, 1) for k, v in {**seconds, **trained}.items()},
        versions=installed_versions(),
    )
    write_json(root / 'summary.json', summary)
    print_summary(metrics, summary['seconds'], root)
    return summary


def print_summary(metrics: dict, seconds: dict, root: Path) -> None:
    """Print the short table and where to look further."""
    say('', f'{"people never seen":<20}{"AUC":>8}{"ACC":>8}{"EER":>8}')
    for level in ('clip', 'video'):
        cells = (metrics[f'{level}/{name}'] for name in ('auc', 'acc', 'eer'))
        texts = (f'{"-" if v is None else format(v, ".3f"):>8}' for v in cells)
        say(f'{level:<20}' + ''.join(texts))
    times = ', '.join(
        f'{name} {value:.0f} s' for name, value in seconds.items()
    )
    run = root / 'run'
    log = min(run.glob('*/*.log'))  # the first is that of the training
    say('', f'seconds        {times}')
    say(f'log            {log}')
    say(f'curves         {run / "curves.png"}')
    say(f'checkpoint     {best_checkpoint(run)}')
    say(f'contact sheet  {root / "contact_sheet.png"}')
    say(f'summary        {root / "summary.json"}')
