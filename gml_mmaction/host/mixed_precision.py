"""``--amp`` on a CPU: bfloat16; the host supports only GPUs."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from .workaround import Workaround, mark, why_cpu


@contextlib.contextmanager
def bfloat16() -> Iterator[None]:
    """Autocast for a training step on a CPU; 3-D convolutions in float32.

    Upstream: for small volumes (64 channels of 2x4x4 and 2x8x8, kernel 3x3x3;
    torch 2.13) oneDNN's gradient of their weights reads uninitialised memory,
    which sometimes holds NaN. No report upstream is known to us.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class VolumesInFloat32(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is not torch.conv3d:
                return func(*args, **(kwargs or {}))
            with torch.autocast('cpu', enabled=False):
                volume, *rest = args
                return func(volume.float(), *rest, **(kwargs or {}))

    with torch.autocast('cpu', dtype=torch.bfloat16), VolumesInFloat32():
        yield


def cpu_amp_optim_wrapper() -> type:
    """The registered ``CPUAmpOptimWrapper``: bfloat16 autocast on a CPU.

    Upstream: open-mmlab/mmpretrain#1556, ``AmpOptimWrapper`` asserts a GPU.
    bfloat16 has float32's range, so no loss scaling is needed.
    """
    from mmengine.optim import OptimWrapper
    from mmengine.registry import OPTIM_WRAPPERS

    name = 'CPUAmpOptimWrapper'
    if name in OPTIM_WRAPPERS:
        return OPTIM_WRAPPERS.get(name)

    class CPUAmpOptimWrapper(OptimWrapper):
        """``OptimWrapper`` with the forward pass in bfloat16 on the CPU."""

        @contextlib.contextmanager
        def optim_context(self, model: Any) -> Iterator[None]:
            with super().optim_context(model), bfloat16():
                yield

    OPTIM_WRAPPERS.register_module(name=name, module=CPUAmpOptimWrapper)
    return CPUAmpOptimWrapper


def score_in_float32() -> None:
    """Let the host's heads train and predict under bfloat16 autocast.

    Upstream: ``BaseHead.loss_by_feat`` hands the logits to NumPy, which has
    no bfloat16 ('Got unsupported ScalarType BFloat16'); the scores that
    ``predict_by_feat`` leaves fail likewise in a metric. No report upstream
    is known to us. Here both methods get float32.
    """
    from mmaction.models.heads import BaseHead

    for name in ('loss_by_feat', 'predict_by_feat'):
        given = getattr(BaseHead, name)
        if not hasattr(given, 'repaired_by'):
            setattr(BaseHead, name, with_float32_scores(given))


def with_float32_scores(given: Callable) -> Callable:
    """A method of a head, called with its first argument as float32."""

    @functools.wraps(given)
    def method(self: Any, cls_scores: Any, data_samples: Any) -> Any:
        return given(self, cls_scores.float(), data_samples)

    mark(method, __name__)
    return method


def _why_bfloat16() -> str:
    import torch
    from mmaction.models.heads import BaseHead
    from mmaction.structures import ActionDataSample

    head = SimpleNamespace(
        num_classes=2,
        topk=(1,),
        label_smooth_eps=0,
        loss_cls=torch.nn.functional.cross_entropy,
    )
    scores = torch.zeros(1, 2, dtype=torch.bfloat16)
    sample = ActionDataSample().set_gt_label(0)
    try:
        inspect.unwrap(BaseHead.loss_by_feat)(head, scores, [sample])
    except TypeError:
        return 'the heads of the installed MMAction2 call NumPy'
    return ''


WORKAROUNDS = (
    Workaround(
        "bfloat16 in the host's heads",
        'mmaction/models/heads/base.py, BaseHead.loss_by_feat',
        _why_bfloat16,
        score_in_float32,
    ),
    Workaround(
        '--amp on a CPU (bfloat16)',
        'open-mmlab/mmpretrain#1556',
        why_cpu,
    ),
)
