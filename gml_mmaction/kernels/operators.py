"""The motion blocks by PyTorch's operators, in less time and memory.

Most of what a motion block adds to a depth-wise convolution is traffic of
maps of all C channels. Here F^S is written once and the expanded motion is
added in place; the map between CSTM's two convolutions is not kept for the
backward pass, which computes it again; and matrix products are written in
the order that reads rows of ``H*W*C`` in memory.

They run on a GPU too, under autocast as well, where they save the same
memory; nobody has measured them there.

Shapes: as in models/motion.py. Maps are channels-last and x is
``(N*T, C, H, W)``.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

__all__ = ['reduce', 'rows_of', 'sum_up']

VECTOR = 8  # columns that matrix products take at a time


def reduce(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """A block's input, for :func:`sum_up` alone, and its reduction.

    Args:
        x: ``(N*T, C, H, W)``, channels-last.
        weight: The reduction, ``(c, C)``.

    Returns:
        x, and ``(N*T*H*W, c)``.
    """
    return _Reduce.apply(x, weight)


def sum_up(
    x: Tensor,
    temporal: Tensor,
    spatial: Tensor,
    rows: Tensor,
    expand: Tensor,
    length: int,
) -> Tensor:
    """F^S + E(motion), written once.

    Args:
        x: The first result of :func:`reduce`.
        temporal: CSTM's kernel over time, ``(C, 1, 3, 1)``.
        spatial: CSTM's kernel over space, ``(C, 1, 3, 3)``.
        rows: The motion, ``(N*T*H*W, c)``.
        expand: E, ``(C, c)``.
        length: T.
    """
    return _Sum.apply(x, temporal, spatial, rows, expand, length)


def rows_of(x: Tensor) -> Tensor:
    """Channels-last ``(M, C, H, W)`` seen as ``(M*H*W, C)``."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _channels_last(x: Tensor) -> Tensor:
    """Itself where it is; some backends answer in their own layout.

    cuDNN does in float64. What is added in place to rows of another layout
    is added to a copy of them.
    """
    return x.contiguous(memory_format=torch.channels_last)


def _over_time(x: Tensor, length: int) -> Tensor:
    """``(N*T, C, H, W)`` seen as images ``(N, C, T, H*W)``."""
    frames, channels, height, width = x.shape
    images = x.permute(0, 2, 3, 1).reshape(
        frames // length, length, height * width, channels
    )
    return images.permute(0, 3, 1, 2)


def _over_space(images: Tensor, x: Tensor) -> Tensor:
    """Undo :func:`_over_time`; the shape is that of ``x``."""
    frames, channels, height, width = x.shape
    rows = images.permute(0, 2, 3, 1).reshape(frames, height, width, channels)
    return rows.permute(0, 3, 1, 2)


def _mix(x: Tensor, temporal: Tensor, length: int) -> Tensor:
    """CSTM's channel-wise 3x1x1 convolution."""
    images = _over_time(x, length)
    mixed = F.conv2d(images, temporal, padding=(1, 0), groups=x.shape[1])
    return _over_space(mixed, x)


def _convolve_back(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    padding: tuple[int, int],
    needs: tuple[bool, bool],
) -> tuple[Any, Any]:
    """Gradients of a channel-wise convolution's input and weight, or None."""
    ones = (1, 1)
    return torch.ops.aten.convolution_backward(
        *(grad, x, weight, None, ones, padding, ones, False, (0, 0)),
        x.shape[1],
        (*needs, False),
    )[:2]


def _cstm_back(
    grad: Tensor,
    x: Tensor,
    kernels: tuple[Tensor, Tensor],
    length: int,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of CSTM's input and of its kernels over time and space."""
    temporal, spatial = kernels
    before = needs[0] or needs[1]
    g_mixed, g_spatial = _convolve_back(
        *(grad, _mix(x, temporal, length), spatial),
        padding=(1, 1),
        needs=(before, needs[2]),
    )
    if not before:
        return None, None, g_spatial
    g_images, g_temporal = _convolve_back(
        _over_time(g_mixed, length),
        _over_time(x, length),
        temporal,
        padding=(1, 0),
        needs=needs[:2],
    )
    g_x = _over_space(g_images, x) if needs[0] else None
    return g_x, g_temporal, g_spatial


def _narrow(rows: Tensor, weight: Tensor) -> Tensor:
    """``rows @ weight.t()``, ``(M, c)``; weight is ``(c, C)``, c small."""
    columns = len(weight)
    padding = -columns % VECTOR if columns > VECTOR else 0
    return F.linear(rows, F.pad(weight, (0, 0, 0, padding)))[:, :columns]


class _Reduce(Function):
    """A block's input, and its reduction.

    The arguments are x and the reduction ``(c, C)``; the results are x, for
    :class:`_Sum`, and ``(N*T*H*W, c)``. The gradient of the reduction is
    added to what comes back through the first of them, in place.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        return x.view_as(x), _narrow(rows_of(x), weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_x: Any, g_reduced: Any) -> Any:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad
        if for_x:
            g_x = _channels_last(g_x)
            rows_of(g_x).addmm_(g_reduced, weight)
        return g_x, g_reduced.t() @ rows_of(x) if for_weight else None


class _Sum(Function):
    """F^S + E(motion), written once; its input and the motion are kept.

    The arguments are x, CSTM's kernels over time and space, the motion in
    rows ``(N*T*H*W, c)``, E's weight ``(C, c)`` and T.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Any,
        temporal: Any,
        spatial: Any,
        motion: Any,
        expand: Any,
        length: Any,
    ) -> Any:
        motion = motion.contiguous()
        ctx.save_for_backward(x, temporal, spatial, motion, expand)
        ctx.length = length
        f_s = F.conv2d(
            _mix(x, temporal, length), spatial, padding=1, groups=x.shape[1]
        )
        f_s = _channels_last(f_s)
        rows_of(f_s).addmm_(motion, expand.t())
        return f_s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        x, temporal, spatial, motion, expand = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad = _channels_last(grad)
        rows = rows_of(grad)
        grads: Any = [None] * 3
        if any(needs[:3]):
            grads = _cstm_back(
                grad, x, (temporal, spatial), ctx.length, needs[:3]
            )
        g_motion = _narrow(rows, expand.t()) if needs[3] else None
        g_expand = (motion.t() @ rows).t() if needs[4] else None
        return *grads, g_motion, g_expand, None
