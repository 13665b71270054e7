"""Weights whose channels lie beside one another, which a CPU reads faster."""

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

__all__ = ['ChannelsLastHook']


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lay out the weights of 2D convolutions as ``torch.channels_last``.

    Their maps then have it, too. Only the order in memory changes: values are
    the same up to rounding, and so are checkpoints. It is for networks of
    depth-wise convolutions of single frames, such as MobileNetV2, in training
    on a CPU; docs/speed.md has a measurement.
    """

    priority = 'HIGHEST'  # before a hook that copies the model

    def before_run(self, runner: Runner) -> None:
        """Change the layout of the model's weights in place."""
        runner.model.to(memory_format=torch.channels_last)
