"""Random values that a network without weights to start from can learn from.

Hooks of networks that, from their usual random values, do not leave chance in
some hundred iterations of a small config (docs/systems.md). A network that
starts from a file, or a run that was resumed, keeps its values. In several
processes all take the first one's.
"""

import math

import torch
from mmaction.registry import HOOKS
from mmengine.dataset import pseudo_collate
from mmengine.dist import broadcast
from mmengine.runner import Runner
from torch import nn

from gml_mmaction.errors import SettingError
from gml_mmaction.models.mimetic import mimic
from gml_mmaction.models.shift_start import subtract_neighbours
from gml_mmaction.models.whitening import whiten

from .initial_weights import StartHook, starts, unwrapped

__all__ = ['DifferenceStartHook', 'MimeticStartHook', 'WhitenedStartHook']


class _RandomStartHook(StartHook):
    """Values by a seed, for a network that has none of a file."""

    def before_train(self, runner: Runner) -> None:
        """Set them."""
        if not self.loaded and not any(starts(runner)):
            seed = torch.Generator().manual_seed(runner.seed or 0)
            for tensor in self.start(runner, seed):
                broadcast(tensor)

    def start(
        self, runner: Runner, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Set values, and return the tensors that were set."""
        raise NotImplementedError


@HOOKS.register_module()
class DifferenceStartHook(_RandomStartHook):
    """Start what is behind a TSM's first shift as a difference of frames.

    See :func:`~gml_mmaction.models.shift_start.subtract_neighbours`.

    Raises:
        SettingError: The backbone is no ``ResNetTSM``.
    """

    def start(
        self, runner: Runner, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Set the two convolutions."""
        name, changed = subtract_neighbours(unwrapped(runner.model).backbone)
        self.said = dict(difference=f'backbone.{name}')
        return [tensor.data for tensor in changed]


@HOOKS.register_module()
class MimeticStartHook(_RandomStartHook):
    """Start a network's attention as attention that has learned.

    See :func:`~gml_mmaction.models.mimetic.mimic`.

    Raises:
        SettingError: There is no such attention.
    """

    def start(
        self, runner: Runner, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Set the layers of attention."""
        changed = mimic(unwrapped(runner.model), generator)
        self.said = dict(mimetic=len(changed))
        return [tensor.data for tensor in changed]


@HOOKS.register_module()
class WhitenedStartHook(_RandomStartHook):
    """Start the backbone's first convolution as a random whitening.

    For networks whose first convolution reads several frames: their patches
    differ least in what moves. See
    :func:`~gml_mmaction.models.whitening.whiten`.

    Args:
        clips: Of the training set, evenly spread, as its pipeline gives them;
            1 or more.
        noise: Grey levels, above 0; what varies less is not amplified as the
            rest.

    Raises:
        SettingError: A number is out of its range, or there is no convolution
            that reads frames.
    """

    def __init__(self, clips: int = 24, noise: float = 2.0) -> None:
        if clips < 1:
            raise SettingError(f'clips={clips}. Remedy: 1 or more')
        if not 0 < noise < math.inf:
            raise SettingError(f'noise={noise}. Remedy: a number above 0')
        super().__init__()
        self.clips, self.noise = clips, noise

    def start(
        self, runner: Runner, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Set the convolution."""
        model = unwrapped(runner.model)
        name, first = _first_convolution(model.backbone)
        dataset = runner.train_dataloader.dataset
        count = min(self.clips, len(dataset))
        read: list[torch.Tensor] = []
        hook = first.register_forward_pre_hook(
            lambda _, inputs: read.append(inputs[0])
        )
        training = model.training
        model.eval()
        with torch.no_grad():
            for number in range(count):
                clip = dataset[number * len(dataset) // count]
                batch = model.data_preprocessor(pseudo_collate([clip]), False)
                model(**batch, mode='predict')
        model.train(training)
        hook.remove()
        deviation = getattr(model.data_preprocessor, 'std', None)
        level = 1 if deviation is None else float(deviation.mean())
        whiten(first, torch.cat(read), self.noise / level, generator)
        self.said = dict(whitened=f'backbone.{name}')
        return [*first.state_dict().values()]


def _first_convolution(
    backbone: nn.Module,
) -> tuple[str, nn.Conv2d | nn.Conv3d]:
    for name, module in backbone.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            return name, module
    raise SettingError(
        f'WhitenedStartHook: {type(backbone).__name__} has no convolution. '
        'Remedy: leave out the hook'
    )
