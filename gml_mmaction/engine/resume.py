"""A training that is stopped and resumed ends like an unbroken one.

This needs the order and the random draws of the data
(:mod:`gml_mmaction.datasets.samplers`), the random numbers of each iteration,
a validation that was due when the run was stopped, and checkpoints that are
whole (:class:`~gml_mmaction.engine.LatestBestCheckpointHook`).
"""

import math
import os
import signal
import threading
import zipfile
from pathlib import Path
from typing import Any

import mmengine.dist as dist
import torch
from mmaction.registry import HOOKS
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.registry import FUNCTIONS
from mmengine.runner import EpochBasedTrainLoop, Runner

from gml_mmaction.datasets.samplers import set_seeds
from gml_mmaction.errors import GMLError
from gml_mmaction.io.files import write_text

from .processes import ProcessesHook, share_buffers
from .provenance import PROVENANCE

__all__ = [
    'DivergedError',
    'FiniteHook',
    'PreemptionHook',
    'ResumeHook',
    'newest_checkpoint',
    'outlive_preemption',
]


class DivergedError(GMLError, ArithmeticError):
    """A training whose loss or weights are not finite any more."""


@HOOKS.register_module()
class ResumeHook(Hook):
    """Seed each iteration, and run a validation that was not done.

    Random numbers of iteration i, as for dropout, depend only on the seed of
    the run, the process and i. A run that was stopped between a checkpoint
    and its validation begins with that validation.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._validated = True

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record whether the resumed weights have been validated."""
        records = checkpoint.get('meta', {}).get(PROVENANCE, {})
        self._validated = 'validation' in records

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Validate first if that is due; then seed."""
        self._make_up(runner)
        set_seeds(runner.seed, dist.get_rank(), runner.iter)
        if torch.cuda.is_available():
            torch.cuda.manual_seed(torch.initial_seed() % 2**63)

    def after_train(self, runner: Runner) -> None:
        """Validate if that is due and no iteration is left."""
        self._make_up(runner)

    def _make_up(self, runner: Runner) -> None:
        if not self._validated:
            self._validated = True
            if self._is_due(runner):
                runner.val_loop.run()
                runner.model.train()

    def _is_due(self, runner: Runner) -> bool:
        loop = runner.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done = runner.epoch if by_epoch else runner.iter
        end = loop.max_epochs if by_epoch else loop.max_iters
        return (
            runner.val_loop is not None
            and done > 0
            and done >= loop.val_begin
            and (done % loop.val_interval == 0 or done == end)
        )


@HOOKS.register_module()
class FiniteHook(Hook):
    """End a training that has diverged, before it spoils a checkpoint.

    Args:
        interval: Iterations between two checks of the loss.

    Raises:
        DivergedError: The loss or, at a checkpoint, a weight is not finite.
    """

    priority = 'VERY_HIGH'

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Check the loss."""
        if self.every_n_train_iters(runner, self.interval):
            loss = float((outputs or {}).get('loss', 0.0))
            if not math.isfinite(loss):
                raise self._error(runner, f'the loss is {loss}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights."""
        for name, value in checkpoint['state_dict'].items():
            if value.is_floating_point() and not value.isfinite().all():
                raise self._error(runner, f'{name} is not finite')

    def _error(self, runner: Runner, what: str) -> DivergedError:
        # MMEngine notes the name of a checkpoint before it is saved
        last = newest_checkpoint(runner.work_dir) or 'none'
        return DivergedError(
            f'iteration {runner.iter + 1}: {what}; the training has diverged. '
            f'Last checkpoint: {last}. Remedy: a lower learning rate, or '
            'optim_wrapper.clip_grad.max_norm=1'
        )


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM save a checkpoint and exit with 143, as clusters expect.

    One or all processes of the run may get the signal, and the loaders'
    workers too (:func:`outlive_preemption`). ``--resume`` goes on from there.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None
        self._agreed = self._ask_all

    def before_train(self, runner: Runner) -> None:
        """Listen, unless the runner is in a thread of another program."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
        for hook in runner.hooks:
            if isinstance(hook, ProcessesHook):
                self._agreed = hook.listen(lambda: self._asked)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Save and leave, if any of the processes was asked to.

        A checkpoint does not hold gradients that are being accumulated, so it
        waits until they are complete.
        """
        if not self._agreed() or not runner.optim_wrapper.should_update():
            return
        path = _save(runner)
        if dist.is_main_process():
            runner.logger.info(
                f'SIGTERM: {path} was saved; --resume goes on from there'
            )
        dist.barrier()  # launchers end all processes when one has ended
        raise SystemExit(128 + signal.SIGTERM)

    def _ask(self, *_: Any) -> None:
        self._asked = True

    def _ask_all(self) -> bool:
        if dist.get_world_size() == 1:
            return self._asked
        asked = torch.tensor(float(self._asked)).to(dist.get_comm_device())
        dist.all_reduce(asked, 'max')
        return bool(asked)


def _save(runner: Runner) -> str:
    """Save a checkpoint of the finished iterations; return its path."""
    share_buffers(runner)
    for hook in runner.hooks:  # one of those that it keeps, if there is one
        if isinstance(hook, CheckpointHook) and not hook.by_epoch:
            hook._save_checkpoint(runner)
            return hook.last_ckpt
    path = Path(runner.work_dir, f'iter_{runner.iter + 1}.pth')
    runner.save_checkpoint(runner.work_dir, path.name, by_epoch=False)
    if dist.is_main_process():
        write_text(path.with_name('last_checkpoint'), str(path))
    return str(path)


@FUNCTIONS.register_module()
def outlive_preemption(worker_id: int) -> None:
    """A loader's ``worker_init_fn``: a worker ends only with the training.

    A cluster sends SIGTERM to all processes of a job, but the training needs
    its workers until the end of the iteration. They end on a SIGTERM from
    their parent, or when it dies, which PyTorch watches. Linux only; elsewhere
    nothing changes.

    Args:
        worker_id: Not used.
    """
    if hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(os.EX_OK)  # as PyTorch's own handler does


def newest_checkpoint(work_dir: str | Path) -> Path | None:
    """The latest whole checkpoint; None without one.

    One that is cut short, as by a full disk, or has other bytes than were
    written, is skipped, with a line in the log.
    """
    found = {
        int(path.stem.split('_')[1]): path
        for path in Path(work_dir).glob('iter_*.pth')
        if path.stem.split('_')[1].isdigit()
    }
    for _, path in sorted(found.items(), reverse=True):
        if _is_whole(path):
            return path
        print_log(f'{path} is damaged and is skipped', logger='current')
    return None


def _is_whole(path: Path) -> bool:
    """Whether every part of a checkpoint has its recorded checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises what it meets in a damaged file
        return False
