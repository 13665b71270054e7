"""A motion block's fast forward pass: whether it may be taken, and which.

There are three, from the slowest: PyTorch's operators (:mod:`.operators`) on
any device, the compiled kernel (:mod:`.cpu`) where it has been built, and
Triton's (:mod:`.gpu`) where a user asks for it. In both kernels a ReLU before
the block is no pass of its own: it is part of reading x.

First derivatives only: what asks for second ones, for forward-mode
derivatives or for ``vmap`` takes the definition (:func:`.plain`).

Shapes: as in models/motion.py. Maps are channels-last and x is
``(N*T, C, H, W)``.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import cpu, gpu, operators

__all__ = ['applies', 'cstm_applies', 'cstm_forward', 'forward', 'has_hooks']

PLAIN = {nn.Conv2d, nn.Linear}


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
    return cpu.takes(x, cstm.num_segments) and _is_free(x, _layers(cstm))


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
    by_kernel = not by_triton and cpu.takes_block(x, block, motion, norm, k_pm)
    x, rectify = _prepare(x, relu, by_kernel or by_triton)
    if by_kernel:
        weights = (
            *map(_weight, (temporal, spatial, reduce, expand, k_pm, norm)),
            norm._parameters['bias'],
        )
        how = norm, length, motion.num_orders, rectify
        return cpu.block(x, weights, *how)
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
        x, reduced = operators.reduce(x, narrow)
    f_d = norm(reduced).reshape(frames, height, width, -1)
    f_m = block.together(motion.orders(f_d.permute(0, 3, 1, 2)))
    rows = operators.rows_of(f_m).to(x.dtype)
    summed = x, over_time, over_space, rows, wide, length
    if by_triton:
        return gpu.sum_up(*summed, rectify)
    return operators.sum_up(*summed)


@torch.compiler.disable
def cstm_forward(
    cstm: Any, x: Tensor, relu: nn.Module | None = None
) -> Tensor:
    """What it computes of ``relu(x)``, where :func:`cstm_applies` holds."""
    x, rectify = _prepare(x, relu, by_kernel=True)
    temporal, spatial = map(_weight, _layers(cstm))
    return cpu.cstm(x, temporal, spatial, cstm.num_segments, rectify)


def _prepare(
    x: Tensor, relu: nn.Module | None, by_kernel: bool
) -> tuple[Tensor, bool]:
    """The input in channels-last; whether the kernel has to apply a ReLU."""
    rectify = by_kernel and type(relu) is nn.ReLU and not has_hooks(relu)
    if relu is not None and not rectify:
        x = relu(x)
    return x.contiguous(memory_format=torch.channels_last), rectify
