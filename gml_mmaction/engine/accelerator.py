"""What a run does otherwise on a GPU, and the compiled backbone.

None of it was ever run on a GPU.
"""

import logging
import os
import time
from typing import Any

import torch
from mmengine.logging import print_log
from torch import nn

from gml_mmaction import kernels
from gml_mmaction.errors import SettingError
from gml_mmaction.host.workaround import cpu_only
from gml_mmaction.io.text import one_line, printable
from gml_mmaction.kernels import gpu

from .settings import LOADERS

__all__ = [
    'TF32',
    'check_kernel',
    'compile_backbone',
    'float32_on_gpus',
    'settle_accelerator',
    'use_accelerator',
]


# PyTorch's own, as float32_on_gpus says it
TF32 = 'TF32 in convolutions, float32 in matrix products'


def settle_accelerator(cfg: Any) -> None:
    """Give loaders and libraries what a GPU needs.

    Batches are copied from page-locked memory, and cuBLAS gets the workspace
    without which its sums are refused as not deterministic.

    Args:
        cfg: ``mmengine.Config``; changed in place, unless on a CPU.

    Raises:
        SettingError: The backbone or the motion blocks' kernel is to be
            compiled, and nothing can be.
    """
    if cfg.get('compile_backbone'):
        check_compiler('cpu' if cpu_only() else 'cuda')
    check_kernel()
    if cpu_only():
        return
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, dict):
            loader.setdefault('pin_memory', True)
    if (cfg.get('randomness') or {}).get('deterministic'):
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    set_tf32(cfg.get('tf32'))


def set_tf32(allowed: bool | None) -> None:
    """Let float32 products on GPUs be TF32, or not; None is PyTorch's own.

    TF32 keeps 10 of float32's 23 bits of a factor. PyTorch's own is TF32 in
    convolutions, float32 in matrix products.
    """
    if allowed is not None:
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed


def float32_on_gpus() -> str:
    """How float32 is computed there: 'TF32 in convolutions, ...'."""
    if os.environ.get('NVIDIA_TF32_OVERRIDE') == '0':
        return 'float32 everywhere, as NVIDIA_TF32_OVERRIDE=0 is set'
    kinds = {True: 'TF32', False: 'float32'}
    convolutions, products = (kinds[allowed] for allowed in gpu.tf32_allowed())
    return f'{convolutions} in convolutions, {products} in matrix products'


def use_accelerator(runner: Any) -> None:
    """Let a built runner use its GPU; say what differs from a CPU.

    Copies to the GPU do not wait for it. An operator that cannot be
    deterministic warns where PyTorch would refuse.

    Args:
        runner: Of MMEngine.
    """
    if cpu_only():
        return
    model = getattr(runner.model, 'module', runner.model)
    preprocessor: Any = getattr(model, 'data_preprocessor', None)
    if hasattr(preprocessor, '_non_blocking'):
        preprocessor._non_blocking = True
    runner.logger.info(f'float32 on this GPU: {float32_on_gpus()}')
    if torch.are_deterministic_algorithms_enabled():
        # PyTorch's own errors would end a run in its first step.
        torch.use_deterministic_algorithms(True, warn_only=True)
        runner.logger.info(
            '--deterministic: an operator that has no deterministic form on '
            'a GPU warns once, and two runs may then differ'
        )


def compile_backbone(model: nn.Module) -> None:
    """Let torch.compile have the backbone; names in checkpoints stay.

    The motion blocks then run by their definition, which is one graph with
    what is around them.

    Args:
        model: A recognizer, maybe in a wrapper for several processes.
    """
    kernels.plain(model)
    inner: Any = getattr(model, 'module', model)
    inner.backbone.compile()
    print_log('the backbone is compiled at its first batch', 'current')


def check_kernel() -> None:
    """Try the motion blocks' kernel for GPUs if a user wants it.

    Raises:
        SettingError: It cannot be compiled here.
    """
    if why := gpu.why_not():
        raise SettingError(
            f'GML_TRITON=1: the kernel cannot be compiled here '
            f'({printable(" ".join(why.split())):.150}). Remedy: leave it '
            'unset; GML_TRITON=1 needs a GPU and Triton'
        )
    if gpu.asked():
        print_log(
            "GML_TRITON=1: the motion blocks' kernel for GPUs, which was "
            'tested in an interpreter and never run on one',
            'current',
            logging.WARNING,
        )


def check_compiler(device: str) -> None:
    """Compile one operation.

    Raises:
        SettingError: It failed; the line says why.
    """
    number = time.time()  # so that nothing has been compiled before
    try:
        torch.compile(lambda x: x.sin() + number)(
            torch.ones(64, device=device)
        )
    except Exception as error:  # of a compiler, a linker or a file system
        tool = 'a C++ compiler (CXX)'
        if device == 'cuda':
            tool = 'Triton and a C compiler (CC)'
        raise SettingError(
            f'--compile: nothing can be compiled here '
            f'({one_line(error):.150}). Remedy: leave it out, or install '
            f'{tool}'
        ) from None
