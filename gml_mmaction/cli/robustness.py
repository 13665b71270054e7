"""Test a detector on distorted videos: every type at every level.

For each cell of the sweep the target's test videos are prepared anew: the
distortion is applied to the full frames, then the face is cut out at the
place that the target's manifest names, so that nothing is detected again and
real and fake videos are treated alike. The crops are deleted after the test.
Stopped, the same command goes on with the next cell.

Example:
    gml robustness configs/gml_xception_ffpp.py best.pth \
        --target ffpp --workers 8

Ends with robustness.md, robustness.json and robustness.png. The distortions
are DeeperForensics-1.0's; Haliassos et al., "Lips Don't Lie", sweep over them
on FaceForensics++ in this way.
"""

import argparse
import os
import sys
from pathlib import Path

from gml_mmaction.engine.cross_data import find_target
from gml_mmaction.engine.robustness import Sweep, write_results
from gml_mmaction.evaluation.robustness import Cell
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import say
from gml_mmaction.video.distortions import LEVELS

from .common import add_import_option, read_config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Test a detector on distorted videos.'
    )
    add = parser.add_argument
    add('config', help='config file, or its name in configs/')
    add('checkpoint', help='checkpoint file or URL')
    add(
        '--target',
        required=True,
        metavar='NAME[=FOLDER]',
        help='prepared data set whose test videos are distorted; NAME alone '
        'is data/NAME',
    )
    add(
        '--types',
        nargs='+',
        choices=list(LEVELS),
        default=list(LEVELS),
        help='types of distortion; default: all',
    )
    add(
        '--levels',
        nargs='+',
        type=int,
        choices=range(1, 6),
        default=list(range(1, 6)),
        help='levels; default: all',
    )
    add(
        '--work-dir',
        help='folder to write; default: ./work_dirs/<config '
        'name>/robustness_<target>',
    )
    add(
        '--workers',
        type=int,
        default=os.cpu_count(),
        help='processes that prepare videos',
    )
    add('--keep', action='store_true', help='keep the crops')
    add(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='change settings of the config',
    )
    add_import_option(parser)
    parser.set_defaults(launcher='none', local_rank=0, data=None, tf32=None)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the sweep and print the table; return 0, 130 if stopped."""
    args = parse_args(argv)
    try:
        run_sweep(args)
    except KeyboardInterrupt:
        say('stopped; the same command goes on from here', file=sys.stderr)
        return 130
    return 0


def run_sweep(args: argparse.Namespace) -> None:
    """Go through the cells, the clean one first."""
    target = find_target(args.target)
    cfg = read_config(args)
    work_dir = Path(cfg.work_dir)
    if args.work_dir is None:
        work_dir /= f'robustness_{target.name}'
    cfg.work_dir = str(work_dir / 'cells')
    cfg.load_from = args.checkpoint
    cfg.log_level = 'WARNING'  # 36 runs would bury the table
    sweep = Sweep(cfg, target, work_dir, args.workers, args.keep)
    with hold(work_dir, 'sweep'):
        done = []
        for cell in sweep.cells(args.types, args.levels):
            print_cell(cell)
            done.append(cell)
        clean, *cells = done
        table = write_results(sweep, clean, cells)
    lines = table.split('\n')[:-1]
    say('', *lines, f'- table, plot and cells are in {work_dir}')


def print_cell(cell: Cell) -> None:
    """One line as soon as a cell is done."""
    text = '-' if cell.auc is None else f'{cell.auc:.4f}'
    say(f'{cell.type:>5} {cell.level}  video AUC {text}')
