"""Test a checkpoint on MMEngine's runner; the flags are MMAction2's.

Without --target the test set of the config, or with --validation the other;
with it any prepared data sets, one after the other, and one table at the end.

Example:
    gml test configs/gml_xception_ffpp.py best_video_auc.pth
    gml test configs/gml_xception_ffpp.py best_video_auc.pth \
        --target ffpp dfo cdf=/data/prepared/celeb-df
"""

import argparse
import copy
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from gml_mmaction.engine.cross_data import (
    Target,
    cross_table,
    cross_test,
    find_target,
)
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.engine.settings import set_metric
from gml_mmaction.engine.untrained import add_untrained
from gml_mmaction.errors import CheckpointError, SettingError
from gml_mmaction.host.processes import lost_processes
from gml_mmaction.io.text import say

from .common import add_run_options, one_run, read_config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Test a detector.')
    parser.add_argument('config', help='config file, or its name in configs/')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument(
        '--work-dir',
        help='folder of logs and scores; default: ./work_dirs/<config name>',
    )
    parser.add_argument(
        '--dump', metavar='FILE.pkl', help='write all predictions to a file'
    )
    parser.add_argument(
        '--target',
        nargs='+',
        metavar='NAME[=FOLDER]',
        help='prepared data sets to test on; NAME alone is data/NAME',
    )
    parser.add_argument(
        '--validation',
        action='store_true',
        help="test on the config's validation set instead of its test set",
    )
    parser.add_argument(
        '--threshold-from',
        choices=['val', 'none'],
        default='val',
        help='with --target: report ACC also at the EER threshold of the '
        "validation set of the config's own data (val), or at 0.5 only "
        '(none)',
    )
    parser.add_argument(
        '--untrained',
        type=int,
        default=0,
        metavar='N',
        help='also test N networks of random weights: what a network that '
        'has learned nothing reaches on these videos',
    )
    add_run_options(parser)
    args = parser.parse_args(argv)
    if args.dump and args.target:
        parser.error('--dump is for the test set of the config, not --target')
    if args.validation and args.target:
        parser.error('--validation and --target: give one of them')
    if not 0 <= args.untrained <= 1000:
        parser.error(f'--untrained {args.untrained}: give 0 to 1000')
    return args


def take_validation_set(cfg: Config) -> None:
    """Let a test read the validation set, as training validates on it.

    Raises:
        SettingError: The config has none.
    """
    if not cfg.get('val_dataloader'):
        raise SettingError(
            '--validation: val_dataloader is not in the config. Remedy: '
            'leave the flag out, or add the setting'
        )
    cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    cfg.test_dataloader.persistent_workers = False  # or they outlive the run


def dump_predictions(cfg: Config, path: str) -> None:
    """Add the host's ``DumpResults`` to the evaluators."""
    evaluators = cfg.test_evaluator
    if not isinstance(evaluators, list):
        evaluators = [evaluators]
    dump = dict(type='DumpResults', out_file_path=path, collect_device='gpu')
    cfg.test_evaluator = [*evaluators, dump]


def main(argv: list[str] | None = None) -> dict:
    """Test; returns the metrics, or with targets the report."""
    args = parse_args(argv)
    with lost_processes():
        targets = [find_target(text) for text in args.target or ()]
        cfg = read_config(args)
        cfg.load_from = args.checkpoint
        if args.validation:
            take_validation_set(cfg)
        try:
            with one_run(cfg, 'test'):
                return run_test(cfg, targets, args)
        except CheckpointError as error:
            if args.checkpoint in str(error):
                raise
            raise CheckpointError(f'{args.checkpoint}: {error}') from None


def run_test(
    cfg: Config, targets: list[Target], args: argparse.Namespace
) -> dict:
    """Test on the targets, or on the config's own test set."""
    if targets:
        report = cross_test(
            cfg,
            targets,
            val_threshold=args.threshold_from == 'val',
            untrained=args.untrained,
        )
        if is_main_process():
            lines = cross_table(report).split('\n')[:-1]
            say('', *lines, f'- written to {cfg.work_dir}')
        return report
    scores_file = Path(cfg.work_dir, 'scores.json')
    written = dict(scores_file=str(scores_file), checkpoint=args.checkpoint)
    if not set_metric(cfg, **written) and args.untrained:
        raise SettingError(
            f'--untrained {args.untrained}: test_evaluator has no '
            "ForgeryMetric. Remedy: add dict(type='ForgeryMetric')"
        )
    untrained = copy.deepcopy(cfg)
    if args.dump is not None:
        dump_predictions(cfg, args.dump)
    metrics = build_runner(cfg).test()
    if args.untrained:
        add_untrained(untrained, scores_file, args.untrained)
    return metrics
