"""What processes that train together have to agree on."""

from collections.abc import Callable
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
    not finite in the same iteration. The same exchange carries the requests
    of other hooks (:meth:`listen`): one for each iteration, and one wait for
    a GPU, where MMEngine waits for each loss it logs.

    Raises:
        ProcessesError: Before training, if the processes do not start at the
            same iteration, or a checkpoint would come while gradients are
            being accumulated, which it does not hold.
    """

    priority = 'HIGHEST'  # before RuntimeInfoHook, which keeps the losses

    def __init__(self) -> None:
        self._requests: list[Callable[[], bool]] = []
        self._made: list[bool] = []

    def listen(self, request: Callable[[], bool]) -> Callable[[], bool]:
        """Exchange a hook's request after each iteration from now on.

        Args:
            request: Whether this process makes it.

        Returns:
            Whether any process has made it by the end of this iteration.
        """
        number = len(self._requests)
        self._requests.append(request)
        self._made.append(False)
        return lambda: self._made[number]

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
        outputs = {} if outputs is None else outputs
        made = [float(request()) for request in self._requests]
        values = [torch.as_tensor(outputs[key]).float() for key in outputs]
        if dist.get_world_size() == 1:
            self._made = [*map(bool, made)]
            if values and values[0].is_cuda:
                together = torch.stack([value.detach() for value in values])
                outputs.update(zip(outputs, together.cpu()))
            return
        device = values[0].device if values else torch.device('cpu')
        # One copy to the device, which waits for nothing.
        asked = torch.tensor(made, pin_memory=device.type == 'cuda')
        together = torch.cat(
            [
                *(value.detach().view(1) for value in values),
                asked.to(device, non_blocking=True),
            ]
        )
        dist.all_reduce(together, op='mean')
        together = together.cpu()
        outputs.update(zip(outputs, together))
        self._made = [*map(bool, together[len(outputs) :])]


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
