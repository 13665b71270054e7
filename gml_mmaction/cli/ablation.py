r"""Which block finds which forgery: the paper's order under control.

Trains plain Xception, +CSTM, +STM, +MCB and GML (+MCB+AD), or any systems of
the paper's tables, each with the same budget, on the demo's three kinds of
forgery and for several seeds. Stopped
and started again, it goes on with the runs that are not done. The inner face
moves twice as far as in the demo, with half the noise.

Usage::

    gml ablation --seeds 0 1 2
    gml ablation --kinds appearance --seeds 0 --iters 300 \
        --systems RECCE F3-Net
    gml ablation --table
"""

import argparse
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from gml_mmaction.evaluation.paper_tables import GML, SYSTEMS
from gml_mmaction.io.files import read_json, write_json
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import say
from gml_mmaction.synthetic.demo import KINDS

from .common import CONFIGS
from .demo import make_data, train_and_test

COMPARED = (
    *('Xception', 'Xception+CSTM', 'Xception+STM', 'Xception+MCB'),
    GML,
)
VIDEOS = ('--amplitude', 0.1, '--noise', 1)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--work-dir', default='work_dirs/demo_ablation')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS)
    parser.add_argument(
        '--systems',
        nargs='+',
        metavar='SYSTEM',
        choices=SYSTEMS,
        default=COMPARED,
        help='rows of Table 3, or any of: ' + '; '.join(SYSTEMS),
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--iters', type=int, default=200)
    parser.add_argument(
        '--jobs', type=int, default=2, help='runs at a time, one core each'
    )
    parser.add_argument(
        '--table', action='store_true', help='only print what is done'
    )
    return parser.parse_args(argv)


def config_of(system: str) -> Path:
    """The small config of a system."""
    return CONFIGS / f'{SYSTEMS[system]}-small_demo.py'


def result_path(
    root: Path, kind: str, system: str, seed: int, iters: int
) -> Path:
    """The path of a finished run's metrics."""
    name = Path(SYSTEMS[system]).name
    return root / f'results-{iters}' / kind / name / f'{seed}.json'


def run_once(
    root: Path, iters: int, seed: int, kind: str, system: str
) -> None:
    """Train and test one system on one kind, unless that was done."""
    result = result_path(root, kind, system, seed, iters)
    if result.exists():
        return
    metrics, seconds = train_and_test(
        str(config_of(system)),
        root / 'data' / f'{kind}-{seed}' / 'crops',
        root / f'runs-{iters}' / kind / result.parent.name / str(seed),
        seed,
        f'train_cfg.max_iters={iters}',
        'train_cfg.val_interval=100',
    )
    write_json(result, dict(metrics, seconds=seconds))


def read_results(
    root: Path, iters: int, key: str
) -> dict[tuple[str, str], list[float]]:
    """``{(kind, system): values over seeds}`` of one metric key."""
    values: dict[tuple[str, str], list[float]] = {}
    systems = {Path(stem).name: name for name, stem in SYSTEMS.items()}
    for path in sorted(root.glob(f'results-{iters}/*/*/*.json')):
        kind, name = path.parts[-3:-1]
        value = read_json(path)[key]
        values.setdefault((kind, systems[name]), []).append(value)
    return values


def format_table(values: dict[tuple[str, str], list[float]]) -> str:
    """A Markdown table: mean (least to greatest, seeds) of each cell."""
    lines = [
        '| system | ' + ' | '.join(KINDS) + ' |',
        '|---' * (len(KINDS) + 1) + '|',
    ]
    done = {system for _, system in values}
    for system in filter(done.__contains__, SYSTEMS):
        cells = []
        for kind in KINDS:
            seen = values.get((kind, system))
            cells.append(
                f'{statistics.mean(seen):.3f} ({min(seen):.3f} to '
                f'{max(seen):.3f}, {len(seen)})'
                if seen
                else '-'
            )
        lines.append(f'| {system} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def run_missing(args: argparse.Namespace, root: Path) -> None:
    """Make the data, train and test, seed by seed.

    So an early stop leaves whole tables.
    """
    os.environ['OMP_NUM_THREADS'] = '1'
    for seed in args.seeds:
        for kind in args.kinds:
            data = root / 'data' / f'{kind}-{seed}'
            make_data(data, '--kind', kind, '--seed', seed, *VIDEOS)
        cells = [(k, s) for k in args.kinds for s in args.systems]
        run = partial(run_once, root, args.iters, seed)
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(run, *zip(*cells)))


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print the tables."""
    args = parse_args(argv)
    root = Path(args.work_dir)
    if not args.table:
        with hold(root, 'ablation'):
            run_missing(args, root)
    for key in ('video/auc', 'clip/auc'):
        say('', f'{key}: mean (least to greatest, seeds)', '')
        table = format_table(read_results(root, args.iters, key))
        say(*table.split('\n'))
