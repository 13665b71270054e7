"""The motion blocks of models/motion.py, in less time and memory.

Most of what a motion block adds to a depth-wise convolution is traffic of
maps of all C channels. Here F^S is written once and the expanded motion is
added in place; the map between CSTM's two convolutions is not kept for the
backward pass, which computes it again; and matrix products are written in
the order that reads rows of ``H*W*C`` in memory. Where the kernel has been
built (:mod:`.library`), a block is three passes: the reduction, the motion in
its C/16 channels, and F^S with the expansion, which is all that is written.
A ReLU before the block is then no pass of its own: it is part of reading x.

The operators run on a GPU too, under autocast as well, where they save the
same memory; nobody has measured them there. :mod:`.gpu` has a kernel for it.

First derivatives only: what asks for second ones, for forward-mode
derivatives or for ``vmap`` takes the definition (:func:`.plain`).

Shapes: as in models/motion.py. Maps are channels-last and x is
``(N*T, C, H, W)``.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from . import gpu, library

__all__ = ['applies', 'cstm_applies', 'cstm_forward', 'forward', 'has_hooks']

PLAIN = {nn.Conv2d, nn.Linear}
VECTOR = 8  # columns that matrix products take at a time


def applies(block: nn.Module, x: Tensor) -> bool:
    """Whether :func:`forward` computes what the block's definition would.

    It does unless something needs to see or to change what passes between
    the block's modules: hooks, autocast on a CPU, tracing, export, or layers
    of other types in place of the block's own.

    Args:
        block: An ``STMBlock`` or an ``MCB``.
        x: Its input.
    """
    parts = _parts(block)
    return _is_free(x, parts[:4], parts[4:])


def cstm_applies(cstm: Any, x: Tensor) -> bool:
    """The same of a CSTM alone, for which there is the kernel only."""
    return (
        x.is_cpu
        and x.dtype == torch.float32
        and library.ready()
        and x.shape[0] % cstm.num_segments == 0
        and _is_free(x, _layers(cstm))
    )


def _is_free(
    x: Tensor,
    layers: Sequence[nn.Module],
    around: Sequence[nn.Module] = (),
) -> bool:
    """Whether nothing looks into what passes between these modules."""
    return (
        (x.is_cuda or (x.is_cpu and not torch.is_autocast_enabled('cpu')))
        and not _is_exporting()
        and not torch.jit.is_tracing()
        and not any(map(has_hooks, layers))
        and not any(map(has_hooks, around))
        and all(
            type(layer) in PLAIN
            and (weight := _weight(layer)) is not None
            and (weight.dtype == x.dtype or (x.is_cuda and _half(x)))
            for layer in layers
        )
    )


def _parts(block: Any) -> tuple[Any, ...]:
    """The layers, CSTM's two, the reduction and E, and their surroundings.

    From the tables of the modules: ``nn.Module.__getattr__`` is written in
    Python and, asked thirty times, takes as long as a small map does.
    """
    own = block._modules
    cstm, motion = own['cstm'], own['motion']
    inner = motion._modules
    around = cstm, motion, inner['norm'], inner['k_pm']
    return *_layers(cstm), inner['reduce'], own['expand'], *around


def _layers(cstm: Any) -> tuple[Any, Any]:
    return cstm._modules['temporal'], cstm._modules['spatial']


def _weight(layer: Any) -> Any:
    return layer._parameters.get('weight')


def _half(x: Tensor) -> torch.dtype | None:
    """What autocast makes of convolutions and products there, if it is on."""
    device = x.device.type
    if not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def _is_exporting() -> bool:
    # PyTorch 2.6 does not distinguish export from compilation.
    compiler = torch.compiler
    return getattr(compiler, 'is_exporting', compiler.is_compiling)()


def has_hooks(module: nn.Module) -> bool:
    """Whether a module's input or output is looked at or changed."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


@torch.compiler.disable  # the compiler keeps out, and takes the rest
def forward(block: Any, x: Tensor, relu: nn.Module | None = None) -> Tensor:
    """What ``block`` computes of ``relu(x)``, where :func:`applies` holds."""
    parts = _parts(block)
    temporal, spatial, reduce, expand, _, motion, norm, k_pm = parts
    length = motion.num_segments
    by_triton = gpu.taken(x, length)
    by_kernel = not by_triton and _kernel_applies(block, x, motion, norm, k_pm)
    x, rectify = _prepare(x, relu, by_kernel or by_triton)
    if by_kernel:
        weights = (
            *map(_weight, (temporal, spatial, reduce, expand, k_pm, norm)),
            norm._parameters['bias'],
        )
        how = norm, length, motion.num_orders, rectify
        if torch.is_grad_enabled():
            return _Kernel.apply(x, *weights, *how)
        return _run_kernel(x, weights, *how)[0]
    operands = x, *map(_weight, (reduce, temporal, spatial, expand))
    if half := _half(x):
        operands = tuple(tensor.to(half) for tensor in operands)
    x, narrow, over_time, over_space, wide = operands
    frames, _, height, width = x.shape
    if by_triton:
        x, reduced = gpu.reduce(
            x, narrow, over_time, over_space, length, rectify
        )
    else:
        x, reduced = _Reduce.apply(x, narrow)
    f_d = norm(reduced).reshape(frames, height, width, -1)
    rows = _rows(block.together(motion.orders(f_d.permute(0, 3, 1, 2))))
    rows = rows.to(x.dtype)
    add = gpu.sum_up if by_triton else _sum_up
    return add(x, over_time, over_space, rows, wide, length, rectify)


def _sum_up(*args: Any) -> Tensor:
    """As :func:`.gpu.sum_up`, of an x that has been through its ReLU."""
    return _Sum.apply(*args[:-1])


@torch.compiler.disable
def cstm_forward(
    cstm: nn.Module, x: Tensor, relu: nn.Module | None = None
) -> Tensor:
    """What it computes of ``relu(x)``, where :func:`cstm_applies` holds."""
    x, rectify = _prepare(x, relu, by_kernel=True)
    weights = map(_weight, _layers(cstm))
    return _CSTM.apply(x, *weights, cstm.num_segments, rectify)


def _prepare(
    x: Tensor, relu: nn.Module | None, by_kernel: bool
) -> tuple[Tensor, bool]:
    """The input in channels-last; whether the kernel has to apply a ReLU."""
    rectify = by_kernel and type(relu) is nn.ReLU and not has_hooks(relu)
    if relu is not None and not rectify:
        x = relu(x)
    return x.contiguous(memory_format=torch.channels_last), rectify


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
        return x.view_as(x), _narrow(_rows(x), weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_x: Any, g_reduced: Any) -> Any:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad
        if for_x:
            _rows(g_x).addmm_(g_reduced, weight)
        return g_x, g_reduced.t() @ _rows(x) if for_weight else None


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
        _rows(f_s).addmm_(motion, expand.t())
        return f_s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        x, temporal, spatial, motion, expand = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)
        rows = _rows(grad)
        grads: Any = [None] * 3
        if any(needs[:3]):
            grads = _cstm_back(
                grad, x, (temporal, spatial), ctx.length, needs[:3]
            )
        g_motion = _narrow(rows, expand.t()) if needs[3] else None
        g_expand = (motion.t() @ rows).t() if needs[4] else None
        return *grads, g_motion, g_expand, None


def _kernel_applies(
    block: Any, x: Tensor, motion: Any, norm: Any, k_pm: Any
) -> bool:
    """Whether the kernel knows the block: the defaults, in float32."""
    return (
        x.is_cpu
        and x.dtype == torch.float32
        and library.ready()
        and x.shape[0] % motion.num_segments == 0
        and motion.boundary == 'zero'
        and (block.shared or motion.num_orders == 1)
        and type(norm) is nn.BatchNorm1d
        and norm.affine
        and norm.track_running_stats
        and (weight := _weight(norm)) is not None
        and weight.dtype == x.dtype
        and type(k_pm) is nn.Conv2d
        and x.numel() > x.shape[1]
    )


class _Kernel(Function):
    """A block by the kernel, forward and backward in one call each.

    The arguments are x, CSTM's kernels over time and space, the reduction
    ``(c, C)``, E's weight ``(C, c)``, K^PM, the norm's weight and bias, the
    norm itself, T, the number of orders of motion, and whether x goes through
    a ReLU first.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, *args: Any) -> Any:
        weights, how = args[:7], args[7:]
        y, *inner = _run_kernel(x, weights, *how)
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
    """CSTM by the kernel; x, both kernels, T, and whether x meets a ReLU."""

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


def _run_kernel(
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
