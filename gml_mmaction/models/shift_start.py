"""A shift of channels that starts as a difference of frames."""

from itertools import pairwise
from typing import Any

import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

__all__ = ['subtract_neighbours']


def subtract_neighbours(network: nn.Module) -> tuple[str, list[Tensor]]:
    """Let a TSM start with features of motion (1811.08383).

    TSM moves some channels of a map from the next frame, as many from the one
    before, and leaves the rest. From random values no two channels are alike,
    so that what a convolution makes of them is next to nothing of a
    difference of frames. Here the first filters give the channels that move
    what they give to as many that stay; and half of the convolution behind
    the first shift starts as these minus the mean of their neighbours in
    time. Ours, in the manner of :mod:`.mimetic`.

    Args:
        network: Changed in place: a ``ResNetTSM`` of MMAction2, whose first
            shift reads what its first convolution gives.

    Returns:
        The name of the convolution behind the first shift, and the tensors
        that were set.

    Raises:
        SettingError: The network is another.
    """
    name, shift, first = _first_shift(network)
    behind = shift.net.weight
    moved = len(first) // shift.shift_div
    if behind.shape[1] != len(first) or 3 * moved > len(first):
        raise SettingError(
            f'{type(network).__name__}: its first shift does not read what '
            'its first convolution gives, or nothing stays. Remedy: leave out '
            'DifferenceStartHook'
        )
    after, before, still = (
        slice(start, end)
        for start, end in pairwise(range(0, 4 * moved, moved))
    )
    with torch.no_grad():
        first[after] = first[before] = first[still]
        half = behind[: len(behind) // 2]
        half[:, after] = half[:, before] = -half[:, still] / 2
        half[:, still.stop :] = 0
    return name, [first, behind]


def _first_shift(network: nn.Module) -> tuple[str, Any, Tensor]:
    """The first shift with its name, and the filters before it."""
    first = None
    for name, module in network.named_modules():
        if isinstance(module, TemporalShift):
            if first is None or not isinstance(module.net, nn.Conv2d):
                break
            return name, module, first
        if first is None and isinstance(module, nn.Conv2d):
            first = module.weight
    raise SettingError(
        f'{type(network).__name__} has no convolution behind a shift that '
        'could start as a difference. Remedy: leave out DifferenceStartHook'
    )
