"""A training goes on only from the records of a training.

What a checkpoint says about iterations, the best checkpoint so far and the
optimiser is used unchanged, some of it much later. So it is checked first.
"""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from gml_mmaction.errors import CheckpointError
from gml_mmaction.io.config_text import parse_config
from gml_mmaction.io.rules import OBJECT, Rule, check_fields, list_of, whole
from gml_mmaction.io.text import one_line, printable

__all__ = [
    'check_optimizer',
    'check_records',
    'check_scheduler',
    'not_resumable',
    'saved_seed',
]

MOST = 10**9  # iterations
COUNT = whole(0, MOST)
SEED = Rule(
    'a seed', lambda x: x is None or (type(x) is int and 0 <= x < 2**32)
)
HUB = ('log_scalars', 'runtime_info', 'resumed_keys')
NAME = Rule('a file', lambda x: x is None or isinstance(x, str))
SCORE = Rule(
    'a number', lambda x: isinstance(x, Real) and not isinstance(x, bool)
)
BEST = {
    'best_score': SCORE,
    'best_ckpt': NAME,
    'last_ckpt': NAME,
    'keep_ckpt_ids': list_of(COUNT),
}
BEST_OF = {'best_score_': SCORE, 'best_ckpt_': NAME}  # of several metrics


def saved_seed(path: str) -> int | None:
    """The seed of the training that saved a checkpoint.

    Raises:
        CheckpointError: No training can go on from it.
    """
    loaded = CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')
    check_records(loaded, path)
    return loaded['meta'].get('seed')


def check_records(checkpoint: Any, file: str) -> None:
    """Refuse a checkpoint without the records of a training.

    Args:
        checkpoint: As it was loaded.
        file: Named in the error.

    Raises:
        CheckpointError: A record is missing, or is something else.
    """
    try:
        check_fields(checkpoint, dict(meta=OBJECT, message_hub=OBJECT))
        meta = checkpoint['meta']
        check_fields(meta, dict(epoch=COUNT, iter=COUNT), dict(seed=SEED))
        hub = checkpoint['message_hub']
        check_fields(hub, dict.fromkeys(HUB, OBJECT))
        info = hub['runtime_info']
        others = {
            key: rule
            for start, rule in BEST_OF.items()
            for key in info
            if isinstance(key, str) and key.startswith(start)
        }
        check_fields(info, {}, BEST | others)
        if 'config' in meta:
            parse_config(meta['config'])
    except ValueError as error:
        raise not_resumable(file, error) from None


def check_scheduler(scheduler: Any, state: Any) -> None:
    """Refuse a state that is not that of the schedule.

    Args:
        scheduler: MMEngine's schedule, as it was built.
        state: What is to replace its attributes.

    Raises:
        ValueError: The state has other attributes, or other types.
    """
    check_fields(state, {})
    for name, value in state.items():
        own = vars(scheduler)
        if name not in own or not _is_like(value, own[name]):
            what = printable(f'{name!r:.40} = {value!r:.60}')
            raise ValueError(f'param_schedulers: {what}')


def check_optimizer(optimizer: Any) -> None:
    """Refuse an optimiser's loaded state, if it cannot step with it.

    Raises:
        ValueError: A setting has another type, or a parameter's state has
            another shape.
    """
    for group in optimizer.param_groups:
        for name, own in optimizer.defaults.items():
            if name not in group or not _is_like(group[name], own):
                value = printable(f'{group.get(name)!r:.60}')
                raise ValueError(f'optimizer: {name} = {value}')
    if not type(optimizer).__module__.startswith('torch.optim'):
        return
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            shape = getattr(value, 'shape', torch.Size())
            if not _is_numeric(value) or (
                shape not in (parameter.shape, torch.Size(), torch.Size([1]))
            ):
                what = printable(f'{name!r:.40}')
                raise ValueError(f'optimizer: state {what}')


def not_resumable(file: str, error: BaseException) -> CheckpointError:
    """The error for a checkpoint from which no training can go on."""
    return CheckpointError(
        f'{file}: a training cannot go on from it '
        f'({one_line(error):.200}). Remedy: give a checkpoint iter_N.pth '
        'of gml train'
    )


def _is_numeric(value: Any) -> bool:
    return value is None or isinstance(value, (Real, torch.Tensor))


def _is_like(value: Any, own: Any) -> bool:
    """Whether a value may replace ``own``, the one when it was built."""
    if own is None or isinstance(own, torch.Tensor):
        return _is_numeric(value)
    if isinstance(own, bool):
        return isinstance(value, bool)
    if isinstance(own, (int, float)):
        real = isinstance(value, Real) and not isinstance(value, bool)
        return real and not math.isnan(value)
    if isinstance(own, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(own)
            and all(map(_is_like, value, own))
        )
    if isinstance(own, Mapping):
        return isinstance(value, Mapping)
    return isinstance(value, type(own))
