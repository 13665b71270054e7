"""MMEngine's optimiser wrapper for mixed precision, on any device."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from .mixed_precision import bfloat16

__all__ = ['MixedOptimWrapper']


@OPTIM_WRAPPERS.register_module()
class MixedOptimWrapper(OptimWrapper):
    """Forward passes in ``dtype``; weights and updates in float32.

    Upstream: open-mmlab/mmpretrain#1556, ``AmpOptimWrapper`` asserts a GPU.
    It also scales losses in bfloat16, which has float32's range, and calls
    PyTorch's ``GradScaler`` by its old name, which warns.

    Args:
        dtype: ``'bfloat16'``, or ``'float16'``, whose losses are scaled.
        loss_scale: ``'dynamic'``, a fixed scale, or the arguments of
            PyTorch's ``GradScaler``.
        **kwargs: Those of MMEngine's ``OptimWrapper``.
    """

    def __init__(
        self, dtype: str, loss_scale: Any = 'dynamic', **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._device = torch.device(get_device()).type
        self._dtype = getattr(torch, dtype)
        self._fixed: float | None = None
        given: dict[str, Any] = {'enabled': self._dtype == torch.float16}
        if isinstance(loss_scale, dict):
            given |= loss_scale
        elif loss_scale != 'dynamic':
            self._fixed = given['init_scale'] = float(loss_scale)
        self.loss_scaler = torch.amp.GradScaler(self._device, **given)

    @contextlib.contextmanager
    def optim_context(self, model: Any) -> Iterator[None]:
        """Autocast, and no exchange while gradients are accumulated."""
        autocast: Any = torch.autocast(self._device, dtype=self._dtype)
        if self._device == 'cpu':
            autocast = bfloat16()
        with super().optim_context(model), autocast:
            yield

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Propagate the scaled loss back."""
        super().backward(self.loss_scaler.scale(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Update the weights, unless a scaled gradient is not finite."""
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update(self._fixed)

    def state_dict(self) -> dict:
        """The optimiser's, and the scale if there is one."""
        scale = self.loss_scaler.state_dict()
        more = {'loss_scaler': scale} if scale else {}
        return {**super().state_dict(), **more}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take the scale over if the checkpoint has one."""
        scale = state_dict.pop('loss_scaler', None)
        if scale:
            self.loss_scaler.load_state_dict(scale)
        super().load_state_dict(state_dict)
