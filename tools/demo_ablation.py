"""Which block finds which forgery: the paper's order under control.

Trains plain Xception, +CSTM, +STM, +MCB and GML (+MCB+AD), each with the same
budget, on the demo's three kinds of forgery and for several seeds. Stopped
and started again, it goes on with the runs that are not done.

Usage::

    python tools/demo_ablation.py --seeds 0 1 2
    python tools/demo_ablation.py --table
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path

from demo import CONFIG, make_data, train_and_test

NO_AD = 'model.cls_head.ad_head=None'
BLOCK = 'model.backbone.motion_block'
SYSTEMS = {
    'Xception': [f'{BLOCK}=None', NO_AD],
    'Xception+CSTM': [f'{BLOCK}.type=CSTM', NO_AD],
    'Xception+STM': [f'{BLOCK}.type=STMBlock', NO_AD],
    'Xception+MCB': [NO_AD],
    'Xception+MCB+AD': [],
}
KINDS = ('appearance', 'jitter', 'consistency')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--work-dir', default='work_dirs/demo_ablation')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS)
    parser.add_argument(
        '--systems', nargs='+', choices=SYSTEMS, default=list(SYSTEMS)
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--iters', type=int, help="iterations instead of the config's"
    )
    parser.add_argument(
        '--table', action='store_true', help='only print what is done'
    )
    return parser.parse_args(argv)


def run_once(
    root: Path, kind: str, system: str, seed: int, iters: int | None
) -> None:
    """Train and test one system on one kind, unless that was done."""
    result = root / 'results' / kind / system / f'{seed}.json'
    if result.exists():
        return
    data = root / 'data' / f'{kind}-{seed}'
    if not (data / 'crops/test.json').exists():
        make_data(data, '--kind', kind, '--seed', seed)
    run = root / 'runs' / kind / system / str(seed)
    shutil.rmtree(run, ignore_errors=True)  # what was stopped half-way
    options = list(SYSTEMS[system])
    if iters:
        options.append(f'train_cfg.max_iters={iters}')
    metrics, seconds = train_and_test(
        str(CONFIG), data / 'crops', run, seed, *options
    )
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(
        json.dumps(dict(metrics, seconds=seconds, iters=iters), indent=1)
    )


def read_results(root: Path, key: str) -> dict[tuple[str, str], list[float]]:
    """``{(kind, system): values over seeds}`` of one metric key."""
    values: dict[tuple[str, str], list[float]] = {}
    for path in sorted(root.glob('results/*/*/*.json')):
        kind, system = path.parts[-3:-1]
        value = json.loads(path.read_text())[key]
        values.setdefault((kind, system), []).append(value)
    return values


def format_table(values: dict[tuple[str, str], list[float]]) -> str:
    """A Markdown table: mean (least to greatest, seeds) of each cell."""
    lines = [
        '| system | ' + ' | '.join(KINDS) + ' |',
        '|---' * (len(KINDS) + 1) + '|',
    ]
    for system in SYSTEMS:
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


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print the tables."""
    args = parse_args(argv)
    root = Path(args.work_dir)
    if not args.table:
        # Seed by seed, so that an early stop leaves whole tables.
        for seed in args.seeds:
            for kind in args.kinds:
                for system in args.systems:
                    run_once(root, kind, system, seed, args.iters)
    for key in ('video/auc', 'clip/auc'):
        print(f'\n{key}: mean (least to greatest, seeds)\n')
        print(format_table(read_results(root, key)))


if __name__ == '__main__':
    main()
