"""AltFreezing (2307.08317): two groups of weights that learn in turn."""

from typing import Any, NamedTuple

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from gml_mmaction.errors import SettingError

__all__ = ['AltFreezingHook', 'WeightGroups', 'weight_groups']


class WeightGroups(NamedTuple):
    """The weights of a network's 3-D convolutions, by name.

    Attributes:
        spatial: Those with an extent in space alone, 1x3x3.
        temporal: Those with an extent in time alone, 3x1x1.
        both: Those with both extents or neither, 5x7x7 and 1x1x1. They are
            never frozen.
    """

    spatial: dict[str, nn.Parameter]
    temporal: dict[str, nn.Parameter]
    both: dict[str, nn.Parameter]


def weight_groups(model: nn.Module) -> WeightGroups:
    """Divide the weights of a network's convolutions by their kernels.

    Each convolution is in one group; other weights, such as those of batch
    norms and the classifier, are in none and never frozen.

    Paper: names weights with a spatial and weights with a temporal extent,
    and is silent on those with both or neither. The authors' public code
    (ZhendongWang6/AltFreezing, f76b061, ``slowfast/models/optimizer.py``)
    gives these to both of its optimisers, so that they always learn. It keeps
    two momenta of them; here they have one.
    """
    groups = WeightGroups({}, {}, {})
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv3d):
            time, *space = module.kernel_size
            group = groups.both
            if (time > 1) != (max(space) > 1):
                group = groups.temporal if time > 1 else groups.spatial
            own = module.named_parameters(prefix=name, recurse=False)
            group.update(own)
    return groups


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
        if not groups.spatial or not groups.temporal:
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
