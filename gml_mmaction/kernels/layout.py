"""The order of a network's weights in memory."""

from typing import TypeVar

import torch
from torch import nn

__all__ = ['channels_last']

Model = TypeVar('Model', bound=nn.Module)
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(model: Model) -> Model:
    """Lay the weights of convolutions out with their channels last.

    In place; maps that they compute have the same order. Values are the same
    up to rounding, and a checkpoint of either order loads.

    Args:
        model: Any model, or a wrapper of one.

    Returns:
        ``model``.
    """
    for p in model.parameters():
        if p.dim() in FORMATS:
            p.data = p.data.contiguous(memory_format=FORMATS[p.dim()])
    return model
