"""Every workaround for MMAction2, MMEngine and MMCV on today's PyTorch.

One place, small functions, each with its upstream report. A workaround looks
whether it is needed, may be applied twice, and leaves a stack that has been
repaired upstream as it is. :func:`prepare` applies those that belong to the
import, :func:`prepare_runner_cfg` those that belong to a run, and
:func:`status` lists them all for ``python -m gml_mmaction.doctor``.

Importing this module needs nothing but the standard library.
"""

import atexit
import contextlib
import datetime
import functools
import gc
import importlib
import importlib.metadata
import itertools
import logging
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .config_check import FIRST, PHASES, naming_settings
from .errors import CheckpointError, GMLError
from .io.held import HeldOutput
from .io.text import one_line, printable, printable_lines
from .settings import (
    check_start,
    check_tap,
    settle_metainfo,
    settle_workers,
)


class Range(NamedTuple):
    """The versions of a part of the stack that work; setup.py has the same.

    Attributes:
        distribution: What to install.
        lowest: The first version that works.
        beyond: The first that does not, '' if none is known.
        why: What is wrong with the others.
    """

    distribution: str
    lowest: str
    beyond: str
    why: str

    @property
    def limits(self) -> str:
        """As pip reads them: '>=2.1.0,<2.2.0'."""
        return f'>={self.lowest}' + (f',<{self.beyond}' if self.beyond else '')


# By the name to import.
RANGES = {
    'torch': Range(
        'torch', '2.6', '', 'its safe loader has no allow-list of stand-ins'
    ),
    'numpy': Range('numpy', '1.24', '', 'it was not tried'),
    'setuptools': Range(
        'setuptools', '77.0.3', '82', 'MMEngine needs its pkg_resources'
    ),
    'mmengine': Range(
        'mmengine', '0.10.4', '1.0', 'MMAction2 and we were not tried with it'
    ),
    'mmcv': Range('mmcv-lite', '2.1.0', '2.2.0', 'MMAction2 refuses it'),
    'mmaction': Range(
        'mmaction2', '1.2.0', '1.3', 'the plugin was not tried with it'
    ),
}
REMEDIES = {
    **{
        name: f'pip install "{part.distribution}{part.limits}"'
        for name, part in RANGES.items()
    },
    'mmcv': 'pip install "gml-mmaction[lite]", or a full '
    f'mmcv{RANGES["mmcv"].limits}',
    'dlib': 'pip install "gml-mmaction[lite]", or compile it: '
    'pip install dlib',
    'cv2': 'pip install opencv-python-headless',
    'av': 'pip install "gml-mmaction[video]"',
    'nicegui': 'pip install "gml-mmaction[web]"',
    'decord': 'pip install decord; nothing but DecordInit and DecordDecode of '
    'MMAction2 needs it',
    'distributed': 'pip install "gml-mmaction[cluster]"',
}
CV2_LIBRARIES = (
    'a system library is missing: apt-get install libgl1 libglib2.0-0 '
    'libxcb1, or what your system calls them; or install '
    'opencv-python-headless in place of all other OpenCV wheels'
)
LAUNCHER_VARIABLES = (
    'RANK',
    'LOCAL_RANK',
    'WORLD_SIZE',
    'MASTER_ADDR',
    'MASTER_PORT',
)
NOWHERE = '/nonexistent'
SLURM_VARIABLES = (
    'SLURM_PROCID',
    'SLURM_LOCALID',
    'SLURM_NTASKS',
    'SLURM_NODELIST',
)


class StackError(GMLError, ImportError):
    """The installed stack cannot be used."""


class LauncherError(GMLError, ValueError):
    """A launcher cannot start its processes here."""


class BrokenCheckpointError(CheckpointError):
    """A file that is no checkpoint, or a damaged one."""


class LostProcessError(GMLError, RuntimeError):
    """Another process of the same run does not answer any more."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint asks for more than tensors and MMEngine's own records."""


@dataclass(frozen=True)
class Workaround:
    """One repair of the host.

    Attributes:
        name: What is repaired, in a few words.
        upstream: The report or the source line it answers to.
        reason: Says why the repair is needed here, '' where it is not. It
            changes nothing and may raise ImportError in a broken stack.
        apply: Does it; None for those that :func:`prepare_runner_cfg` does.
    """

    name: str
    upstream: str
    reason: Callable[[], str]
    apply: Callable[[], None] | None = None


def require(name: str) -> ModuleType:
    """Import ``name``, or say in one line what to install.

    Args:
        name: Name as in ``import name``; those in ``REMEDIES`` have an
            advice of their own.

    Raises:
        StackError: The module, or something that it needs, cannot be
            imported, or is of a version that the host rejects.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, AssertionError, OSError) as error:
        raise StackError(
            f'{name} cannot be imported ({one_line(error)}). '
            f'Remedy: {remedy(name, str(error))}'
        ) from error


def remedy(name: str, error: str) -> str:
    """One line that says what to do when ``import name`` raised ``error``."""
    if re.search(r'lib(GL|glib|gthread|xcb|SM|Xext|Xrender)\b', error):
        return CV2_LIBRARIES
    missing = re.search(r"No module named '(\w+)|^(MM\w+)==", error)
    if missing:
        name = missing[1] or missing[2].lower()
    return REMEDIES.get(name, f'pip install {name}')


def diagnosing() -> bool:
    """True in ``python -m gml_mmaction.doctor``.

    The doctor has to run where nothing else does, so the package then imports
    nothing of the stack.
    """
    return 'gml_mmaction.doctor' in sys.orig_argv


def prepare() -> None:
    """Make the host importable and safe; call it before ``mmaction.models``.

    Raises:
        StackError: A part of the stack is missing or of a wrong version.
    """
    for name in ('torch', 'mmengine', 'mmcv', 'mmaction'):
        require(name)
    for workaround in WORKAROUNDS:
        if workaround.apply is not None and workaround.reason():
            workaround.apply()


def give_home() -> None:
    """Let a user without a home import the stack, as in some containers.

    Upstream: yapf and platformdirs, which MMEngine imports, end where ``HOME``
    is not set and the system does not know the user; no report upstream is
    known to us. Here such a user gets Debian's home of nobody, which does not
    exist: all that keeps a cache does without.
    """
    if os.path.expanduser('~') == '~':
        os.environ['HOME'] = NOWHERE


def status() -> list[tuple[Workaround, str]]:
    """Every workaround with the reason why it is active ('' where not)."""
    return [(item, _reason_or_error(item)) for item in WORKAROUNDS]


def build_runner(cfg: Any) -> Any:
    """Build the runner of a config on any machine, CPU launchers included.

    Args:
        cfg: ``mmengine.Config`` with MMAction2's runner keys; changed in
            place by :func:`prepare_runner_cfg`.

    What it prints is held back until its loop begins: a setting that cannot
    be is then one line, not one below hundreds. The log file has them all.

    Returns:
        ``mmengine.runner.Runner``, or the class named by ``runner_type``.

    Raises:
        SettingError: A part of the config cannot be built; so do the
            runner's ``train``, ``val`` and ``test``.
    """
    prepare()
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from .engine.opening import OpeningHook

    prepare_runner_cfg(cfg)
    held = HeldOutput(sys.stdout)
    with naming_settings(cfg, FIRST, held), contextlib.redirect_stdout(held):
        if 'runner_type' in cfg:
            runner = RUNNERS.build(cfg)
        else:
            runner = Runner.from_cfg(cfg)
    check_tap(runner.model)
    runner.register_hook(OpeningHook(held))
    for name, keys in PHASES.items():
        setattr(runner, name, _naming(runner, name, keys, held))
    return runner


def _naming(
    runner: Any, name: str, keys: tuple[str, ...], held: HeldOutput
) -> Callable:
    """A runner's ``train`` and the like, which build what they need."""
    given = getattr(runner, name)

    @functools.wraps(given)
    def run(*args: Any, **kwargs: Any) -> Any:
        if name == 'train':
            check_start(runner.model)
        with naming_settings(runner.cfg, keys, held):
            return given(*args, **kwargs)

    return run


def prepare_runner_cfg(cfg: Any) -> None:
    """Make a config run without workers and without an accelerator.

    Loaders without workers lose what needs some
    (:func:`.settings.settle_workers`), and several prepared data sets may be
    one (:func:`.settings.settle_metainfo`). On a CPU, a launcher gets gloo
    and a wrapper without device ids (:func:`start_gloo`), and
    ``AmpOptimWrapper``, which refuses to work there, becomes
    :func:`cpu_amp_optim_wrapper`.

    Args:
        cfg: ``mmengine.Config``; changed in place.

    Raises:
        LauncherError: The launcher cannot start processes on a CPU.
    """
    settle_workers(cfg)
    settle_metainfo(cfg)
    if not _cpu_only():
        return
    if cfg.get('launcher', 'none') != 'none':
        start_gloo(cfg)
    optim_wrapper = cfg.get('optim_wrapper') or {}
    if optim_wrapper.get('type') == 'AmpOptimWrapper':
        optim_wrapper['type'] = cpu_amp_optim_wrapper().__name__
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            optim_wrapper.pop(key, None)


def start_gloo(cfg: Any) -> None:
    """Join the launcher's processes by gloo, before MMEngine tries NCCL.

    Upstream: ``mmengine.dist.utils._init_dist_pytorch`` calls
    ``torch.cuda.set_device`` whatever the backend, and
    ``Runner.wrap_model`` always passes ``device_ids``, which PyTorch refuses
    for a model on the CPU. MMEngine skips the former where a process group
    exists and obeys an explicit ``device_ids=None``. No report upstream is
    known to us; the same complaint for MMDetection is open-mmlab/
    mmdetection#8307.

    Args:
        cfg: ``mmengine.Config`` with a ``launcher``; changed in place.

    Raises:
        LauncherError: Another launcher than 'pytorch' and 'slurm', or its
            environment is not there.
    """
    import torch.distributed as dist

    if cfg['launcher'] == 'slurm':
        read_slurm()
    missing = [key for key in LAUNCHER_VARIABLES if key not in os.environ]
    if cfg['launcher'] not in ('pytorch', 'slurm') or missing:
        raise LauncherError(
            f'launcher={cfg["launcher"]!r} cannot start on a CPU '
            f'(not set: {", ".join(missing) or "none"}). Remedy: torchrun '
            '--nproc_per_node=2 tools/train.py CONFIG --launcher pytorch'
        )
    env_cfg = dict(cfg.get('env_cfg') or {})
    dist_cfg = {**(env_cfg.get('dist_cfg') or {}), 'backend': 'gloo'}
    cfg['env_cfg'] = {**env_cfg, 'dist_cfg': dist_cfg}
    wrapper = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }
    cfg['model_wrapper_cfg'] = wrapper
    if not dist.is_initialized():
        timeout = datetime.timedelta(seconds=dist_cfg.get('timeout', 1800))
        with lost_processes():
            dist.init_process_group('gloo', timeout=timeout)
        atexit.register(leave_gloo)
    synchronise_norms()


def read_slurm() -> None:
    """Set PyTorch's variables from those of a Slurm step, where it is one.

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

    Gloo and NCCL tell it by errors of their own types and by long texts.

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
            f'{text[:200]}. Its own log says why; --resume goes on from the '
            'newest checkpoint'
        ) from error


def synchronise_norms() -> None:
    """Let ``sync_bn='torch'`` of a config work on a CPU.

    Upstream: ``SyncBatchNorm`` and ``DistributedDataParallel`` of PyTorch
    refuse it without an accelerator, for which its kernels are written. Where
    MMEngine's ``convert_sync_batchnorm`` finds that class it gets one that
    computes the same by plain operations (:func:`normalise_together`).
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

    batchnorm.SyncBatchNorm = CPUSyncBatchNorm


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
    """A sum over processes that has a gradient: the sum of their gradients."""
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


def leave_gloo() -> None:
    """End gloo's threads while Python still runs.

    Upstream: MMEngine never leaves the process group. A thread of gloo that
    frees a Python object after the interpreter has shut down ends the process
    by SIGABRT ('terminate called without an active exception'), and torchrun
    then calls a finished run failed; pytorch/pytorch asks for
    ``destroy_process_group`` at the end in its page on distributed training.
    The threads end with the last reference to the group, and the cycles of a
    runner hold the model's wrapper, which holds one.
    """
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()


def cpu_amp_optim_wrapper() -> type:
    """The registered ``CPUAmpOptimWrapper``: bfloat16 autocast on a CPU.

    Upstream: open-mmlab/mmpretrain#1556, ``AmpOptimWrapper`` asserts a GPU.
    bfloat16 has float32's range, so no loss scaling is needed.
    """
    import torch
    from mmengine.optim import OptimWrapper
    from mmengine.registry import OPTIM_WRAPPERS

    name = 'CPUAmpOptimWrapper'
    if name in OPTIM_WRAPPERS:
        return OPTIM_WRAPPERS.get(name)

    class CPUAmpOptimWrapper(OptimWrapper):
        """``OptimWrapper`` with the forward pass in bfloat16 on the CPU."""

        @contextlib.contextmanager
        def optim_context(self, model: Any) -> Iterator[None]:
            bfloat16 = torch.autocast('cpu', dtype=torch.bfloat16)
            with super().optim_context(model), bfloat16:
                yield

    OPTIM_WRAPPERS.register_module(name=name, module=CPUAmpOptimWrapper)
    return CPUAmpOptimWrapper


def add_missing_drn() -> None:
    """Put a stand-in where MMAction2's wheel forgot ``localizers.drn``.

    Upstream: open-mmlab/mmaction2#2714. ``mmaction.models`` imports DRN, an
    action localiser that no detector of forgeries uses.
    """
    package = 'mmaction.models.localizers.drn'
    if package in sys.modules:
        return
    from mmaction.registry import MODELS

    class DRN:
        """Stand-in for the model that the wheel of MMAction2 lacks."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise StackError(
                'DRN is not part of the installed MMAction2 wheel. Remedy: '
                'install MMAction2 from its sources'
            )

    MODELS.register_module(name='DRN', module=DRN, force=True)
    for name in (package, f'{package}.drn'):
        sys.modules[name] = ModuleType(name, DRN.__doc__)
        sys.modules[name].DRN = DRN
    sys.modules[package].__path__ = []


def add_missing_importlib_metadata() -> None:
    """Let the standard library answer for the back-port of itself.

    Upstream: ``mmaction/utils/dependency.py`` imports importlib_metadata,
    which MMAction2 1.2.0 does not declare; no report upstream is known to us.
    """
    sys.modules.setdefault('importlib_metadata', importlib.metadata)


def import_mmcv_lite_quietly() -> None:
    """Keep mmcv-lite from warning of what it lacks, in each process anew.

    Upstream: ``mmcv/cnn/bricks/transformer.py`` warns at import that
    ``MultiScaleDeformableAttention``, which no model here uses, is not there.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            'ignore', 'Fail to import ``MultiScaleDeformableAttention``'
        )
        require('mmcv.cnn.bricks.transformer')


def score_in_float32() -> None:
    """Let the host's heads train and predict under bfloat16 autocast.

    Upstream: ``BaseHead.loss_by_feat`` hands the logits to NumPy, which has
    no bfloat16 ('Got unsupported ScalarType BFloat16'); the scores that
    ``predict_by_feat`` leaves fail likewise in a metric. No report upstream
    is known to us. Here both methods get float32.
    """
    from mmaction.models.heads import BaseHead

    for name in ('loss_by_feat', 'predict_by_feat'):
        given = getattr(BaseHead, name)
        if not hasattr(given, 'repaired_by'):
            setattr(BaseHead, name, with_float32_scores(given))


def with_float32_scores(given: Callable) -> Callable:
    """A method of a head, called with its first argument as float32."""

    @functools.wraps(given)
    def method(self: Any, cls_scores: Any, data_samples: Any) -> Any:
        return given(self, cls_scores.float(), data_samples)

    method.repaired_by = __name__
    return method


def convolve_volumes_in_float32() -> None:
    """Keep 3-D convolutions out of bfloat16 autocast on a CPU.

    Upstream: oneDNN's gradient of their weights reads memory that nobody
    wrote, where the volume is small (64 channels of 2x4x4 and 2x8x8, kernel
    3x3x3; torch 2.13): now and then it holds NaN. No report upstream is known
    to us.
    """
    import torch

    given = torch.nn.Conv3d.forward
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def forward(self: Any, input: Any) -> Any:
        if input.device.type != 'cpu' or not torch.is_autocast_enabled('cpu'):
            return given(self, input)
        with torch.autocast('cpu', enabled=False):
            return given(self, input.float())

    forward.repaired_by = __name__
    torch.nn.Conv3d.forward = forward


def resume_without_reading() -> None:
    """Let a resumed run skip what it has been trained on, unread.

    Upstream: ``IterBasedTrainLoop.run`` reads every batch up to the iteration
    where it goes on, which may take hours; no report upstream is known to us.
    Here only the sampler moves on (:func:`skip_batches`). The samples are
    those of an unbroken run, in its order; what transforms draw at random is
    not.
    """
    from mmengine.runner import IterBasedTrainLoop

    reads = IterBasedTrainLoop.run
    if hasattr(reads, 'preceded_by'):
        return

    @functools.wraps(reads)
    def run(self: Any) -> Any:
        batches = self.dataloader_iterator
        done = min(self._iter, self._max_iters)
        skip_batches(batches, done)
        self.dataloader_iterator = itertools.chain(
            itertools.repeat(None, done), batches
        )
        return reads(self)

    run.preceded_by = skip_batches
    IterBasedTrainLoop.run = run


def seed_numbered_draws() -> None:
    """Let every data set of MMEngine's seed a numbered draw by its number.

    Upstream: random clips depend on the number of workers, and on whether the
    run was interrupted; no report upstream is known to us. Our samplers
    number their draws (:class:`~gml_mmaction.datasets.samplers.Draw`).
    Wrappers make plain numbers of them: they seed for those within.
    """
    for kind in _data_sets():
        given = kind.__getitem__
        if not hasattr(given, 'repaired_by'):
            kind.__getitem__ = with_seeded_draws(given)


def with_seeded_draws(given: Callable) -> Callable:
    """``__getitem__`` of a data set, seeded where its index is a draw."""

    @functools.wraps(given)
    def getitem(self: Any, idx: int) -> Any:
        from .datasets.samplers import Draw, seeded

        if not isinstance(idx, Draw):
            return given(self, idx)
        with seeded(idx.seed, idx.number):
            return given(self, int(idx))

    getitem.repaired_by = __name__
    return getitem


def _data_sets() -> tuple[type, ...]:
    from mmengine import dataset

    return (
        dataset.BaseDataset,
        dataset.ConcatDataset,
        dataset.RepeatDataset,
        dataset.ClassBalancedDataset,
    )


def write_files_whole() -> None:
    """Let checkpoints appear whole or not at all.

    Upstream: ``LocalBackend.put`` of MMEngine writes into the file itself; a
    run that is killed meanwhile, or a full disk, leaves a part of one under
    the name of the newest checkpoint, and nothing of what had that name. No
    report upstream is known to us.
    """
    from mmengine.fileio import LocalBackend

    given = LocalBackend.put
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def put(self: Any, obj: bytes, filepath: str | os.PathLike) -> None:
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'.{path.name}.{os.getpid()}')
        try:
            with open(partial, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    put.repaired_by = __name__
    LocalBackend.put = put


def log_readably() -> None:
    """Let logs be UTF-8 in any locale, and hold no control characters.

    Upstream: ``MMLogger`` opens its file in the encoding of the locale, where
    a sign that this lacks loses the line; no report upstream is known to us.
    What is logged may come from names and files of others
    (:func:`~gml_mmaction.io.text.printable_lines`).
    """
    from mmengine.logging import MMLogger

    given = MMLogger.__init__
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given(self, *args, **kwargs)
        self.addFilter(make_printable)
        for handler in self.handlers:
            if isinstance(handler, logging.FileHandler) and handler.stream:
                handler.stream.reconfigure(
                    encoding='utf-8', errors='backslashreplace'
                )

    init.repaired_by = __name__
    MMLogger.__init__ = init


def make_printable(record: logging.LogRecord) -> bool:
    """A filter of a logger: escape what a terminal would obey."""
    record.msg, record.args = printable_lines(record.getMessage()), None
    return True


def skip_batches(batches: Any, count: int) -> None:
    """Take ``count`` batches from a loop's iterator, by the sampler alone.

    Read are those that worker processes have begun with, and one at each end
    of a finite sampler, where MMEngine starts the next epoch.

    Args:
        batches: ``_InfiniteDataloaderIterator`` of MMEngine's loop.
        count: How many to skip.
    """
    while count:
        loader = batches._iterator
        in_flight = getattr(loader, '_send_idx', 0)
        in_flight -= getattr(loader, '_rcvd_idx', 0)
        sampler = getattr(loader, '_sampler_iter', iter(()))
        if count <= in_flight or next(sampler, None) is None:
            next(batches)
        count -= 1


def read_config_texts_unrun() -> None:
    """Let MMEngine read the text of a config without running it.

    Upstream: ``Config.fromstring`` writes the text into a file and runs that
    as Python. ``Runner.resume`` hands it ``meta['config']`` of a checkpoint,
    ``BaseInferencer`` does so with ``meta['cfg']``; no report upstream is
    known to us. Here such a text is read as values
    (:func:`~gml_mmaction.io.config_text.parse_config`).
    """
    from mmengine.config import Config

    runs = Config.fromstring
    if hasattr(runs, 'repaired_by'):
        return

    @functools.wraps(runs)
    def fromstring(cfg_str: str, file_format: str) -> Config:
        if file_format != '.py':
            return runs(cfg_str, file_format)
        from .io.config_text import parse_config

        return parse_config(cfg_str)

    fromstring.repaired_by = __name__
    Config.fromstring = staticmethod(fromstring)


def score_with_whole_weights_only() -> None:
    """Let no network be tested whose weights do not fit.

    Upstream: ``Runner.load_checkpoint`` leaves what does not fit at random,
    and only logs it; open-mmlab/mmdetection#11865. Here a checkpoint that is
    tested or resumed must fit, name by name and shape by shape
    (:func:`~gml_mmaction.weights.check_weights`). One that a training begins
    with may have another head.
    """
    from mmengine.runner import Runner

    given = Runner.load_checkpoint
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def load_checkpoint(
        self: Any, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            checkpoint = given(self, filename, *args, **kwargs)
        except (GMLError, ImportError, OSError):
            raise
        except Exception as error:  # of what is no table of tensors
            raise CheckpointError(
                f'{filename}: it holds no weights of a network '
                f'({one_line(error):.100}). Remedy: give a .pth file of '
                'tools/train.py'
            ) from error
        if begins_training(self):
            return checkpoint
        check_loaded(self.model, checkpoint, filename)
        if self._resume:
            from .engine.resumed import check_records

            check_records(checkpoint, filename)
        return checkpoint

    load_checkpoint.repaired_by = __name__
    Runner.load_checkpoint = load_checkpoint


def begins_training(runner: Any) -> bool:
    """True in a training that is not resumed: its loop has been built."""
    from mmengine.runner import BaseLoop

    return isinstance(runner._train_loop, BaseLoop) and not runner._resume


def check_loaded(model: Any, checkpoint: Any, filename: str) -> None:
    """Refuse a checkpoint that a network has been loaded from in part.

    Args:
        model: Wrappers (several processes, averages over augmented clips)
            are taken off.
        checkpoint: What MMEngine's runner has loaded.
        filename: Named in the error.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    from mmengine.model import BaseTTAModel, is_model_wrapper

    from .weights import check_weights

    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    check_weights(model, checkpoint.get('state_dict', checkpoint), filename)


def resume_from_sound_records() -> None:
    """Let a training go on from the records of a training only.

    Upstream: ``Runner.resume`` and ``load_state_dict`` of its schedules take
    over whatever a checkpoint holds; what is no such record ends the run by a
    traceback, some of it at the next validation. No report upstream is known
    to us. See :mod:`gml_mmaction.engine.resumed`.
    """
    from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
    from mmengine.runner import Runner

    resumes, loads = Runner.resume, _ParamScheduler.load_state_dict
    if hasattr(resumes, 'repaired_by'):
        return

    @functools.wraps(resumes)
    def resume(self: Any, filename: str, *args: Any, **kwargs: Any) -> None:
        from .engine.resumed import check_optimizer, not_resumable

        try:
            resumes(self, filename, *args, **kwargs)
            wrapper = self.optim_wrapper
            single = hasattr(wrapper, 'optimizer')
            for part in [wrapper] if single else wrapper.values():
                check_optimizer(part.optimizer)
        except (GMLError, ImportError, FileNotFoundError):
            raise
        except Exception as error:  # of records that are none
            raise not_resumable(filename, error) from error

    @functools.wraps(loads)
    def load_state_dict(self: Any, state_dict: Any) -> None:
        from .engine.resumed import check_scheduler

        check_scheduler(self, state_dict)
        loads(self, state_dict)

    resume.repaired_by = load_state_dict.repaired_by = __name__
    Runner.resume = resume
    _ParamScheduler.load_state_dict = load_state_dict


def start_from_half_at_least() -> None:
    """Let ``init_cfg=dict(type='Pretrained', ...)`` load what it names.

    Upstream: ``PretrainedInit`` is content with a file that has no tensor of
    the network, and only logs it; open-mmlab/mmdetection#11865 likewise. Here
    half of them must be there (:func:`~gml_mmaction.weights.load_half`), and
    a file of a whole network may start its backbone.
    """
    from mmengine.model.weight_init import PretrainedInit, update_init_info

    if hasattr(PretrainedInit.__call__, 'repaired_by'):
        return

    @functools.wraps(PretrainedInit.__call__)
    def call(self: Any, module: Any) -> None:
        from mmengine.runner.checkpoint import CheckpointLoader

        from .weights import load_half

        loaded = CheckpointLoader.load_checkpoint(
            self.checkpoint, self.map_location
        )
        for key in ('state_dict', 'model'):
            if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
                loaded = loaded[key]
        load_half(module, loaded, self.checkpoint, self.prefix)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    call.repaired_by = __name__
    PretrainedInit.__call__ = call


def load_checkpoints_safely() -> None:
    """Let MMEngine load through PyTorch's safe loader only, and its own files.

    Upstream: open-mmlab/mmengine#1655. MMEngine 0.10's own checkpoints fail
    in PyTorch's safe loader; MMEngine 0.11 answers by switching the loader
    off, and ``torch.hub``, which loads from addresses, has it off by default:
    then a downloaded file can run any program. Here every scheme of MMEngine
    goes through the safe loader, with an allow-list that is in force during
    that load only (:func:`safe_loading`).
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    unguarded = CheckpointLoader.load_checkpoint.__func__
    if hasattr(unguarded, 'guarded_by'):
        return

    @functools.wraps(unguarded)
    def load_checkpoint(
        cls: type, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        check_archive(filename)
        with safe_loading(filename):
            return unguarded(cls, filename, *args, **kwargs)

    load_checkpoint.guarded_by = __name__
    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)


def check_archive(filename: str | os.PathLike) -> None:
    """Refuse an archive of tensors that holds more than the file has bytes.

    PyTorch stores tensors as they are; one that is deflated, or named twice,
    may fill the memory out of a small file.

    Args:
        filename: A file that is no archive, or none at all, is left to the
            loader.

    Raises:
        UnsafeCheckpointError: An entry is compressed, or all of them are
            larger than the file.
        BrokenCheckpointError: An entry is not what was written.
    """
    path = Path(filename).expanduser()
    if not path.is_file() or not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return
    plain = all(item.compress_type == zipfile.ZIP_STORED for item in entries)
    size = sum(max(item.file_size, 0) for item in entries)
    if not plain or size > path.stat().st_size:
        raise UnsafeCheckpointError(
            f'{filename} was not loaded: its tensors are compressed, or '
            'larger than the file. Remedy: get the weights from a source that '
            'you trust'
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile raises what it meets
        damaged = one_line(error)
    if damaged:
        raise BrokenCheckpointError(
            f'{filename}: it is damaged ({printable(damaged):.100}). Remedy: '
            'copy it anew, or take the checkpoint before it'
        )


@contextlib.contextmanager
def safe_loading(filename: str | os.PathLike) -> Iterator[None]:
    """Force ``torch.load`` into the safe loader, with MMEngine's own types.

    Entries that the user has allowed by ``torch.serialization
    .add_safe_globals`` stay allowed, except where ours are stricter. Not for
    several threads at once: PyTorch's list belongs to the process.

    Args:
        filename: Named in the error.

    Raises:
        UnsafeCheckpointError: The file asks for anything else; nothing of it
            has been run.
        BrokenCheckpointError: It cannot be read.
    """
    from mmengine.logging import HistoryBuffer
    from torch import serialization

    users = serialization.get_safe_globals()
    ours = allowed_globals()
    paths = {path for _, path in ours}
    HistoryBuffer()  # the first to be made fills the table, no loaded one does
    statistics = dict(HistoryBuffer._statistics_methods)
    forced = ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    banned = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
    variables = {key: os.environ.pop(key, None) for key in (forced[0], banned)}
    serialization.clear_safe_globals()
    serialization.add_safe_globals(
        [item for item in users if _global_path(item) not in paths] + ours
    )
    os.environ[forced[0]] = forced[1]
    try:
        yield
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpointError(
            f'{filename} was not loaded: {_refusal(error)}. A checkpoint may '
            "hold tensors, numbers, text and MMEngine's records only. Remedy: "
            'get the weights from a source that you trust'
        ) from None
    except (GMLError, ImportError, FileNotFoundError):
        raise
    except Exception as error:  # a damaged file may raise anything
        if getattr(error, 'filename', None):  # named in the message
            raise
        what = f'{type(error).__name__}: {one_line(error)}'
        raise BrokenCheckpointError(
            f'{filename}: no checkpoint, or a broken one ({what:.120}). '
            'Remedy: give a .pth file of tools/train.py'
        ) from error
    finally:
        os.environ.pop(forced[0])
        os.environ.update({k: v for k, v in variables.items() if v})
        serialization.clear_safe_globals()
        serialization.add_safe_globals(users)
        # HistoryBuffer.__setstate__ writes into a table of the whole class.
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(statistics)


def allowed_globals() -> list[tuple[Callable, str]]:
    """What a checkpoint of MMEngine may name, and what it gets for it.

    Returns:
        Pairs of an object and the full name in the file: MMEngine's
        HistoryBuffer, NumPy's array and its plain number types, under the
        module names of NumPy 1 and 2. Functions are replaced by stand-ins
        that do only what these files need.
    """
    import numpy as np
    from mmengine.logging import HistoryBuffer

    dtypes = {type(np.dtype(code)) for code in _number_codes()}
    pairs = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (statistics_method, 'builtins.getattr'),
        (np.ndarray, 'numpy.ndarray'),
        (plain_dtype, 'numpy.dtype'),
    ]
    pairs += [(cls, _global_path(cls)) for cls in dtypes]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        pairs.append((empty_array, f'{module}._reconstruct'))
        pairs.append((plain_scalar, f'{module}.scalar'))
    return pairs


def statistics_method(owner: Any, name: Any) -> Callable:
    """``getattr`` for checkpoints: HistoryBuffer's own statistics, no more.

    Raises:
        pickle.UnpicklingError: For any other object or attribute.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return vars(HistoryBuffer)[name]
    raise pickle.UnpicklingError(
        f'getattr({_name_of(owner)}, {name!r}) is not allowed'
    )


def plain_dtype(code: Any, *_: Any) -> Any:
    """``numpy.dtype`` for checkpoints: bool, integers and floats only.

    NumPy's shared instances are returned, which ignore a state that a file
    sets on them; a copy would take over forged flags, hence foreign memory.
    The byte order is that of this machine.

    Raises:
        pickle.UnpicklingError: For objects, records and other types.
    """
    import numpy as np

    if type(code) is str and code in _number_codes():
        return np.dtype(code)
    raise pickle.UnpicklingError(f'numpy.dtype({code!r}) is not allowed')


def empty_array(cls: Any, *_: Any) -> Any:
    """``_reconstruct`` for checkpoints: an empty array, filled by its state.

    Raises:
        pickle.UnpicklingError: For a subclass of ``numpy.ndarray``.
    """
    import numpy as np

    if cls is np.ndarray:
        return np.ndarray((0,), 'b')
    raise pickle.UnpicklingError(f'an array of {cls!r} is not allowed')


def plain_scalar(dtype: Any, data: Any) -> Any:
    """NumPy's ``scalar`` for checkpoints: one number from its bytes.

    Raises:
        pickle.UnpicklingError: For anything but the bytes of one number.
    """
    import numpy as np

    number = isinstance(dtype, np.dtype) and dtype.kind in 'biuf'
    if number and type(data) is bytes and len(data) == dtype.itemsize:
        return np.frombuffer(data, dtype)[0]
    raise pickle.UnpicklingError('a NumPy scalar of this kind is not allowed')


def _number_codes() -> tuple[str, ...]:
    """NumPy's codes of bool, integers and floats, as pickles write them."""
    whole = tuple(f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8))
    return ('b1', *whole, 'f2', 'f4', 'f8')


def _global_path(item: Any) -> str:
    """Full name under which PyTorch's loader finds an allowed object."""
    if isinstance(item, tuple):
        return item[1]
    return f'{item.__module__}.{item.__qualname__}'


def _refusal(error: Exception) -> str:
    """The one fact in PyTorch's long message: what the file asked for."""
    text = str(error)
    found = re.search(r'GLOBAL (\S+)', text)
    if found:
        return f'it asks for {found[1]}'
    line = re.search(r'WeightsUnpickler error:\s*(.+)', text)
    first = line[1] if line else (text.splitlines() or ['a broken pickle'])[0]
    return ''.join(filter(str.isprintable, first)).strip().rstrip('.')[:200]


def _name_of(item: Any) -> str:
    return getattr(item, '__qualname__', type(item).__qualname__)


def _reason_or_error(workaround: Workaround) -> str:
    try:
        return workaround.reason()
    except Exception as error:  # a broken stack may fail in any way
        return f'cannot be told: {one_line(error)}'


def _cpu_only() -> bool:
    """True where MMEngine finds no accelerator."""
    from mmengine.device import get_device

    return get_device() == 'cpu'


def _folder_of(name: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = PathFinder.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f'{name} is not installed')
    return Path(spec.submodule_search_locations[0])


def _why_home() -> str:
    return 'the user has no home' if os.environ.get('HOME') == NOWHERE else ''


def _why_drn() -> str:
    models = _folder_of('mmaction') / 'models'
    found = (models / 'localizers' / 'drn' / 'drn.py').is_file()
    return '' if found else 'the installed MMAction2 lacks localizers/drn'


def _why_importlib_metadata() -> str:
    found = PathFinder.find_spec('importlib_metadata')
    return '' if found else 'importlib_metadata is not installed'


def _why_mmcv_lite() -> str:
    found = PathFinder.find_spec('_ext', [str(_folder_of('mmcv'))])
    return '' if found else 'the installed mmcv has no operators'


def _why_bfloat16() -> str:
    head = _folder_of('mmaction') / 'models' / 'heads' / 'base.py'
    numpy = 'cls_scores.detach().cpu().numpy()'
    found = numpy in head.read_text(encoding='utf-8')
    return 'the heads of the installed MMAction2 call NumPy' if found else ''


def _why_volumes() -> str:
    import torch

    found = torch.backends.mkldnn.is_available()
    return 'this torch convolves by oneDNN on a CPU' if found else ''


def _why_reading() -> str:
    loops = _folder_of('mmengine') / 'runner' / 'loops.py'
    reads = 'Advance dataloader' in loops.read_text(encoding='utf-8')
    return 'the installed MMEngine reads all that it skips' if reads else ''


def _why_draws() -> str:
    return 'MMEngine does not seed what a data set draws'


def _why_whole_files() -> str:
    backend = _folder_of('mmengine') / 'fileio/backends/local_backend.py'
    in_place = "open(filepath, 'wb')" in backend.read_text(encoding='utf-8')
    return 'the installed MMEngine writes files in place' if in_place else ''


def _why_logs() -> str:
    return 'MMEngine logs names and texts of files as they are'


def _why_safe_loading() -> str:
    version = importlib.metadata.version('torch')
    if [int(part) for part in re.findall(r'\d+', version)[:2]] < [2, 6]:
        raise StackError(
            f'torch {version} has no allow-list for its safe loader. '
            f'Remedy: {REMEDIES["torch"]}'
        )
    return 'no MMEngine both loads its own checkpoints and refuses code'


def _why_config_texts() -> str:
    config = _folder_of('mmengine') / 'config' / 'config.py'
    runs = 'Config.fromfile(temp_file.name)' in config.read_text('utf-8')
    return 'the installed MMEngine runs the text of a config' if runs else ''


def _why_whole_weights() -> str:
    return 'MMEngine only logs what of a checkpoint does not fit'


def _why_sound_records() -> str:
    return 'MMEngine takes over whatever a checkpoint records'


def _why_cpu() -> str:
    return 'no accelerator was found' if _cpu_only() else ''


WORKAROUNDS = (
    Workaround(
        'a user without a home',
        'platformdirs/_xdg.py',
        _why_home,
        give_home,
    ),
    Workaround(
        'missing mmaction.models.localizers.drn',
        'open-mmlab/mmaction2#2714',
        _why_drn,
        add_missing_drn,
    ),
    Workaround(
        'undeclared importlib_metadata',
        'mmaction/utils/dependency.py',
        _why_importlib_metadata,
        add_missing_importlib_metadata,
    ),
    Workaround(
        'warning of mmcv-lite at import',
        'mmcv/cnn/bricks/transformer.py',
        _why_mmcv_lite,
        import_mmcv_lite_quietly,
    ),
    Workaround(
        "bfloat16 in the host's heads",
        'mmaction/models/heads/base.py, BaseHead.loss_by_feat',
        _why_bfloat16,
        score_in_float32,
    ),
    Workaround(
        'bfloat16 in 3-D convolutions on a CPU',
        'oneDNN, gradient of the weights',
        _why_volumes,
        convolve_volumes_in_float32,
    ),
    Workaround(
        'resuming without reading what was trained on',
        'mmengine/runner/loops.py, IterBasedTrainLoop.run',
        _why_reading,
        resume_without_reading,
    ),
    Workaround(
        'draws of data sets by their number',
        'mmengine/dataset/base_dataset.py, dataset_wrapper.py',
        _why_draws,
        seed_numbered_draws,
    ),
    Workaround(
        'checkpoints that are written in place',
        'mmengine/fileio/backends/local_backend.py, LocalBackend.put',
        _why_whole_files,
        write_files_whole,
    ),
    Workaround(
        'logs in the encoding of the locale, with control characters',
        'mmengine/logging/logger.py, MMLogger',
        _why_logs,
        log_readably,
    ),
    Workaround(
        'safe loading of checkpoints',
        'open-mmlab/mmengine#1655',
        _why_safe_loading,
        load_checkpoints_safely,
    ),
    Workaround(
        'texts of configs that are run',
        'mmengine/config/config.py, Config.fromstring',
        _why_config_texts,
        read_config_texts_unrun,
    ),
    Workaround(
        'scores of weights that were not loaded',
        'open-mmlab/mmdetection#11865, Runner.load_checkpoint',
        _why_whole_weights,
        score_with_whole_weights_only,
    ),
    Workaround(
        'trainings that go on from strange records',
        'mmengine/runner/runner.py, Runner.resume',
        _why_sound_records,
        resume_from_sound_records,
    ),
    Workaround(
        'pretrained files of other networks',
        'mmengine/model/weight_init.py, PretrainedInit',
        _why_whole_weights,
        start_from_half_at_least,
    ),
    Workaround(
        'several processes on a CPU (gloo)',
        'mmengine/dist/utils.py, Runner.wrap_model',
        _why_cpu,
    ),
    Workaround(
        '--amp on a CPU (bfloat16)',
        'open-mmlab/mmpretrain#1556',
        _why_cpu,
    ),
)
