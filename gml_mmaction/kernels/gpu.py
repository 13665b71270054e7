"""A kernel of the motion blocks for GPUs, which no GPU has run yet.

``GML_TRITON=1`` takes it, on a GPU with Triton, which PyTorch's builds for
CUDA bring. Its numbers are tested in Triton's interpreter and it is compiled
for three generations of GPUs, both on a CPU; nobody knows its speed. Without
the variable those of PyTorch are taken (:mod:`.operators`).

A block is two passes over maps of all C channels: the reduction, and F^S with
the expanded motion. A ReLU before the block is part of reading x. Backward,
the gradient of x is the same pass with flipped kernels, in which the gradient
of the reduction is what is expanded.
"""

import functools
import os
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .operators import rows_of

__all__ = ['asked', 'reduce', 'sum_up', 'taken', 'tf32_allowed', 'why_not']


def asked() -> bool:
    """Whether ``GML_TRITON=1`` is set."""
    return os.environ.get('GML_TRITON') == '1'


def taken(x: Tensor, length: int) -> bool:
    """Whether the kernel takes a block's input; on a CPU in the interpreter.

    Args:
        x: ``(N*T, C, H, W)``.
        length: T.
    """
    return (
        asked()
        and (x.is_cuda or os.environ.get('TRITON_INTERPRET') == '1')
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and x.shape[0] % length == 0
    )


@functools.cache
def why_not() -> str:
    """Why the kernel cannot be compiled here; '' if it can, or need not be.

    A block of 16 channels is tried, so that no training ends on it.
    """
    if not asked():
        return ''
    try:
        stencil()
        x = torch.randn(2, 16, 4, 4, device='cuda')
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        kernels = x.new_ones(16, 1, 3, 1), x.new_ones(16, 1, 3, 3)
        weight = x.new_ones(1, 16)
        same, rows = reduce(x, weight, *kernels, 2, True)
        y = sum_up(same, *kernels, rows, weight.t().contiguous(), 2, True)
        y.sum().backward()
    except Exception as error:  # of Triton, its assembler or the driver
        return f'{type(error).__name__}: {error}'
    return ''


@functools.cache
def stencil() -> ModuleType:
    """The kernels' module.

    Raises:
        ImportError: Triton is not installed.
    """
    from .triton_src import stencil as kernels

    return kernels


def reduce(
    x: Tensor,
    weight: Tensor,
    temporal: Tensor,
    spatial: Tensor,
    length: int,
    rectify: bool,
) -> tuple[Tensor, Tensor]:
    """A block's input, for :func:`sum_up` alone, and its reduction.

    Args:
        x: ``(N*T, C, H, W)``, channels-last.
        weight: The reduction, ``(c, C)``.
        temporal: CSTM's kernel over time, which the way back needs.
        spatial: CSTM's kernel over space, likewise.
        length: T.
        rectify: Whether x goes through a ReLU first.

    Returns:
        x, and ``(N*T*H*W, c)``. What comes back through the first is the
        gradient of the block's output.
    """
    return _Reduce.apply(x, weight, temporal, spatial, length, rectify)


def sum_up(
    x: Tensor,
    temporal: Tensor,
    spatial: Tensor,
    rows: Tensor,
    expand: Tensor,
    length: int,
    rectify: bool,
) -> Tensor:
    """F^S + E(motion), written once.

    Args:
        x: The first result of :func:`reduce`.
        temporal: ``(C, 1, 3, 1)``.
        spatial: ``(C, 1, 3, 3)``.
        rows: The motion, ``(N*T*H*W, c)``.
        expand: E, ``(C, c)``.
        length: T.
        rectify: Whether x goes through a ReLU first.
    """
    return _Sum.apply(x, temporal, spatial, rows, expand, length, rectify)


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, *rest: Any) -> Any:
        temporal, spatial, ctx.length, ctx.rectify = rest
        ctx.save_for_backward(x, weight, temporal, spatial)
        return x.view_as(x), _reduced(x, weight, ctx.rectify)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_y: Any, g_reduced: Any) -> Any:
        x, weight, temporal, spatial = ctx.saved_tensors
        g_reduced = g_reduced.contiguous()
        g_x = g_weight = None
        if ctx.needs_input_grad[0]:
            g_x = _mixed(
                *(g_y, temporal.flip(2), spatial.flip(2, 3)),
                *(g_reduced, weight.t(), ctx.length),
                seen=x if ctx.rectify else None,
            )
        if ctx.needs_input_grad[1]:
            pixels = rows_of(x.relu() if ctx.rectify else x)
            g_weight = g_reduced.to(x.dtype).t() @ pixels
        return g_x, g_weight, *[None] * 4


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, *rest: Any) -> Any:
        temporal, spatial, rows, expand, ctx.length, ctx.rectify = rest
        rows = rows.contiguous()
        ctx.save_for_backward(x, temporal, spatial, rows, expand)
        return _mixed(
            *(x, temporal, spatial, rows, expand, ctx.length),
            rectify=ctx.rectify,
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        x, temporal, spatial, rows, expand = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        needs = ctx.needs_input_grad
        g_temporal = g_spatial = None
        if needs[1] or needs[2]:
            sums = _correlated(x, grad, ctx.length, ctx.rectify)
            over_time, over_space = temporal.float(), spatial.float()
            g_temporal = (sums * over_space.flatten(1)[:, None]).sum(2)
            g_spatial = (sums * over_time.flatten(1)[:, :, None]).sum(1)
            g_temporal = g_temporal.view_as(temporal).to(temporal.dtype)
            g_spatial = g_spatial.view_as(spatial).to(spatial.dtype)
        pixels = rows_of(grad)
        g_rows = pixels @ expand if needs[3] else None
        g_expand = pixels.t() @ rows if needs[4] else None
        return grad, g_temporal, g_spatial, g_rows, g_expand, None, None


def tf32_allowed() -> tuple[bool, bool]:
    """Whether convolutions and matrix products may be TF32.

    PyTorch 2.9 has a second set of names for it, and refuses to read a value
    by the first that was set by the second.
    """
    backends: Any = torch.backends
    convolutions, products = backends.cudnn, backends.cuda.matmul
    if hasattr(products, 'fp32_precision'):
        convolutions = convolutions.conv
        return (
            convolutions.fp32_precision == 'tf32',
            products.fp32_precision == 'tf32',
        )
    return convolutions.allow_tf32, products.allow_tf32


def _precision(x: Tensor) -> str:
    """Of factors: float32's as PyTorch has it; TF32 holds halves whole."""
    _, allowed = tf32_allowed()
    return 'tf32' if allowed or x.dtype != torch.float32 else 'ieee'


def _tile(width: int) -> int:
    return 16 if width <= 16 else 32


def _mixed(
    x: Tensor,
    temporal: Tensor,
    spatial: Tensor,
    rows: Tensor,
    expand: Tensor,
    length: int,
    rectify: bool = False,
    seen: Tensor | None = None,
) -> Tensor:
    frames, channels, height, width = x.shape
    y = torch.empty_like(x)
    tile = _tile(width)
    grid = (frames * height, -(-width // tile), -(-channels // 32))
    with torch.cuda.device_of(x):  # not the current one
        stencil().mix[grid](
            *(x, y, temporal.contiguous(), spatial.contiguous()),
            *(rows.to(x.dtype).contiguous(), expand.to(x.dtype).contiguous()),
            y if seen is None else seen,
            *(length, height, width, channels),
            K=rows.shape[1],
            RELU=rectify,
            MASK=seen is not None,
            PRECISION=_precision(x),
            BW=tile,
            BC=32,
            BK=16,
        )
    return y


def _correlated(x: Tensor, grad: Tensor, length: int, rectify: bool) -> Tensor:
    """``(C, 3, 9)``: by frames, then by rows and columns."""
    frames, channels, height, width = x.shape
    lines, tile = frames * height, _tile(width)
    rows = max(1, lines // 128)  # of a program
    programs = -(-lines // rows)
    sums = x.new_empty(programs, 27, channels, dtype=torch.float32)
    with torch.cuda.device_of(x):  # not the current one
        stencil().correlate[(programs, -(-channels // 32))](
            *(x, grad, sums, length, height, width, channels, lines),
            RELU=rectify,
            ROWS=rows,
            TILES=-(-width // tile),
            BW=tile,
            BC=32,
        )
    return sums.sum(0).t().unflatten(1, (3, 9))


def _reduced(x: Tensor, weight: Tensor, rectify: bool) -> Tensor:
    channels, columns = x.shape[1], len(weight)
    pixels = x.numel() // channels
    rows = x.new_empty(pixels, columns)
    block = 16 if columns <= 16 else 32
    with torch.cuda.device_of(x):  # not the current one
        stencil().reduce[(-(-pixels // 64), -(-columns // block))](
            *(x, rows, weight.to(x.dtype).contiguous(), pixels),
            C=channels,
            K=columns,
            RELU=rectify,
            PRECISION=_precision(x),
            BM=64,
            BC=32,
            BK=block,
        )
    return rows
