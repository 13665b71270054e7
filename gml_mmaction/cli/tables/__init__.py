"""Tables 1 to 3, and since the paper: train what is missing, write them.

Usage::

    gml tables
    gml tables --tables 2 --systems Xception RECCE
    gml tables --seeds 0 1 2
    gml tables --tables since
    gml tables --only-write
    gml tables --miniature

Reads the prepared data of docs/paper.md and of the README's section "Your
data": DATA/ffpp, dfo, dfo_official, dfo_sing and cdf; for "Since the paper"
also dfdc and dfd, as far as they are there. Stopped and started again, it
goes on: a training resumes at its newest checkpoint; what is done is not done
again, and what is of other settings or data is left out.
``--miniature`` makes small data of its own and takes the configs
``*-small_demo.py``, so that everything can be tried on a CPU.
"""

import argparse
import os
import sys
from pathlib import Path

from gml_mmaction.cli.common import CONFIGS
from gml_mmaction.cli.demo import run_tool
from gml_mmaction.cli.numbers import SEED, whole
from gml_mmaction.errors import DataError
from gml_mmaction.evaluation import since_the_paper as since
from gml_mmaction.evaluation.forgery_metric import ALL_LEVELS
from gml_mmaction.evaluation.paper_tables import SYSTEMS, TABLES, needed_runs
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import say
from gml_mmaction.synthetic.kinds import KINDS

from .report import SINCE, write_tables
from .runs import Run, RunError, check_weights, do_runs

__all__ = ['RunError', 'main', 'parse_args', 'plan']

MINIATURE = 'work_dirs/paper_miniature'
ALL_SYSTEMS = SYSTEMS | since.SYSTEMS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Train, test and write the paper's Tables 1 to 3, and the "
        'table of video detectors since the paper.',
    )
    add = parser.add_argument
    add('--data', type=Path, help='folder of the prepared data; data')
    add(
        '--work-dir',
        type=Path,
        help=f'folder of runs and tables; work_dirs/paper, or {MINIATURE}',
    )
    add(
        '--tables',
        nargs='+',
        type=lambda text: int(text) if text.isdecimal() else text,
        choices=[*TABLES, SINCE],
        default=list(TABLES),
        help='by default the three of the paper; since: detectors since then',
    )
    add(
        '--systems',
        nargs='+',
        metavar='SYSTEM',
        choices=ALL_SYSTEMS,
        default=list(ALL_SYSTEMS),
        help='rows wanted: ' + '; '.join(ALL_SYSTEMS),
    )
    add(
        '--seeds',
        nargs='+',
        type=SEED,
        default=[0],
        metavar='SEED',
        help='of the trainings, each system once with each',
    )
    add(
        '--untrained',
        type=whole(0, 1000),
        default=0,
        metavar='N',
        help='also test N networks of random weights of each system: what one '
        'that has learned nothing reaches on these videos',
    )
    add(
        '--level',
        choices=ALL_LEVELS,
        default='video',
        help='whose scores the tables show; all are in the JSON',
    )
    add('--jobs', type=whole(1), default=1, help='runs at a time on a CPU')
    add('--gpus', nargs='+', help='one run at a time on each, e.g. 0 1 2 3')
    add(
        '--only-write',
        action='store_true',
        help='run nothing, write the tables of what is done',
    )
    add(
        '--miniature',
        action='store_true',
        help='make miniature data and take the small configs',
    )
    add(
        '--weights',
        type=Path,
        metavar='FOLDER',
        help='start every training from the public weights of its system, '
        'which you have put into this folder',
    )
    add('--kind', choices=KINDS, default='appearance', help='of miniatures')
    add(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='for every training and test',
    )
    args = parser.parse_args(argv)
    args.work_dir = args.work_dir or Path(
        MINIATURE if args.miniature else 'work_dirs/paper'
    )
    args.seeds = list(dict.fromkeys(args.seeds))
    own = args.work_dir / 'data' if args.miniature else Path('data')
    args.own_data = args.data is None
    args.data = args.data or own
    if args.weights and args.miniature:
        parser.error('--weights: the small networks have no public weights')
    return args


def make_miniature(root: Path, data: Path, kind: str) -> None:
    """Make those of the five prepared folders that are missing."""
    raw = root / 'raw'
    ffpp, dfo = raw / 'FaceForensics++', raw / 'DeeperForensics-1.0'
    of_dfo = ('dfo', dfo, '--ffpp', ffpp)
    official = ('--protocol', 'official')
    trees = {
        'ffpp': ('ffpp', ffpp),
        'cdf': ('cdf', raw / 'Celeb-DF-v2'),
        'dfo': (*of_dfo, '--variant', 'end_to_end_level_5'),
        'dfo_official': (*of_dfo, *official),
        'dfo_sing': (*of_dfo, *official, '--variant', 'sing'),
    }
    missing = [n for n in trees if not (data / n / 'test.json').is_file()]
    if missing and not (raw / 'made').is_file():
        videos = ('--kind', kind, '--amplitude', 0.1, '--noise', 1)
        run_tool('demo-data', ffpp, *videos)
        run_tool('demo-trees', ffpp, raw)
        (raw / 'made').touch()
    for name in missing:
        source, tree, *options = trees[name]
        run_tool(
            'prepare', *(source, tree, data / name, *options, '--size', 64)
        )


def needed_by(args: argparse.Namespace) -> dict[tuple[str, str], list[str]]:
    """What the wanted tables need, each training once.

    "Since the paper" tests on the sets that are prepared, if any is.
    """
    numbers = [number for number in args.tables if number != SINCE]
    needed = needed_runs(numbers, args.systems)
    if SINCE in args.tables:
        there = [
            name
            for name in since.TARGETS
            if (args.data / name / 'manifest.json').is_file()
        ]
        more = since.needed_since(args.systems, there or list(since.TARGETS))
        for key, targets in more.items():
            own = needed.setdefault(key, [])
            own += [target for target in targets if target not in own]
    return needed


def plan(args: argparse.Namespace) -> list[Run]:
    """List the runs that the tables need, seed by seed.

    So an early stop leaves whole tables.
    """
    ending = '-small_demo.py' if args.miniature else '_ffpp.py'
    needed = needed_by(args)
    runs = []
    for seed in args.seeds:
        for (system, source), targets in needed.items():
            stem = ALL_SYSTEMS[system]
            name = f'{Path(stem).name}_{source}'
            runs.append(
                Run(
                    system=system,
                    source=source,
                    targets=targets,
                    config=CONFIGS / f'{stem}{ending}',
                    folder=args.work_dir / 'runs' / name / f'seed-{seed}',
                    data=args.data,
                    options=args.cfg_options,
                    seed=seed,
                    name=name,
                    weights=args.weights,
                    untrained=args.untrained,
                )
            )
    return runs


def check_data(args: argparse.Namespace, runs: list[Run]) -> None:
    """See that there is something to train on, before anything is done.

    Without ``--data`` the tables of the paper may be written, and no more.

    Raises:
        DataError: No folder that the tables need is there.
    """
    names = {name for run in runs for name in (run.source, *run.targets)}
    found = any((args.data / n / 'manifest.json').is_file() for n in names)
    if not found and not (args.only_write and args.own_data):
        raise DataError(
            f'{args.data} holds no prepared data '
            f'({", ".join(sorted(names))}). Remedy: --data with the folder '
            'of those that gml prepare wrote (docs/paper.md), or --miniature'
        )


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, write the tables; return the exit code."""
    args = parse_args(argv)
    if args.jobs > 1:  # or each run would take all cores
        threads = max(1, (os.cpu_count() or 1) // args.jobs)
        os.environ.setdefault('OMP_NUM_THREADS', str(threads))
    failed: list[str] = []
    try:
        if args.miniature and not args.only_write:
            make_miniature(args.work_dir, args.data, args.kind)
        runs = plan(args)
        check_data(args, runs)
        if not args.only_write:
            devices = args.gpus or [None] * args.jobs
            with hold(args.work_dir, 'series'):
                check_weights(runs)
                failed = do_runs(runs, devices)
        say('', *write_tables(args, runs, failed).split('\n'))
    except KeyboardInterrupt:
        say('stopped; the same command goes on from here', file=sys.stderr)
        return 130
    say(f'written to {args.work_dir}/paper_tables.md and .json')
    return 1 if failed else 0
