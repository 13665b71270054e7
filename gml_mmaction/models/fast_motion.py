"""The motion blocks of motion.py on a CPU: the same numbers, less memory.

Most of what a motion block adds to a depth-wise convolution is traffic of
maps of all C channels. Here F^S is written once and the expanded motion is
added in place; the map between CSTM's two convolutions is not kept for the
backward pass, which computes it again; and matrix products are written in
the order that reads rows of ``H*W*C`` in memory. Where motion.c has been
built (:mod:`.native`), CSTM's two convolutions and what lies between the
reduction and the expansion take one pass each.

First derivatives only: what asks for second ones, for forward-mode
derivatives or for ``vmap`` sets ``fast = False`` on the blocks.

Shapes: as in motion.py. Maps are channels-last and x is ``(N*T, C, H, W)``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from . import native

__all__ = ['applies', 'forward']

PLAIN = {nn.Conv2d, nn.Linear}
VECTOR = 8  # columns that matrix products take at a time


def applies(block: nn.Module, x: Tensor) -> bool:
    """Whether the fast path computes what ``block`` would.

    It does on a CPU, unless something needs to see or to change what passes
    between the block's modules: hooks, autocast, tracing, export, or
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
        and not _is_exporting()
        and not torch.jit.is_tracing()
        and all(
            type(layer) in PLAIN and layer.weight.dtype == x.dtype
            for layer in layers
        )
        and not any(
            _has_hooks(part) for part in block.modules() if part is not block
        )
    )


def _is_exporting() -> bool:
    # PyTorch 2.6 tells no difference between export and compilation.
    compiler = torch.compiler
    return getattr(compiler, 'is_exporting', compiler.is_compiling)()


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


@torch.compiler.disable  # the compiler keeps out, and takes the rest
def forward(block: nn.Module, x: Tensor) -> Tensor:
    """What ``block`` computes, where :func:`applies` holds."""
    motion, cstm = block.motion, block.cstm
    x = x.contiguous(memory_format=torch.channels_last)
    f_s, reduced = _Look.apply(
        x,
        cstm.temporal.weight,
        cstm.spatial.weight,
        _pad(motion.reduce.weight, 0),
        cstm.num_segments,
    )
    if _native_motion(block, x):
        rows = native_motion(motion, reduced, x)
    else:
        f_d = motion.norm(reduced[:, : motion.out_channels])
        frames, _, height, width = x.shape
        f_d = f_d.reshape(frames, height, width, -1).permute(0, 3, 1, 2)
        rows = _pad(_rows(block.together(motion.orders(f_d))), 1)
    weight = _pad(block.expand.weight.t(), 0).contiguous()
    return _ExpandOnto.apply(f_s, rows, weight)


def _pad(x: Tensor, dim: int) -> Tensor:
    """Zeros at the end of a dimension; 45 columns take longer than 48."""
    size = x.shape[dim]
    if size <= VECTOR or size % VECTOR == 0:
        return x
    return F.pad(x, (*(0, 0) * (x.dim() - 1 - dim), 0, -size % VECTOR))


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


def _cstm(x: Tensor, temporal: Tensor, spatial: Tensor, length: int) -> Tensor:
    """F^S without a thought of gradients."""
    if _native_for(x):
        f_s = torch.empty_like(x)
        kernels = _taps(temporal), _taps(spatial)
        native.call('cstm_forward', x, f_s, *kernels, *_sizes(x, length))
        return f_s
    return F.conv2d(
        _mix(x, temporal, length), spatial, padding=1, groups=x.shape[1]
    )


def _cstm_back(
    grad: Tensor,
    x: Tensor,
    kernels: tuple[Tensor, Tensor],
    length: int,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of CSTM's input and of its kernels over time and space."""
    temporal, spatial = kernels
    grad = grad.contiguous(memory_format=torch.channels_last)
    if _native_for(x):
        g_x = torch.empty_like(x)
        taps = [_taps(kernel) for kernel in kernels]
        g_taps = [torch.empty_like(tap) for tap in taps]
        native.call(
            'cstm_backward', x, grad, g_x, *taps, *g_taps, *_sizes(x, length)
        )
        return g_x, *(
            tap[:, : x.shape[1]].t().reshape(kernel.shape)
            for tap, kernel in zip(g_taps, kernels)
        )
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


def _native_for(x: Tensor) -> bool:
    return x.dtype == torch.float32 and native.ready()


def _taps(kernel: Tensor) -> Tensor:
    """``(C, ...)`` as ``(taps, C)``, C rounded up to 16."""
    taps = kernel.flatten(1).t()
    return F.pad(taps, (0, -taps.shape[1] % 16)).contiguous()


def _sizes(x: Tensor, length: int) -> tuple[int, ...]:
    """N, T, H, W, C and the number of threads."""
    frames, channels, height, width = x.shape
    threads = torch.get_num_threads()
    return frames // length, length, height, width, channels, threads


class _Look(Function):
    """F^S and the reduced features of a block's input, which alone is kept.

    The arguments are x, CSTM's kernels over time and space, the reduction
    ``(c, C)`` and T; the results are ``(N*T, C, H, W)`` and
    ``(N*T*H*W, c)``.
    """

    @staticmethod
    def forward(ctx, x, temporal, spatial, reduce, length):
        ctx.save_for_backward(x, temporal, spatial, reduce)
        ctx.length = length
        f_s = _cstm(x, temporal, spatial, length)
        return f_s, F.linear(_rows(x), reduce)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_s, g_reduced):
        x, temporal, spatial, reduce = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        g_x = g_temporal = g_spatial = g_reduce = None
        if ctx.needs_input_grad[3]:
            g_reduce = g_reduced.t() @ _rows(x)
        if any(needs):
            g_x, g_temporal, g_spatial = _cstm_back(
                g_s, x, (temporal, spatial), ctx.length, needs
            )
        if needs[0]:
            _rows(g_x).addmm_(g_reduced, reduce)
        return g_x, g_temporal, g_spatial, g_reduce, None


class _ExpandOnto(Function):
    """F^S + E(motion), written over F^S.

    The arguments are F^S, the motion in rows, ``(N*T*H*W, c)``, and E,
    ``(c, C)``.
    """

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


def _native_motion(block: nn.Module, x: Tensor) -> bool:
    """Whether motion.c knows the block's motion features: the defaults."""
    motion = block.motion
    norm = motion.norm
    return (
        _native_for(x)
        and motion.boundary == 'zero'
        and (block.shared or motion.num_orders == 1)
        and type(norm) is nn.BatchNorm1d
        and norm.affine
        and norm.track_running_stats
        and norm.weight.dtype == x.dtype
        and type(motion.k_pm) is nn.Conv2d
        and x.numel() > x.shape[1]
    )


def native_motion(motion: nn.Module, reduced: Tensor, x: Tensor) -> Tensor:
    """F^M, or F^M + F^MM, from what batch normalisation is to read.

    Args:
        motion: A ``CMM`` or ``MCM``.
        reduced: ``(N*T*H*W, c)``, c at least the module's C/16.
        x: The block's input, for its shape.
    """
    norm, c = motion.norm, reduced.shape[1]
    sizes = *_sizes(x, motion.num_segments)[:4], c
    mean, variance = _moments(norm, reduced, sizes)
    taps = motion.k_pm.weight.flatten(1).t()
    weight, bias, taps = (
        F.pad(each, (0, c - motion.out_channels))
        for each in (norm.weight, norm.bias, taps)
    )
    return _Motion.apply(
        reduced,
        weight,
        bias,
        taps,
        mean,
        (variance + norm.eps).rsqrt(),
        norm.training,
        (*sizes, motion.num_orders),
    )


@torch.no_grad()
def _moments(
    norm: nn.BatchNorm1d, rows: Tensor, sizes: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Mean and variance that ``norm`` would take, its own or the batch's."""
    channels, c = norm.num_features, sizes[-1]
    if not norm.training:
        padding = (0, c - channels)
        return F.pad(norm.running_mean, padding), F.pad(
            norm.running_var, padding
        )
    mean, variance = rows.new_empty(c), rows.new_empty(c)
    frames, height, width = sizes[0] * sizes[1], sizes[2], sizes[3]
    native.call(
        'moments', rows.detach(), mean, variance, frames * height, width, c
    )
    norm.num_batches_tracked.add_(1)
    share = norm.momentum
    if share is None:
        share = 1 / norm.num_batches_tracked.item()
    unbiased = variance * (len(rows) / (len(rows) - 1))
    norm.running_mean.lerp_(mean[:channels], share)
    norm.running_var.lerp_(unbiased[:channels], share)
    return mean, variance


class _Motion(Function):
    """:func:`native_motion`; what stands between is made again."""

    @staticmethod
    def forward(ctx, rows, weight, bias, taps, mean, inverse, training, sizes):
        taps = taps.contiguous()
        ctx.save_for_backward(rows, weight, bias, taps, mean, inverse)
        ctx.training, ctx.sizes = training, sizes
        scale = weight * inverse
        out = torch.empty_like(rows)
        native.call(
            *('motion_forward', rows, out, scale, bias - mean * scale, taps),
            *(*sizes, torch.get_num_threads()),
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        rows, weight, bias, taps, mean, inverse = ctx.saved_tensors
        scale = weight * inverse
        g_rows, g_taps = torch.empty_like(rows), torch.empty_like(taps)
        total, total_x = torch.empty_like(mean), torch.empty_like(mean)
        native.call(
            *('motion_backward', rows, grad.contiguous(), g_rows),
            *(scale, bias - mean * scale, taps, mean, g_taps, total, total_x),
            *(*ctx.sizes, torch.get_num_threads()),
        )
        *_, width, c, _ = ctx.sizes
        if ctx.training:  # through the mean and the variance of the batch
            for_x = -scale * inverse**2 * total_x / len(rows)
            const = -scale * total / len(rows) - for_x * mean
        else:
            for_x = const = torch.zeros_like(mean)
        native.call(
            *('combine', g_rows, rows, scale, for_x, const),
            *(len(rows) // width, width, c),
        )
        g_weight = total_x * inverse
        return g_rows, g_weight, total, g_taps, None, None, None, None
