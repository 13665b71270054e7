"""Twins of the networks' modules: the same attributes, a faster ``forward``.

A module is accelerated by becoming an instance of its twin, a subclass of its
own class. So parameters, buffers, hooks, names and checkpoints stay what they
were, and copies and pickles of a model stay as fast as it is.

What a twin computes equals what its class defines to rounding. It takes the
definition wherever the difference could be seen (see :mod:`.blocks`).
"""

from typing import TypeVar

from torch import Tensor, nn

from gml_mmaction.models import CSTM, MCB, STMBlock
from gml_mmaction.models.motion import MotionBlock
from gml_mmaction.models.xception import SeparableConv2d

from . import blocks

__all__ = ['accelerate', 'plain']

Model = TypeVar('Model', bound=nn.Module)


def accelerate(model: Model) -> Model:
    """Let the motion blocks of a model take their faster forward passes.

    In place; modules of classes derived from ours are left as they are.

    Args:
        model: Any model, or a wrapper of one.

    Returns:
        ``model``.
    """
    # a block computes its own
    parts = {m.cstm for m in model.modules() if isinstance(m, MotionBlock)}
    for module in reversed([*model.modules()]):  # what is inside comes first
        twin = TWINS.get(type(module))
        if twin and module not in parts and _gains(module):
            module.__class__ = twin
    return model


def plain(model: Model) -> Model:
    """Undo :func:`accelerate`, in place; return ``model``."""
    for module in model.modules():
        if type(module) in DEFINITIONS:
            module.__class__ = DEFINITIONS[type(module)]
    return model


class FastCSTM(CSTM):
    """CSTM alone; a ReLU before it may be handed over with its input."""

    def forward(self, x: Tensor, relu: nn.Module | None = None) -> Tensor:
        if blocks.cstm_applies(self, x):
            return blocks.cstm_forward(self, x, relu)
        return super().forward(x if relu is None else relu(x))


class FastMotionBlock(MotionBlock):
    """A motion block; a ReLU before it may be handed over with its input."""

    def forward(self, x: Tensor, relu: nn.Module | None = None) -> Tensor:
        if blocks.applies(self, x):
            return blocks.forward(self, x, relu)
        return super().forward(x if relu is None else relu(x))


class FastSTMBlock(FastMotionBlock, STMBlock):
    """The STM block."""


class FastMCB(FastMotionBlock, MCB):
    """The Motion Consistency Block."""


class FastSeparableConv2d(SeparableConv2d):
    """A separable convolution that hands a ReLU on to its motion block."""

    def forward(self, x: Tensor, *relu: nn.Module) -> Tensor:
        return self.pointwise(self.conv1(x, *relu))


class FastSequential(nn.Sequential):
    """Layers of which a motion block takes in the ReLU before it.

    The block applies it in reading: a map less is written and read.
    """

    def forward(self, x: Tensor) -> Tensor:
        relu = None
        for layer in self:
            if isinstance(layer, nn.ReLU):
                relu = layer
            elif relu is None:
                x = layer(x)
            elif _takes_relu(layer):
                x, relu = layer(x, relu), None
            else:
                x, relu = layer(relu(x)), None
        return x if relu is None else relu(x)


def _takes_relu(layer: nn.Module) -> bool:
    """Whether a ReLU goes in, too, and nothing wants to see what it leaves."""
    if not isinstance(layer, WITH_RELU) or blocks.has_hooks(layer):
        return False
    inner = getattr(layer, 'conv1', None)
    return inner is None or _takes_relu(inner)


def _gains(module: nn.Module) -> bool:
    """Whether the module is faster as a twin, alone or by what is in it."""
    return isinstance(module, CSTM | MotionBlock) or any(
        isinstance(child, WITH_RELU) for child in module.children()
    )


WITH_RELU = FastCSTM | FastMotionBlock | FastSeparableConv2d
TWINS: dict[type[nn.Module], type[nn.Module]] = {
    CSTM: FastCSTM,
    STMBlock: FastSTMBlock,
    MCB: FastMCB,
    SeparableConv2d: FastSeparableConv2d,
    nn.Sequential: FastSequential,
}
DEFINITIONS = {twin: definition for definition, twin in TWINS.items()}
