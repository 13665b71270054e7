"""Train a detector on MMEngine's runner; the flags are MMAction2's.

Example:
    gml train configs/gml_xception_ffpp.py --amp
    gml train configs/gml_xception_imagenet_ffpp.py --weights weights
"""

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gml_mmaction.engine import newest_checkpoint
from gml_mmaction.engine.initial_weights import (
    check_named_file,
    start_from,
)
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import SettingError
from gml_mmaction.host.mixed_precision import DTYPES
from gml_mmaction.host.processes import lost_processes
from gml_mmaction.host.resumed import saved_seed

from .common import add_run_options, one_run, read_config
from .numbers import SEED


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Train a detector.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or its name in configs/')
    parser.add_argument(
        '--work-dir',
        help='folder of logs and checkpoints; default: the one that the '
        'config names, or ./work_dirs/<config name>',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without one, from the newest in the '
        'work dir',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        choices=[*DTYPES],
        const='bf16',
        help='mixed precision, the same on every device; default: bf16. '
        'fp16 needs a GPU, bf16 a CPU or a GPU since Ampere',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='let torch.compile have the backbone; it needs a compiler',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch, relative to the '
        "config's auto_scale_lr.base_batch_size",
    )
    parser.add_argument('--seed', type=SEED, help='random seed')
    parser.add_argument(
        '--diff-rank-seed',
        action='store_true',
        help='use another seed for each process',
    )
    parser.add_argument(
        '--deterministic',
        action='store_true',
        help='use deterministic kernels, which may be slower',
    )
    parser.add_argument(
        '--weights',
        nargs='?',
        const='',
        metavar='FOLDER',
        help='start from the public weights for this network, which you have '
        'put into this folder, or without one, from those of an installed '
        'package; motion blocks then start as the convolutions that they '
        'replace',
    )
    add_run_options(parser)
    return parser.parse_args(argv)


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Write the training flags into the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        setting(cfg, 'default_hooks.checkpoint').save_best = None
    if args.amp:
        setting(cfg, 'optim_wrapper').type = 'AmpOptimWrapper'
        cfg.optim_wrapper.dtype = DTYPES[args.amp]
    if args.compile:
        cfg.compile_backbone = True
    if args.resume is not None:
        resume(cfg, args)
    start = cfg.get('load_from')
    there = isinstance(start, str) and Path(start).is_file()
    if start and '://' not in str(start) and not there:
        raise SettingError(
            f'load_from={str(start)!r}: no such file. Remedy: a .pth file, '
            'or None'
        )
    if args.weights is not None:
        start_from(cfg, args.weights)
    elif not start:
        check_named_file(cfg)
    if args.auto_scale_lr:
        setting(cfg, 'auto_scale_lr').enable = True
    given = dict(
        seed=args.seed,
        diff_rank_seed=args.diff_rank_seed or None,
        deterministic=args.deterministic or None,
    )
    cfg.randomness = {
        **(cfg.get('randomness') or dict(seed=None)),
        **{key: value for key, value in given.items() if value is not None},
    }


def setting(cfg: Config, place: str) -> Any:
    """The part of a config that a flag changes.

    Raises:
        SettingError: There is none.
    """
    part = cfg
    for key in place.split('.'):
        part = part.get(key)
        if part is None:
            raise SettingError(
                f'{place} is not in the config, but a flag changes it. '
                'Remedy: leave the flag out, or add the setting'
            )
    return part


def resume(cfg: Config, args: argparse.Namespace) -> None:
    """Go on from a checkpoint, with the seed that it was trained with.

    MMEngine takes the seed over when the data have been shuffled already.
    """
    path = args.resume
    if path == 'auto':
        path = newest_checkpoint(cfg.work_dir)
    cfg.resume = True
    cfg.load_from = path and str(path)
    if path is None or args.seed is not None:
        return
    cfg.randomness = {
        **(cfg.get('randomness') or {}),
        'seed': saved_seed(str(path)),
    }


def main(argv: list[str] | None = None) -> None:
    """Train."""
    args = parse_args(argv)
    with lost_processes():
        cfg = read_config(args)
        with one_run(cfg, 'training'):
            merge_args(cfg, args)
            build_runner(cfg).train()
