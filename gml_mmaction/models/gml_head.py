"""The anomaly-detection (AD) auxiliary head and GML's head (Sec. 2.3).

Shapes: features are ``(N, T, C, H, W)``, N clips of T frames. Class 0 is
real, class 1 is fake.
"""

import torch
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

from .forgery_head import (
    NUM_CLASSES,
    REAL,
    ForgeryHead,
    clip_labels,
    count_members,
    smooth,
)


class Bottleneck(nn.Module):
    """Residual bottleneck x + [1x1, 3x3, 1x1], BN and ReLU inside.

    No ReLU follows the sum, so that the output stays signed.

    Args:
        channels: Channels of input and output.
        hidden: Channels of the 3x3 convolution.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x)


class ADBlock(nn.Sequential):
    """AD block: F_out -> forgery clues F*, of the same size (Sec. 2.3).

    Paper: "nine rest convolution blocks" and nothing more. We take nine
    residual bottlenecks, frame by frame: Table 3 attaches AD to the
    frame-wise Xception as well, and two full 3x3 convolutions a block would
    have four times the parameters of the backbone. F* is signed, since no
    ReLU follows the last sum; the identity path makes it start near F_out.

    Args:
        channels: C of F_out.
        hidden: Channels inside a bottleneck, C/4 by default.

    Raises:
        SettingError: F_out has another number of channels.
    """

    NUM_BLOCKS = 9  # Sec. 2.3

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        hidden = hidden or max(1, channels // 4)
        super().__init__(
            *(Bottleneck(channels, hidden) for _ in range(self.NUM_BLOCKS))
        )
        self.channels = channels

    def forward(self, f_out: Tensor) -> Tensor:
        """``(N, T, C, H, W)`` -> ``(N, T, C, H, W)``."""
        if f_out.shape[2] != self.channels:
            raise SettingError(
                f'model.cls_head.ad_head.in_channels={self.channels}: F_out, '
                f"the output of the backbone's tap, has {f_out.shape[2]} "
                f'channels. Remedy: set ad_head.in_channels to '
                f'{f_out.shape[2]}'
            )
        return (
            super().forward(f_out.flatten(0, 1)).unflatten(0, f_out.shape[:2])
        )


def real_l1(f_star: Tensor, labels: Tensor, reduction: str = 'mean') -> Tensor:
    """L1 loss of Eq. 3 on the forgery clues of real clips.

    The sum over real clips is divided by N_P, their number over all processes
    (:func:`count_members`). Without a real clip the loss is zero and every
    parameter still has a gradient.

    Paper: calls real clips "positive". It writes the plain norm; at weight 1
    that sums 1,141,504 numbers a clip, so ``'mean'``, the default, takes the
    mean over a clip's elements, as LGSC (2005.03922) does. ``'sum'`` is
    literal. A batch without a real clip is not discussed.

    Args:
        f_star: F*, ``(N, ...)``.
        labels: ``(N,)``, 0 = real; or ``(N, 2)``, shares, of which that of
            real is the clip's weight.
        reduction: ``'mean'`` or ``'sum'`` over the elements of a clip.
    """
    per_clip = f_star.float().abs().flatten(1)
    per_clip = per_clip.mean(1) if reduction == 'mean' else per_clip.sum(1)
    real = labels == REAL if labels.dim() == 1 else labels[:, REAL]
    real = real.to(per_clip)
    return (per_clip * real).sum() / count_members(real)


class ADHead(nn.Module):
    """AD auxiliary head: F* and its linear classifier (Sec. 2.3).

    F* is averaged over time and space before the classifier. Nothing is
    detached: AD is there to regularise the backbone. F* is not fed back.

    Paper: says "linear classifier layer", not how a map becomes a vector, nor
    how many outputs it has. Both classifiers are two-way with a softmax.

    Args:
        in_channels: C of F_out.
        hidden: See :class:`ADBlock`.
        l1_weight: Weight of the L1 loss; 0 switches it off ("w/o l1").
        l1_reduction: See :func:`real_l1`.
        classify: False leaves out the classifier and its loss ("w/o cls");
            the prediction is then the backbone's alone.

    Raises:
        SettingError: Another ``l1_reduction``, or neither loss: leave out the
            whole head then.
    """

    def __init__(
        self,
        in_channels: int = 728,
        hidden: int | None = None,
        l1_weight: float = 1.0,
        l1_reduction: str = 'mean',
        classify: bool = True,
    ) -> None:
        super().__init__()
        if l1_reduction not in ('mean', 'sum'):
            raise SettingError(
                f"l1_reduction={l1_reduction!r}: use 'mean' or 'sum'"
            )
        if not (l1_weight or classify):
            raise SettingError(
                'an AD head without L1 loss and classifier is not trained: '
                'use ad_head=None'
            )
        self.l1_weight = l1_weight
        self.l1_reduction = l1_reduction
        self.ad_block = ADBlock(in_channels, hidden)
        self.fc_cls2 = (
            nn.Linear(in_channels, NUM_CLASSES) if classify else None
        )

    def forward(self, f_out: Tensor) -> tuple[Tensor, Tensor | None]:
        """F* ``(N, T, C, H, W)`` and logits ``(N, 2)`` or None."""
        f_star = self.ad_block(f_out)
        if self.fc_cls2 is None:
            return f_star, None
        return f_star, self.fc_cls2(f_star.mean(dim=(1, 3, 4)))


@MODELS.register_module()
class GMLHead(ForgeryHead):
    """Classifier of the backbone and AD branch: Loss = cls1 + L1 + cls2.

    The backbone's last features are averaged over space and time before the
    linear classifier. Without an AD branch, one of the host's backbones may
    be used, whose features are one map ``(N, C, T, H, W)``. The prediction of
    a clip is the average of both classifiers' probabilities; several clips of
    one sample are averaged too.

    Paper: does not say how frames become a clip for the classifier, nor
    whether the "average" of the two predictions is one of probabilities
    (``fuse='prob'``, the default) or of logits (``fuse='logit'``).

    Args:
        in_channels: Channels of the last features.
        ad_head: Arguments of :class:`ADHead`; None leaves the branch out.
        fuse: ``'prob'`` or ``'logit'``.
        loss_cls: Config of the cross-entropy of both classifiers.
        label_smooth_eps: Label smoothing of both classifiers, in [0, 1); the
            L1 loss has none.
        init_cfg: MMEngine's initialisation config.

    Raises:
        SettingError: Unknown ``fuse``.
    """

    def __init__(
        self,
        in_channels: int = 2048,
        ad_head: dict | None = None,
        fuse: str = 'prob',
        loss_cls: dict | None = None,
        label_smooth_eps: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            loss_cls,
            label_smooth_eps,
            init_cfg,
            average_clips=None,  # predict does
        )
        if fuse not in ('prob', 'logit'):
            raise SettingError(f"fuse={fuse!r}: use 'prob' or 'logit'")
        self.fuse = fuse
        self.fc_cls1 = nn.Linear(in_channels, NUM_CLASSES)
        self.ad_head = ADHead(**ad_head) if ad_head is not None else None
        self.to(memory_format=torch.channels_last)  # as the features

    def split(
        self, feats: tuple[Tensor, Tensor] | Tensor
    ) -> tuple[Tensor | None, Tensor]:
        """F_out, if there is one, and the last features.

        Raises:
            SettingError: The AD branch lacks F_out, or the features are not
                those of clips.
        """
        if not isinstance(feats, Tensor):
            return feats
        if self.ad_head is not None:
            raise SettingError(
                'model.cls_head.ad_head needs F_out, and the backbone gives '
                'its last features alone. Remedy: '
                'model.cls_head.ad_head=None, or an Xception with a tap'
            )
        if feats.dim() != 5:
            raise SettingError(
                'model.cls_head.type=GMLHead reads clips, and the backbone '
                'gives images. Remedy: model.cls_head.type=FrameHead'
            )
        return None, feats.transpose(1, 2)

    def branches(
        self, feats: tuple[Tensor, Tensor] | Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Logits of both classifiers, ``(N, 2)``, and F*.

        What is switched off is None. Logits are float32 under any autocast
        type, since the host's losses and scores leave PyTorch.
        """
        f_out, f_last = self.split(feats)
        logits1 = self.fc_cls1(f_last.mean(dim=(1, 3, 4))).float()
        if self.ad_head is None:
            return logits1, None, None
        f_star, logits2 = self.ad_head(f_out)
        return logits1, None if logits2 is None else logits2.float(), f_star

    def forward(
        self, feats: tuple[Tensor, Tensor] | Tensor, **_: object
    ) -> Tensor:
        """Probabilities of real and fake, ``(N, 2)``, in [0, 1]."""
        logits1, logits2 = self.branches(feats)[:2]
        if logits2 is None:
            return logits1.softmax(dim=1)
        if self.fuse == 'logit':
            return ((logits1 + logits2) / 2).softmax(dim=1)
        return (logits1.softmax(dim=1) + logits2.softmax(dim=1)) / 2

    def loss(
        self,
        feats: tuple[Tensor, Tensor] | Tensor,
        data_samples: SampleList,
        **_: object,
    ) -> dict[str, Tensor]:
        """The loss terms, scalars that MMEngine sums.

        ``loss_cls1`` and, unless switched off, ``loss_l1``, ``loss_cls2``.
        """
        logits1, logits2, f_star = self.branches(feats)
        labels = clip_labels(data_samples, logits1.device, shares=True)
        targets = smooth(labels, self.label_smooth_eps)
        losses = dict(loss_cls1=self.loss_cls(logits1, targets))
        head = self.ad_head
        if head is not None and f_star is not None and head.l1_weight:
            losses['loss_l1'] = head.l1_weight * real_l1(
                f_star, labels, head.l1_reduction
            )
        if logits2 is not None:
            losses['loss_cls2'] = self.loss_cls(logits2, targets)
        return losses

    def predict(
        self,
        feats: tuple[Tensor, Tensor] | Tensor,
        data_samples: SampleList,
        **_: object,
    ) -> SampleList:
        """Set ``pred_score`` (probabilities) and ``pred_label``."""
        scores = self(feats).unflatten(0, (len(data_samples), -1)).mean(dim=1)
        for sample, score in zip(data_samples, scores):
            sample.set_pred_score(score)
            sample.set_pred_label(score.argmax(dim=0, keepdim=True))
        return data_samples
