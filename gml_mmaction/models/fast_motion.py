"""The motion blocks of motion.py on a CPU: the same numbers, less memory.

Most of what a motion block adds to a depth-wise convolution is traffic of
maps of all C channels. Here F^S is written once and the expanded motion is
added in place; the map between CSTM's two convolutions is not kept for the
backward pass, which computes it again; and matrix products are written in
the order that reads rows of ``H*W*C`` in memory.

Shapes: as in motion.py. Maps are channels-last and x is ``(N*T, C, H, W)``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

__all__ = ['applies', 'expand_onto', 'look']

PLAIN = {nn.Conv2d, nn.Linear}
VECTOR = 16  # numbers of float32 in the widest registers of a CPU


def applies(block: nn.Module, x: Tensor) -> bool:
    """Whether the fast path computes what ``block`` would.

    It does on a CPU, unless something needs to see or to change what passes
    between the block's modules: hooks, autocast, tracing, compilation, or
    layers of other types in place of the block's own.

    Args:
        block: An ``STMBlock`` or an ``MCB``.
        x: Its input.
    """
    motion, cstm = block.motion, block.cstm
    layers = (cstm.temporal, cstm.spatial, motion.reduce, block.expand)
    return (
        x.device.type == 'cpu'
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and all(
            type(layer) in PLAIN and layer.weight.dtype == x.dtype
            for layer in layers
        )
        and not any(
            _has_hooks(part) for part in block.modules() if part is not block
        )
    )


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def look(
    x: Tensor, temporal: Tensor, spatial: Tensor, reduce: Tensor, length: int
) -> tuple[Tensor, Tensor]:
    """F^S and the reduced features, from the block's input.

    Args:
        x: ``(N*T, C, H, W)``.
        temporal: CSTM's weight over time, ``(C, 1, 3, 1)``.
        spatial: CSTM's weight over space, ``(C, 1, 3, 3)``.
        reduce: ``(C/16, C)``.
        length: T.

    Returns:
        F^S, ``(N*T, C, H, W)``, and ``(N*T*H*W, C/16)``.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    width = len(reduce)
    if width > VECTOR and width % VECTOR:
        # 45 columns take longer than 48, of which three are zero.
        reduce = F.pad(reduce, (0, 0, 0, -width % VECTOR))
    f_s, reduced = _Look.apply(x, temporal, spatial, reduce, length)
    return f_s, reduced[:, :width]


def expand_onto(f_s: Tensor, motion: Tensor, weight: Tensor) -> Tensor:
    """F^S + E(motion), written over F^S.

    Args:
        f_s: ``(N*T, C, H, W)``, lost.
        motion: ``(N*T, c, H, W)``.
        weight: E, ``(C, c)``.
    """
    rows = motion.permute(0, 2, 3, 1).reshape(-1, motion.shape[1])
    return _ExpandOnto.apply(f_s, rows, weight.t().contiguous())


def _rows(x: Tensor) -> Tensor:
    """Channels-last ``(M, C, H, W)`` seen as ``(M*H*W, C)``."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


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
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a channel-wise convolution's input and weight."""
    ones = (1, 1)
    return torch.ops.aten.convolution_backward(
        *(grad, x, weight, None, ones, padding, ones, False, (0, 0)),
        x.shape[1],
        (*needs, False),
    )[:2]


class _Look(Function):
    """:func:`look`, of which only the input is kept."""

    @staticmethod
    def forward(ctx, x, temporal, spatial, reduce, length):
        ctx.save_for_backward(x, temporal, spatial, reduce)
        ctx.length = length
        f_s = F.conv2d(
            _mix(x, temporal, length), spatial, padding=1, groups=x.shape[1]
        )
        return f_s, F.linear(_rows(x), reduce)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_s, g_reduced):
        x, temporal, spatial, reduce = ctx.saved_tensors
        for_x, for_temporal, for_spatial, for_reduce, _ = ctx.needs_input_grad
        g_x = g_temporal = g_spatial = g_reduce = None
        if for_reduce:
            g_reduce = g_reduced.t() @ _rows(x)
        before = for_x or for_temporal
        if before or for_spatial:
            g_s = g_s.contiguous(memory_format=torch.channels_last)
            g_mixed, g_spatial = _convolve_back(
                g_s,
                _mix(x, temporal, ctx.length),
                spatial,
                (1, 1),
                (before, for_spatial),
            )
        if before:
            g_images, g_temporal = _convolve_back(
                _over_time(g_mixed, ctx.length),
                _over_time(x, ctx.length),
                temporal,
                (1, 0),
                (for_x, for_temporal),
            )
        if for_x:
            g_x = _over_space(g_images, x)
            _rows(g_x).addmm_(g_reduced, reduce)
        return g_x, g_temporal, g_spatial, g_reduce, None


class _ExpandOnto(Function):
    """:func:`expand_onto`, in rows: ``f_s += motion @ weight``."""

    @staticmethod
    def forward(ctx, f_s, motion, weight):
        ctx.save_for_backward(motion, weight)
        ctx.mark_dirty(f_s)
        _rows(f_s).addmm_(motion, weight)
        return f_s

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        motion, weight = ctx.saved_tensors
        _, for_motion, for_weight = ctx.needs_input_grad
        rows = _rows(grad)
        g_motion = F.linear(rows, weight) if for_motion else None
        return grad, g_motion, motion.t() @ rows if for_weight else None
