"""Several processes: gloo, Slurm, SyncBN, lost processes, the end."""

import atexit
import contextlib
import datetime
import functools
import gc
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gml_mmaction.errors import GMLError
from gml_mmaction.io.text import one_line

from .workaround import Workaround, cpu_only, mark, why_cpu

LAUNCHER_VARIABLES = (
    'RANK',
    'LOCAL_RANK',
    'WORLD_SIZE',
    'MASTER_ADDR',
    'MASTER_PORT',
)

SLURM_VARIABLES = (
    'SLURM_PROCID',
    'SLURM_LOCALID',
    'SLURM_NTASKS',
    'SLURM_NODELIST',
)


class LauncherError(GMLError, ValueError):
    """A launcher cannot start its processes here."""


class LostProcessError(GMLError, RuntimeError):
    """Another process of the same run no longer answers."""


def join_processes(cfg: Any) -> None:
    """Prepare a config for its launcher, on a CPU or on GPUs.

    On a CPU it is :func:`start_gloo`. On GPUs MMEngine joins the processes,
    each on the GPU of its number on this machine; with gloo, which may share
    a GPU, :func:`share_gpus` does. The group is left at exit on both.

    Args:
        cfg: ``mmengine.Config`` with a ``launcher``; changed in place.

    Raises:
        LauncherError: See :func:`start_gloo`; or there are more processes
            than GPUs, and they are to talk by NCCL.
    """
    if cpu_only():
        start_gloo(cfg)
        return
    backend = _dist_cfg(cfg).get('backend', 'nccl')
    number, gpus = int(os.environ.get('LOCAL_RANK', 0)), _count_gpus()
    if backend == 'gloo' and 'RANK' in os.environ:
        share_gpus(cfg, number % gpus)
    elif number >= gpus:
        raise LauncherError(
            f'LOCAL_RANK={number}: PyTorch sees {gpus} GPU{"s" * (gpus > 1)} '
            f'here, and {backend} needs one for each process. Remedy: '
            f'--nproc_per_node={gpus}, or env_cfg.dist_cfg.backend=gloo'
        )
    atexit.register(leave_group)


def refuse_nccl(options: Sequence[str]) -> None:
    """Refuse NCCL on a CPU where a user asks for it.

    The configs name it, as the host's do; there a CPU takes gloo instead.

    Args:
        options: ``KEY=VALUE`` of the command line.

    Raises:
        LauncherError: One of them sets it.
    """
    for option in options:
        key, _, value = option.partition('=')
        nccl = value.strip('\'"') == 'nccl'
        if key == 'env_cfg.dist_cfg.backend' and nccl and cpu_only():
            raise LauncherError(
                f'{option}: NCCL joins GPUs, and PyTorch sees none. Remedy: '
                'leave it out; processes on a CPU take gloo'
            )


def share_gpus(cfg: Any, number: int) -> None:
    """Join by gloo, each process on a GPU that may have others too.

    Upstream: MMEngine takes the GPU ``LOCAL_RANK``, which then need not
    exist.

    Args:
        cfg: ``mmengine.Config``; its model wrapper is changed in place.
        number: Of the GPU.
    """
    import torch

    torch.cuda.set_device(number)
    _wrap_model(cfg, [number])
    _join_gloo(_dist_cfg(cfg))


def _count_gpus() -> int:
    import torch

    return max(1, torch.cuda.device_count())


def _dist_cfg(cfg: Any) -> dict:
    return (cfg.get('env_cfg') or {}).get('dist_cfg') or {}


def _wrap_model(cfg: Any, device_ids: list[int] | None) -> None:
    cfg['model_wrapper_cfg'] = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': device_ids,
    }


def _join_gloo(dist_cfg: dict) -> None:
    import torch.distributed as dist

    if not dist.is_initialized():
        timeout = datetime.timedelta(seconds=dist_cfg.get('timeout', 1800))
        with lost_processes():
            dist.init_process_group('gloo', timeout=timeout)
        atexit.register(leave_group)


def start_gloo(cfg: Any) -> None:
    """Join the launcher's processes with gloo, before MMEngine tries NCCL.

    Upstream: ``mmengine.dist.utils._init_dist_pytorch`` calls
    ``torch.cuda.set_device`` with every backend, and
    ``Runner.wrap_model`` always passes ``device_ids``, which PyTorch refuses
    for a model on the CPU. MMEngine skips the former if a process group
    exists, and accepts an explicit ``device_ids=None``. No report upstream is
    known to us; the same complaint for MMDetection is open-mmlab/
    mmdetection#8307.

    Args:
        cfg: ``mmengine.Config`` with a ``launcher``; changed in place.

    Raises:
        LauncherError: The launcher is not 'pytorch' or 'slurm', or its
            environment variables are missing.
    """
    if cfg['launcher'] == 'slurm':
        read_slurm()
    missing = [key for key in LAUNCHER_VARIABLES if key not in os.environ]
    if cfg['launcher'] not in ('pytorch', 'slurm') or missing:
        raise LauncherError(
            f'launcher={cfg["launcher"]!r} cannot start on a CPU (not set: '
            f'{", ".join(missing) or "none"}). Remedy: torchrun '
            '--nproc_per_node=2 -m gml_mmaction train CONFIG --launcher '
            'pytorch'
        )
    env_cfg = dict(cfg.get('env_cfg') or {})
    dist_cfg = {**_dist_cfg(cfg), 'backend': 'gloo'}
    cfg['env_cfg'] = {**env_cfg, 'dist_cfg': dist_cfg}
    _wrap_model(cfg, None)
    _join_gloo(dist_cfg)
    synchronise_norms()


def join_on_a_cpu() -> None:
    """Let the host's own tools start processes without an accelerator.

    They call ``Runner.from_cfg``, which fails as :func:`start_gloo` says.
    """
    from mmengine.runner import Runner

    given = Runner.from_cfg.__func__
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def from_cfg(cls: type, cfg: Any) -> Any:
        if cfg.get('launcher', 'none') != 'none':
            start_gloo(cfg)
        return given(cls, cfg)

    mark(from_cfg, __name__)
    Runner.from_cfg = classmethod(from_cfg)


def read_slurm() -> None:
    """Set PyTorch's variables from those of a Slurm step, if in one.

    As ``mmengine.dist.utils._init_dist_slurm`` does for GPUs: the first node
    of the step is the master, at ``MASTER_PORT`` or 29500.
    """
    if any(key not in os.environ for key in SLURM_VARIABLES):
        return
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['LOCAL_RANK'] = os.environ['SLURM_LOCALID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        command = ['scontrol', 'show', 'hostnames']
        names = subprocess.run(
            [*command, os.environ['SLURM_NODELIST']],
            capture_output=True,
            text=True,
            check=True,
        )
        os.environ['MASTER_ADDR'] = names.stdout.split()[0]


@contextlib.contextmanager
def lost_processes() -> Iterator[None]:
    """Say in one line that another process of the run is gone.

    Gloo and NCCL raise their own error types, with long texts.

    Raises:
        LostProcessError: In place of such an error.
    """
    try:
        yield
    except RuntimeError as error:
        text = one_line(error)
        named = type(error).__module__.startswith('torch.distributed')
        if not named and not re.search(r'gloo/transport|NCCL|TCPStore', text):
            raise
        raise LostProcessError(
            'another process of this run has ended, or cannot be reached: '
            f'{text[:200]}. Its log says why. Remedy: start all again with '
            '--resume'
        ) from error


def synchronise_norms() -> None:
    """Let ``sync_bn='torch'`` of a config work on a CPU.

    Upstream: ``SyncBatchNorm`` and ``DistributedDataParallel`` of PyTorch
    refuse it without an accelerator, for which its kernels are written. Here
    MMEngine's ``convert_sync_batchnorm`` gets another class, which computes
    the same with plain operations (:func:`normalise_together`).
    """
    from torch.nn.modules import batchnorm

    class CPUSyncBatchNorm(batchnorm._BatchNorm):
        """Batch normalisation over the batches of all processes."""

        def _check_input_dim(self, input: Any) -> None:
            pass

        def forward(self, input: Any) -> Any:
            if not self.training:
                return super().forward(input)
            return normalise_together(self, input)

    module: Any = batchnorm
    module.SyncBatchNorm = CPUSyncBatchNorm


def normalise_together(norm: Any, x: Any) -> Any:
    """Batch normalisation over the batches of all processes, in training.

    Args:
        norm: Its running statistics are updated.
        x: ``(N, C, ...)``; N may differ between processes.
    """
    import torch

    total = sum_of_processes()
    dims = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    count = total(x.new_tensor(float(x.numel() // x.shape[1])))
    mean = total(x.sum(dims)) / count
    centred = x - mean.view(shape)
    variance = total(centred.square().sum(dims)) / count
    with torch.no_grad():
        if norm.track_running_stats:
            norm.num_batches_tracked += 1
            rate = norm.momentum
            if rate is None:
                rate = 1 / norm.num_batches_tracked
            unbiased = variance * count / (count - 1)
            norm.running_mean += rate * (mean - norm.running_mean)
            norm.running_var += rate * (unbiased - norm.running_var)
    x = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        x = x * norm.weight.view(shape) + norm.bias.view(shape)
    return x


@functools.cache
def sum_of_processes() -> Callable:
    """A sum over processes; its gradient is the sum of their gradients."""
    import torch
    import torch.distributed as dist

    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            x = x.clone()
            dist.all_reduce(x)
            return x

        @staticmethod
        def backward(_: Any, grad: Any) -> Any:
            return Sum.forward(_, grad.contiguous())

    return Sum.apply


def leave_group() -> None:
    """Leave the group of processes while Python still runs.

    Upstream: MMEngine never leaves the process group. A thread of gloo that
    frees a Python object after the interpreter has shut down ends the process
    by SIGABRT ('terminate called without an active exception'), and torchrun
    then calls a finished run failed; pytorch/pytorch asks for
    ``destroy_process_group`` at the end in its page on distributed training.
    NCCL warns that its resources leak. The threads end with the last
    reference to the group, and the cycles of a runner hold the model's
    wrapper, which holds one. The last must be Python's own: that alone lets
    go of the interpreter's lock while the threads end, for which a thread
    that frees a Python object may wait.
    """
    import torch.distributed as dist

    if dist.is_initialized():
        group = dist.group.WORLD
        dist.destroy_process_group()
        gc.collect()
        del group


WORKAROUNDS = (
    Workaround(
        'several processes on a CPU (gloo)',
        'mmengine/dist/utils.py, Runner.wrap_model',
        why_cpu,
        join_on_a_cpu,
    ),
)
