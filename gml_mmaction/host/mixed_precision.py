"""``--amp`` with one meaning on every device; the host supports only GPUs."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from gml_mmaction.errors import SettingError

from .workaround import Workaround, cpu_only, mark

# What --amp is given, and PyTorch's names.
DTYPES = {'fp16': 'float16', 'bf16': 'bfloat16'}


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


def settle_precision(cfg: Any) -> None:
    """Let ``AmpOptimWrapper`` of a config mean the same on every device.

    It becomes ``MixedOptimWrapper`` (:mod:`.mixed_wrapper`). Where the
    config names no dtype, it is the host's float16 on a GPU and bfloat16 on a
    CPU.

    Args:
        cfg: ``mmengine.Config``; changed in place.

    Raises:
        SettingError: The device cannot train in this dtype.
    """
    given = cfg.get('optim_wrapper') or {}
    if given.get('type') != 'AmpOptimWrapper' or given.get('use_fsdp'):
        return
    on_cpu = cpu_only()
    kind = str(given.get('dtype') or ('bfloat16' if on_cpu else 'float16'))
    kind = kind.removeprefix('torch.')
    if kind not in DTYPES.values():
        raise SettingError(
            f'optim_wrapper.dtype={kind!r}: use one of {[*DTYPES.values()]}'
        )
    if on_cpu and kind == 'float16':
        raise SettingError(
            'optim_wrapper.dtype=float16 (--amp fp16): a CPU trains in '
            'bfloat16 or float32. Remedy: --amp bf16, or leave it out'
        )
    if not on_cpu and kind == 'bfloat16' and not has_bfloat16():
        raise SettingError(
            'optim_wrapper.dtype=bfloat16 (--amp bf16): this GPU computes it '
            'in float32 only. Remedy: --amp fp16'
        )
    from . import mixed_wrapper  # registers it

    given['type'] = mixed_wrapper.MixedOptimWrapper.__name__
    given['dtype'] = kind
    given.pop('use_fsdp', None)


def has_bfloat16() -> bool:
    """Whether a GPU has units for it: Ampere and later."""
    import torch

    return torch.cuda.get_device_capability() >= (8, 0)


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
        '--amp on a CPU, and bfloat16 without scaled losses',
        'open-mmlab/mmpretrain#1556',
        lambda: 'AmpOptimWrapper asserts a GPU and always scales losses',
    ),
)
