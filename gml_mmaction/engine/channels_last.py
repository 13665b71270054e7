"""Weights whose channels lie beside one another, which a CPU reads faster."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

__all__ = ['ChannelsLastHook']


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Train with the weights of convolutions laid out channels last.

    What ``gml benchmark --ways channels-last`` measures: whether it pays
    depends on network and machine. For MobileNetV2 on a CPU docs/speed.md has
    a measurement. See :func:`gml_mmaction.kernels.channels_last`.
    """

    priority = 'HIGHEST'  # before a hook that copies the model

    def before_run(self, runner: Runner) -> None:
        """Change the order of the model's weights; their values stay."""
        from gml_mmaction.kernels import channels_last  # slow to import

        channels_last(runner.model)
