"""Which checkpoints are kept, and that there is always a whole one."""

from operator import ge, le
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from .processes import share_buffers


@HOOKS.register_module()
class LatestBestCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``; among equally good ones, keep the latest.

    On a small validation set a detector soon makes no errors. MMEngine keeps
    the first such checkpoint; later ones have learnt more.

    MMEngine removes the best checkpoint, and with ``max_keep_ckpts=1`` the
    only one, before it saves the next; here it stays until the next is saved.
    A run may be killed between any two of these steps: resumed, it ends with
    the same files as an unbroken run. Only files in its own folder are
    removed, even if the folder is a copy of another run's.

    MMEngine averages the statistics of batch norms over several processes
    before a validation. Here this is done before each checkpoint too;
    otherwise it would hold those of the first process.
    """

    rule_map = {'greater': ge, 'less': le}
    best_ckpt_path: str | None

    def __init__(
        self, *args: Any, max_keep_ckpts: int = -1, **kwargs: Any
    ) -> None:
        self._only_one = max_keep_ckpts == 1
        kept = 2 if self._only_one else max_keep_ckpts
        super().__init__(*args, max_keep_ckpts=kept, **kwargs)
        self._superseded: str | None = None

    def before_train(self, runner: Runner) -> None:
        """Find what a resumed run has saved; clean up after a kill."""
        super().before_train(runner)
        best = getattr(self, 'best_ckpt_path', None)
        if isinstance(best, str):
            self.best_ckpt_path = self._in_folder(Path(best).name)
        done = runner.epoch if self.by_epoch else runner.iter
        if done:  # or MMEngine would save no checkpoint with the best
            self.last_ckpt = self._in_folder(self.filename_tmpl.format(done))
        for partial in Path(self.out_dir).glob('.*.pth.*'):
            self._remove(str(partial))  # see host.runs.write_files_whole
        self._remove_older()

    def _save_checkpoint(self, runner: Runner) -> None:
        share_buffers(runner)
        super()._save_checkpoint(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        before = getattr(self, 'best_ckpt_path', None)
        if not isinstance(before, str):  # none yet, or several indicators
            super()._save_best_checkpoint(runner, metrics)
            return
        self.best_ckpt_path = None
        self._superseded = before
        super()._save_best_checkpoint(runner, metrics)
        self.best_ckpt_path = self.best_ckpt_path or before
        self._superseded = None

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        # With a new best, MMEngine saves a checkpoint that names it. Remove
        # the one before now: afterwards its name is lost.
        best = getattr(self, 'best_ckpt_path', None)  # MMEngine's, if any
        if self._superseded not in (None, best):
            self._remove(self._superseded)
        super()._save_checkpoint_with_step(runner, step, meta)
        self._remove_older()

    def _remove_older(self) -> None:
        if self._only_one:
            for step in list(self.keep_ckpt_ids)[:-1]:
                name = self.filename_tmpl.format(step)
                self._remove(self._in_folder(name))

    def _in_folder(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _remove(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
