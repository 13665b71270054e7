"""What a prediction and a training step move and hold, without a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmaction.models.backbones.swin import compute_mask
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gml_mmaction import host
from gml_mmaction.io.text import one_line

from .cost import CostError, LiveTensors, Setting, build_model

__all__ = ['Estimate', 'Traffic', 'estimate']


@dataclass
class Traffic:
    """What a step moves, without running it.

    Attributes:
        bytes: Read and written by all operators, each tensor once for each.
        launches: Operators that compute, about the kernels of a GPU.
        peak: Bytes of the tensors alive at once, parameters included.
    """

    bytes: int = 0
    launches: int = 0
    peak: int = 0


@dataclass
class Estimate:
    """:func:`estimate` of a detector: two steps, and bytes of its weights."""

    forward: Traffic
    step: Traffic
    weights: int


def estimate(model: Any, setting: Setting) -> Estimate:
    """What a prediction and a training step move and hold, computed.

    On tensors without numbers, so that any size takes seconds and no memory:
    the network by its definition, its features and scores, and the sum of
    these propagated back. A GPU's own workspaces are not known.

    Args:
        model: The ``model`` of a config.
        setting: Batch, clips and ``amp``.

    Raises:
        CostError: The network cannot be run without numbers.
    """
    host.prepare_run()
    init_default_scope('mmaction')
    try:
        built = build_model(model, setting.frames)
        one = replace(setting, batch=1).clips()
        shape = built.data_preprocessor(one, False)['inputs'].shape
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            _forget_numbers(built, mode)
            own = [*built.parameters(), *built.buffers()]
            clips = torch.empty(setting.batch, *shape[1:])
            with torch.no_grad():
                forward = _count(built.eval(), own, clips, setting)
            compute_mask.cache_clear()  # or the step would not count them
            step = _count(built.train(), own, clips, setting)
    except Exception as error:
        raise CostError(
            f'{type(error).__name__}: {one_line(error):.200}'
        ) from error
    finally:
        compute_mask.cache_clear()  # Swin's, which have no numbers now
    return Estimate(forward, step, sum(tensor.nbytes for tensor in own))


def _forget_numbers(model: nn.Module, mode: FakeTensorMode) -> None:
    """Leave a network's tensors their shapes, layouts and types alone."""
    for module in model.modules():
        for name, value in [*module._parameters.items()]:
            if value is not None:
                fake = nn.Parameter(mode.from_tensor(value.detach()))
                fake.requires_grad_(value.requires_grad)
                module.register_parameter(name, fake)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = mode.from_tensor(buffer)


def _count(
    model: BaseModel, own: list[Tensor], clips: Tensor, setting: Setting
) -> Traffic:
    """One step on tensors without numbers."""
    traffic = Traffic()
    with LiveTensors([*own, clips]) as live, _Operators(traffic):
        with setting.autocast():
            scores = model(clips, mode='tensor', stage='head')
        if model.training:
            tensors = [t for t in tree_leaves(scores) if isinstance(t, Tensor)]
            torch.stack([t.float().sum() for t in tensors]).sum().backward()
            model.zero_grad(set_to_none=True)
    traffic.peak = live.peak
    return traffic


class _Operators(TorchDispatchMode):
    """Count the bytes and the number of operators that compute."""

    FREE = {'detach', 'empty', 'empty_like', 'new_empty', '_unsafe_view'}

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self.traffic = traffic

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        computes = func.namespace != 'prim' and name not in self.FREE
        if computes and not func.is_view:
            read = [t for t in tree_leaves((args, kwargs)) if _is_tensor(t)]
            written = [t for t in tree_leaves(out) if _is_tensor(t)]
            seen = [*{id(t): t for t in read}.values(), *written]
            self.traffic.bytes += sum(tensor.nbytes for tensor in seen)
            self.traffic.launches += 1
        return out


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, Tensor)
