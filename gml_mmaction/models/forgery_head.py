"""What all detectors' heads share: two classes, labels, numbers of clips.

Class 0 is real, class 1 is fake.
"""

import mmengine.dist as dist
import torch
from mmaction.models.heads import BaseHead
from mmaction.utils import SampleList
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

REAL = 0
NUM_CLASSES = 2


class ForgeryHead(BaseHead):
    """The host's head with two classes; it averages frames' and clips' scores.

    Args:
        in_channels: Channels of the features.
        loss_cls: Config of the classification loss, cross-entropy by default.
        label_smooth_eps: Label smoothing, in [0, 1).
        init_cfg: MMEngine's initialisation config.
        average_clips: What the host averages over clips: ``'prob'`` the
            probabilities of logits, ``'score'`` what the head gives; None
            averages nothing.

    Raises:
        SettingError: ``label_smooth_eps`` is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        loss_cls: dict | None = None,
        label_smooth_eps: float = 0.0,
        init_cfg: dict | None = None,
        average_clips: str | None = 'prob',
    ) -> None:
        super().__init__(
            NUM_CLASSES,
            in_channels,
            loss_cls=loss_cls or dict(type='CrossEntropyLoss'),
            label_smooth_eps=check_smoothing(label_smooth_eps),
            topk=(1,),
            average_clips=average_clips,
            init_cfg=init_cfg,
        )


def clip_labels(
    data_samples: SampleList, device: torch.device, shares: bool = False
) -> Tensor:
    """The label of each clip, ``(N,)``; for blended clips, their shares.

    Args:
        data_samples: N of them.
        device: Where the labels are needed.
        shares: Whether the loss can read ``(N, 2)`` shares, such as Mixup
            makes.

    Raises:
        SettingError: The clips are blended and the loss cannot read shares,
            or the shares are of another number of classes.
    """
    labels = [sample.gt_label for sample in data_samples]
    if all(len(label) == 1 for label in labels):
        return torch.cat(labels).to(device)
    if not shares:
        raise SettingError(
            'model.data_preprocessor.blending: this head reads whole labels. '
            'Remedy: model.data_preprocessor.blending=None, or GMLHead, '
            'FrameHead, LSTMHead'
        )
    if len(labels[0]) != NUM_CLASSES:
        raise SettingError(
            'model.data_preprocessor.blending.num_classes='
            f'{len(labels[0])}: use {NUM_CLASSES}'
        )
    return torch.stack(labels).to(device)


def smooth(labels: Tensor, eps: float) -> Tensor:
    """Smooth labels towards one half each, ``(N, 2)``; 0 changes nothing.

    Args:
        labels: ``(N,)`` or shares, ``(N, 2)``.
        eps: In [0, 1).
    """
    if not eps:
        return labels
    if labels.dim() == 1:
        labels = nn.functional.one_hot(labels, NUM_CLASSES)
    return (1 - eps) * labels + eps / NUM_CLASSES


def check_smoothing(eps: float) -> float:
    """Return ``eps`` if it is valid.

    Raises:
        SettingError: It is not a number in [0, 1).
    """
    if not isinstance(eps, int | float) or not 0 <= eps < 1:
        raise SettingError(
            f'model.cls_head.label_smooth_eps={eps!r}: use 0 or more, and '
            'less than 1'
        )
    return eps


def count_members(members: Tensor) -> Tensor:
    """Number of clips of a class, at least 1; its loss is divided by it.

    With several processes it is the mean of their numbers, so that averaged
    gradients are those of the whole batch.

    Args:
        members: ``(..., N)``, 1 for a clip of the class and 0 for others.
    """
    count = members.sum(dim=-1)
    dist.all_reduce(count, op='mean')
    return torch.where(count > 0, count, 1)
