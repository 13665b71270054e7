"""Too little memory: a line that says what would fit."""

import contextlib
import os
from contextlib import AbstractContextManager
from typing import Any

import torch

from gml_mmaction.explain.cost import CostError, Setting
from gml_mmaction.explain.estimate import estimate
from gml_mmaction.explain.shortage import ShortageError, telling_shortage
from gml_mmaction.host.mixed_precision import has_bfloat16
from gml_mmaction.host.workaround import cpu_only

__all__ = ['ShortageError', 'naming_shortage', 'what_fits']

ROOM = 0.9  # of a device's memory, that tensors may fill


def naming_shortage(runner: Any) -> AbstractContextManager[None]:
    """Let a device that is too small be one line: what would fit it.

    Args:
        runner: Whose loop runs inside.

    Raises:
        ShortageError: In place of an allocator's error.
    """
    return telling_shortage(lambda: explain_shortage(runner))


def explain_shortage(runner: Any) -> str:
    """The batch that did not fit, and the settings to try."""
    name = _phase(runner)
    batch = int((runner.cfg.get(f'{name}_dataloader') or {})['batch_size'])
    amp = (runner.cfg.get('optim_wrapper') or {}).get('dtype')
    where, room = device_memory()
    text = (
        f'{where} has too little memory for '
        f'{name}_dataloader.batch_size={batch}'
    )
    ways = []
    if name == 'train' and not amp:
        half = cpu_only() or has_bfloat16()
        ways.append('--amp bf16' if half else '--amp fp16')
    fits = what_fits(runner, batch, name == 'train', room)
    smaller = batch // 2 if fits is None else fits
    if smaller:
        way = f'{name}_dataloader.batch_size={smaller}'
        if name == 'train':
            given = runner.cfg['optim_wrapper'].get('accumulative_counts', 1)
            steps = -(-batch * given // smaller)
            way += f' optim_wrapper.accumulative_counts={steps}'
        if fits:
            way += ' (estimated to fit)'
        ways.append(f'--cfg-options {way}')
    else:
        ways.append('a device with more memory')
    return f'{text}. Remedy: {", or ".join(ways)}'


def _phase(runner: Any) -> str:
    """What runs: ``'train'``, ``'val'`` or ``'test'``."""
    stage = runner.message_hub.runtime_info.get('loop_stage')
    return stage if stage in ('train', 'val', 'test') else 'train'


def device_memory() -> tuple[str, int]:
    """What a runner's device is called, and its bytes of memory."""
    if torch.cuda.is_available():
        _, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return f'{name} ({total / 2**30:.0f} GiB)', total
    total = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    with contextlib.suppress(ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        total = total if limit == resource.RLIM_INFINITY else limit
    return f'this machine ({total / 2**30:.0f} GiB)', total


def what_fits(
    runner: Any, batch: int, training: bool, room: int
) -> int | None:
    """The largest part of a batch that is estimated to fit.

    Args:
        runner: Its config says what network, and what clips.
        batch: Clips that do not fit.
        training: With gradients and the optimiser's state.
        room: Bytes of the device.

    Returns:
        Clips, half of ``batch``, or a quarter, ...; 0 if not one fits, None
        where there is no estimate.
    """
    part = 'train' if training else _phase(runner)
    dataset = (runner.cfg.get(f'{part}_dataloader') or {}).get('dataset') or {}
    sizes = [
        step['size']
        for step in dataset.get('pipeline') or ()
        if step.get('type') == 'FaceCrop'
    ]
    if len(sizes) != 1 or 'clip_len' not in dataset:
        return None
    amp = (runner.cfg.get('optim_wrapper') or {}).get('dtype')
    while batch := batch // 2:
        setting = Setting(
            batch, dataset['clip_len'], sizes[0], amp='bf16' if amp else None
        )
        try:
            cost = estimate(runner.cfg.model, setting)
        except CostError:
            return None
        state = 2 * cost.weights if training else 0  # an optimiser's
        need = cost.step.peak if training else cost.forward.peak
        if need + state <= ROOM * room:
            return batch
    return 0
