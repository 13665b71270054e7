"""The motion blocks by the compiled kernel, on a CPU (:mod:`.library`).

A block is three passes: the reduction, the motion in its C/16 channels, and
F^S with the expansion, which is all that is written. A ReLU before the block
is part of reading x.

Shapes: as in models/motion.py. Maps are channels-last and x is
``(N*T, C, H, W)``, in float32.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from . import library

__all__ = ['block', 'cstm', 'takes', 'takes_block']


def takes(x: Tensor, length: int) -> bool:
    """Whether the kernel is there and takes an input of clips of T frames."""
    return (
        x.is_cpu
        and x.dtype == torch.float32
        and library.ready()
        and x.shape[0] % length == 0
    )


def takes_block(
    x: Tensor, block: Any, motion: Any, norm: Any, k_pm: Any
) -> bool:
    """Whether it takes a block, too: the defaults, in float32.

    Args:
        x: The block's input.
        block: An ``STMBlock`` or an ``MCB``; its modules are given as
            looking them up takes as long as a small map does.
        motion: Its CMM or MCM.
        norm: Of the motion.
        k_pm: K^PM.
    """
    return (
        takes(x, motion.num_segments)
        and motion.boundary == 'zero'
        and (block.shared or motion.num_orders == 1)
        and type(norm) is nn.BatchNorm1d
        and norm.affine
        and norm.track_running_stats
        and (weight := norm._parameters['weight']) is not None
        and weight.dtype == x.dtype
        and type(k_pm) is nn.Conv2d
        and x.numel() > x.shape[1]
    )


def block(
    x: Tensor,
    weights: Sequence[Tensor],
    norm: Any,
    length: int,
    orders: int,
    rectify: bool,
) -> Tensor:
    """What a block computes.

    Args:
        x: Channels-last.
        weights: CSTM's kernels over time and space, the reduction ``(c, C)``,
            E's weight ``(C, c)``, K^PM, the norm's weight and bias.
        norm: Of the motion.
        length: T.
        orders: Of motion, 1 or 2.
        rectify: Whether x goes through a ReLU first.
    """
    how = norm, length, orders, rectify
    if torch.is_grad_enabled():
        return _Block.apply(x, *weights, *how)
    return _run(x, weights, *how)[0]


def cstm(
    x: Tensor, temporal: Tensor, spatial: Tensor, length: int, rectify: bool
) -> Tensor:
    """What a CSTM alone computes; arguments as those of :func:`block`."""
    return _CSTM.apply(x, temporal, spatial, length, rectify)


class _Block(Function):
    """Forward and backward in one call each; arguments as of :func:`block`."""

    @staticmethod
    def forward(ctx: Any, x: Any, *args: Any) -> Any:
        weights, how = args[:7], args[7:]
        y, *inner = _run(x, weights, *how)
        ctx.save_for_backward(x, *weights, *inner)
        ctx.options = _block_options(x, *how)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        x, *weights = ctx.saved_tensors[:8]
        inner = ctx.saved_tensors[8:]
        needs = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)
        weights = [weight.contiguous() for weight in weights]
        g_x = torch.empty_like(x)
        grads: list[Any] = [torch.empty_like(each) for each in weights]
        for i in (2, 3):  # the reduction and E, which cost a product each
            grads[i] = grads[i] if needs[1 + i] else None
        g_inner = [torch.empty_like(each) for each in inner[:2]]
        library.call(
            'block_backward',
            *(ctx.options, library.Weights(*weights), x),
            *(library.Inner(*inner), grad, g_x),
            *(library.Weights(*grads), library.Inner(*g_inner)),
        )
        return g_x, *grads, *[None] * 4


class _CSTM(Function):
    """The same of a CSTM; arguments as of :func:`cstm`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Any,
        temporal: Any,
        spatial: Any,
        length: Any,
        rectify: Any,
    ) -> Any:
        weights = temporal.contiguous(), spatial.contiguous()
        y = torch.empty_like(x)
        ctx.options = _options(x, length, rectify)
        library.call(
            'cstm_forward', ctx.options, library.Weights(*weights), x, y
        )
        ctx.save_for_backward(x, *weights)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        x, *weights = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        g_x, *grads = [torch.empty_like(each) for each in (x, *weights)]
        library.call(
            'cstm_backward',
            *(ctx.options, library.Weights(*weights), x),
            *(grad, g_x, library.Weights(*grads)),
        )
        return g_x, *grads, None, None


def _run(
    x: Tensor,
    weights: Sequence[Tensor],
    norm: Any,
    length: int,
    orders: int,
    rectify: bool,
) -> tuple[Tensor, ...]:
    """The block's output; reduced input, motion, mean and variance."""
    weights = [weight.contiguous() for weight in weights]
    mean, variance = (norm._buffers[f'running_{n}'] for n in ('mean', 'var'))
    if norm.training:
        mean, variance = torch.empty_like(mean), torch.empty_like(variance)
    pixels = x.numel() // x.shape[1]
    rows = [x.new_empty(pixels, norm.num_features) for _ in range(2)]
    y = torch.empty_like(x)
    library.call(
        'block_forward',
        _block_options(x, norm, length, orders, rectify),
        *(library.Weights(*weights), x),
        *(library.Inner(*rows, mean, variance), y),
    )
    if norm.training:
        _track(norm, mean, variance, pixels)
    return y, *rows, mean, variance


def _options(
    x: Tensor, length: int, rectify: bool, **of_block: float
) -> library.Options:
    frames, channels, height, width = x.shape
    return library.Options(
        library.Shape(frames // length, length, height, width, channels),
        rectify=rectify,
        threads=torch.get_num_threads(),
        **of_block,
    )


def _block_options(
    x: Tensor, norm: nn.BatchNorm1d, length: int, orders: int, rectify: bool
) -> library.Options:
    return _options(
        x,
        length,
        rectify,
        columns=norm.num_features,
        orders=orders,
        batch=norm.training,
        eps=norm.eps,
    )


@torch.no_grad()
def _track(norm: Any, mean: Tensor, variance: Tensor, count: int) -> None:
    """Update the norm's running mean and variance from those of a batch."""
    norm.num_batches_tracked.add_(1)
    share = norm.momentum
    if share is None:
        share = 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * (count / (count - 1)), share)
