"""What processes that train together have to agree on."""

from typing import Any

import mmengine.dist as dist
import torch
from mmaction.registry import HOOKS
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from gml_mmaction.errors import GMLError

__all__ = ['ProcessesError', 'ProcessesHook', 'share_buffers']


class ProcessesError(GMLError, ValueError):
    """Processes, or the steps of an accumulation, that would not fit."""


@HOOKS.register_module()
class ProcessesHook(Hook):
    """Log the loss of all processes; check that they start alike.

    MMEngine logs the first process's loss. Here it is the mean over all,
    which is the loss of the whole batch; so all processes see a loss that is
    not finite in the same iteration.

    Raises:
        ProcessesError: Before training, if the processes do not start at the
            same iteration, or a checkpoint would come while gradients are
            being accumulated, which it does not hold.
    """

    priority = 'HIGHEST'  # before RuntimeInfoHook, which keeps the losses

    def before_train(self, runner: Runner) -> None:
        """Compare the iterations; look at the checkpoints."""
        place = torch.tensor([float(runner.iter), -float(runner.iter)])
        dist.all_reduce(place, op='max')
        last, first = int(place[0]), -int(place[1])
        if first != last:
            raise ProcessesError(
                f'one process begins at iteration {first}, another at '
                f'{last}: they do not see the same checkpoints in '
                f'{runner.work_dir}. Remedy: a work directory that all '
                'machines share'
            )
        _check_accumulation(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Replace the losses by their means over the processes."""
        if dist.get_world_size() == 1 or not outputs:
            return
        values = [torch.as_tensor(outputs[key]).float() for key in outputs]
        means = torch.stack([value.detach() for value in values])
        dist.all_reduce(means, op='mean')
        outputs.update(zip(outputs, means))


def _check_accumulation(runner: Runner) -> None:
    steps = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.interval % steps:
            raise ProcessesError(
                f'a checkpoint every {hook.interval} iterations would lose '
                f'gradients, which are summed over {steps} steps. Remedy: '
                'set default_hooks.checkpoint.interval to a multiple of '
                f'optim_wrapper.accumulative_counts={steps}'
            )


def share_buffers(runner: Runner) -> None:
    """Give all processes the mean of their buffers, as for a validation."""
    dist.all_reduce_params(runner.model.buffers(), op='mean')
