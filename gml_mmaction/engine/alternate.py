"""AltFreezing (2307.08317): two groups of weights that learn in turn."""

from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from gml_mmaction.errors import SettingError

__all__ = ['AltFreezingHook', 'weight_groups']


def weight_groups(
    model: nn.Module,
) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """The spatial and the temporal weights of a network's convolutions.

    Paper: names those with a spatial and those with a temporal extent. Of
    I3D's convolutions the first, 5x7x7, has both and those of 1x1x1 have
    neither; here both kinds are spatial, so that the temporal group is what
    looks along time alone, and each convolution is in one group.

    Args:
        model: Its 3-D convolutions are divided; other weights, such as those
            of batch norms and the classifier, are in no group.
    """
    spatial: dict[str, nn.Parameter] = {}
    temporal: dict[str, nn.Parameter] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv3d):
            time, *space = module.kernel_size
            group = temporal if time > 1 and max(space) == 1 else spatial
            own = module.named_parameters(prefix=name, recurse=False)
            group.update(own)
    return spatial, temporal


@HOOKS.register_module()
class AltFreezingHook(Hook):
    """Freeze spatial weights for a while, then temporal ones, and so on.

    A frozen weight has no gradient when the optimiser steps, which therefore
    leaves it, its momentum and its decay alone. Gradients are computed for
    all, since DistributedDataParallel waits for each; clipping their norm
    counts those of frozen weights too. Which group is frozen depends on the
    number of steps done, so that a resumed run goes on where it stopped.

    Args:
        spatial: Steps for which the spatial weights are frozen.
        temporal: Steps for which the temporal weights are, after that.
            Paper: the ratio of both is 20 : 1; the authors' setting says 20.

    Raises:
        SettingError: A number is below 1, or the network has no weights of
            a group.
    """

    def __init__(self, spatial: int = 20, temporal: int = 1) -> None:
        for name, steps in (('spatial', spatial), ('temporal', temporal)):
            if steps < 1:
                raise SettingError(
                    f'AltFreezingHook.{name}={steps}: use 1 or more steps'
                )
        self.spatial = spatial
        self.temporal = temporal

    def before_train(self, runner: Runner) -> None:
        """Find the groups; drop gradients before each step from now on."""
        model = runner.model
        groups = weight_groups(
            model.module if is_model_wrapper(model) else model
        )
        if not all(groups):
            raise SettingError(
                'AltFreezingHook needs 3-D convolutions with '
                'spatial kernels and others with temporal ones. Remedy: a '
                'backbone such as ResNet3d with inflate_style="3x1x1"'
            )
        wrapper = runner.optim_wrapper

        def drop(*_: Any) -> None:
            steps = runner.iter // wrapper._accumulative_counts
            for weight in groups[self.frozen(steps)].values():
                weight.grad = None

        wrapper.optimizer.register_step_pre_hook(drop)

    def frozen(self, steps: int) -> int:
        """Index of the group that is frozen: 0 is spatial, 1 temporal."""
        return int(steps % (self.spatial + self.temporal) >= self.spatial)
