"""Which checkpoint counts as the best, and that there is always one."""

from operator import ge, le
from pathlib import Path

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from .processes import share_buffers


@HOOKS.register_module()
class LatestBestCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``; of equally good ones it keeps the latest.

    A small validation set is soon told apart without an error. MMEngine keeps
    the first checkpoint that does so; those after it have learnt more.

    MMEngine removes the best checkpoint before it saves its successor; here it
    stays until that is there.

    MMEngine averages the statistics of batch norms over several processes
    before a validation; here before each checkpoint too, or it held those of
    the first process.
    """

    rule_map = {'greater': ge, 'less': le}

    def _save_checkpoint(self, runner: Runner) -> None:
        share_buffers(runner)
        super()._save_checkpoint(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        before = getattr(self, 'best_ckpt_path', None)
        if not isinstance(before, str):  # none yet, or several indicators
            super()._save_best_checkpoint(runner, metrics)
            return
        self.best_ckpt_path = None
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.best_ckpt_path = self.best_ckpt_path or before
        if self.best_ckpt_path != before and is_main_process():
            Path(before).unlink(missing_ok=True)
