"""Frame-wise detectors: clips as images, and a head that scores each image.

Shapes: N clips of T frames. Image networks see ``(N*T, C, H, W)``, the frame
index fastest, as MMAction2's ``Recognizer2D`` folds them. Class 0 is real,
class 1 is fake.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor, nn
from torch.nn import functional as F

from .forgery_head import NUM_CLASSES, ForgeryHead, clip_labels, smooth

# What a backbone gives its head: one map, or several for the heads that
# read several.
Features: TypeAlias = Any


@MODELS.register_module()
class FramePreprocessor(ActionDataPreprocessor):
    """Turn clips of the common pipeline into frames for ``Recognizer2D``.

    The pipeline packs ``(1, C, T, H, W)`` a sample ('NCTHW') for every
    detector; here the batch becomes ``(N, T, C, H, W)``, so that frame-wise
    detectors need no pipeline of their own.

    Args:
        mean: Of each channel, in grey levels, 0 to 255.
        std: Of each channel, in grey levels.
        **kwargs: Arguments of the host's ``ActionDataPreprocessor``.
    """

    def __init__(
        self, mean: list[float], std: list[float], **kwargs: object
    ) -> None:
        super().__init__(mean=mean, std=std, format_shape='NCTHW', **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        data = super().forward(data, training)
        frames = data['inputs'].transpose(2, 3).flatten(1, 2)
        data['inputs'] = frames.contiguous()  # Recognizer2D uses .view
        return data


def frame_labels(
    data_samples: SampleList,
    num_segs: int,
    device: torch.device,
    shares: bool = False,
) -> Tensor:
    """The label of each frame, which is its clip's, ``(N * num_segs,)``.

    For ``shares`` of blended clips see :func:`.clip_labels`.
    """
    labels = clip_labels(data_samples, device, shares)
    return labels.repeat_interleave(num_segs, dim=0)


def stretch(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps, bilinear, with corner pixels aligned."""
    return F.interpolate(maps, size, mode='bilinear', align_corners=True)


@MODELS.register_module()
class FrameHead(ForgeryHead):
    """A linear classifier of frames: per-frame loss, per-frame scores.

    Features are averaged over space. A frame has its clip's label; a clip's
    score is the mean of its frames' P(fake), and the frames' own are kept in
    the sample as ``frame_scores``, ``(T,)``.

    Paper: "frame-based" Xception is compared with clips of eight frames; how
    frames' scores become one is not said. We average probabilities.

    Args:
        in_channels: Channels of the features.
        dropout_ratio: Dropout before the classifier.
        loss_cls: Config of the classification loss, cross-entropy by default.
        label_smooth_eps: Label smoothing, in [0, 1).
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        dropout_ratio: float = 0.0,
        loss_cls: dict | None = None,
        label_smooth_eps: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, loss_cls, label_smooth_eps, init_cfg)
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(in_channels, NUM_CLASSES)

    def forward(self, feats: Features, **_: object) -> Tensor:
        """Logits of frames: ``(N*T, C, H, W)`` -> ``(N*T, 2)``, float32."""
        return self.fc_cls(self.dropout(feats.mean(dim=(2, 3)))).float()

    def loss(
        self,
        feats: Features,
        data_samples: SampleList,
        num_segs: int = 1,
        **_: object,
    ) -> dict[str, Tensor]:
        """``loss_cls``, the mean over all frames."""
        logits = self(feats)
        labels = frame_labels(
            data_samples, num_segs, logits.device, shares=True
        )
        targets = smooth(labels, self.label_smooth_eps)
        return dict(loss_cls=self.loss_cls(logits, targets))

    def predict_by_feat(
        self, cls_scores: Tensor, data_samples: SampleList
    ) -> SampleList:
        """Set ``pred_score``, ``pred_label`` and ``frame_scores``."""
        fake = cls_scores.softmax(dim=1)[:, 1]
        for sample, own in zip(data_samples, fake.chunk(len(data_samples))):
            sample.set_field(own, 'frame_scores')
        return super().predict_by_feat(cls_scores, data_samples)
