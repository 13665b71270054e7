"""ISTVT (TIFS 2023): attention through time, then within frames.

Xception's entry flow gives tokens; each layer looks at a place's frames by
their differences, then at all places of a frame. Written from the
description; where that is silent, from the public code of the authors' group
(Vill-Lab/2023-TIFS-ISTVT, a478f93), which has the network, but not the
training that its numbers come from. Shapes: N clips, ``(N, C, T, H, W)``;
inside, tokens are ``(N, T, P, C)``, P places of a frame.
"""

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

from .attention import FeedForward, SelfAttention
from .forgery_head import NUM_CLASSES, ForgeryHead
from .xception import Xception


@MODELS.register_module()
class XceptionEntry(Xception):
    """Xception's entry flow: the stem and the first three blocks.

    The public ImageNet checkpoints load here too.

    Args:
        width: Factor on all channels, above 0.
        norm_eval: Keep batch normalisation in evaluation mode in training.
        frozen_stages: See :class:`Xception`; up to 3.
        init_cfg: MMEngine's initialisation config.

    Returns:
        ``(N, 728, T, H / 16, W / 16)``, less the stem's margins: 19 x 19 of
        300 x 300.
    """

    def __init__(
        self,
        width: float = 1.0,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            tap=None,
            width=width,
            middle_blocks=0,
            norm_eval=norm_eval,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
        )
        self.stages, rest = self.stages[:3], self.stages[3:]
        for name in (*rest, 'bn3', 'bn4'):
            delattr(self, name)


def subtract(x: Tensor) -> Tensor:
    """Self-subtraction: what changed since the frame before.

    Args:
        x: ``(N, 1 + T, P, C)``, the temporal token in front. It and the first
            frame, which has none before it, stay as they are.
    """
    return torch.cat([x[:, :2], x[:, 2:] - x[:, 1:-1]], dim=1)


class DecomposedLayer(nn.Module):
    """Attention over time, then over space, added once; a feed-forward.

    The attention over time compares differences of frames
    (:func:`subtract`) and gathers the frames themselves.

    Args:
        dim: C.
        heads: Of 64 channels each.
        hidden: Units of the feed-forward.
        dropout: Behind each projection.
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.norm_time = nn.LayerNorm(dim)
        self.over_time = SelfAttention(dim, heads, dropout=dropout)
        self.norm_space = nn.LayerNorm(dim)
        self.over_space = SelfAttention(dim, heads, dropout=dropout)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.norm_time(x)
        changes = subtract(frames)
        in_time = self.over_time(
            frames.transpose(1, 2), changes.transpose(1, 2)
        ).transpose(1, 2)
        x = x + self.over_space(self.norm_space(in_time))
        return x + self.feed_forward(self.norm(x))


@MODELS.register_module()
class ISTVTHead(ForgeryHead):
    """Tokens of places, a spatial and a temporal one; layers; a classifier.

    Each frame gets a spatial token, the clip a temporal frame of tokens; the
    token that is both is classified.

    Args:
        in_channels: C of the features.
        num_segments: T, frames of a clip.
        places: Height and width of the features.
        depth: Layers.
        heads: Of 64 channels each.
        dropout_ratio: Behind each projection.
        positions_std: Standard deviation of the positions at the start. 1 is
            that of the authors' group; less is ours, for random weights.
        loss_cls: Config of the classification loss, cross-entropy by default.
        label_smooth_eps: Label smoothing, in [0, 1).
        init_cfg: MMEngine's initialisation config.

    Raises:
        SettingError: The features have other frames or places.
    """

    def __init__(
        self,
        in_channels: int = 728,
        num_segments: int = 6,
        places: tuple[int, int] = (19, 19),
        depth: int = 12,
        heads: int = 8,
        dropout_ratio: float = 0.0,
        positions_std: float = 1.0,
        loss_cls: dict | None = None,
        label_smooth_eps: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, loss_cls, label_smooth_eps, init_cfg)
        self.volume = (num_segments, *places)
        tokens = 1 + places[0] * places[1]
        self.positions = nn.Parameter(
            positions_std * torch.randn(num_segments, tokens, in_channels)
        )
        self.spatial_token = nn.Parameter(torch.randn(in_channels))
        self.temporal_token = nn.Parameter(torch.randn(in_channels))
        self.layers = nn.Sequential(
            *(
                DecomposedLayer(
                    in_channels, heads, 4 * in_channels, dropout_ratio
                )
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(in_channels)
        self.fc_cls = nn.Sequential(
            nn.LayerNorm(in_channels), nn.Linear(in_channels, NUM_CLASSES)
        )

    def tokens(self, feats: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` -> ``(N, 1 + T, 1 + H*W, C)``."""
        if feats.shape[2:] != self.volume:
            frames, *places = feats.shape[2:]
            raise SettingError(
                f'model.cls_head.num_segments={self.volume[0]}, '
                f'places={self.volume[1:]}: the features have {frames} '
                f'frames of {tuple(places)}. Remedy: make them equal; a '
                "clip's frames are dataset.clip_len of each loader"
            )
        x = feats.flatten(3).permute(0, 2, 3, 1)
        token = self.spatial_token.expand(*x.shape[:2], 1, -1)
        x = torch.cat([token, x], dim=2) + self.positions
        token = self.temporal_token.expand(len(x), 1, x.shape[2], -1)
        return torch.cat([token, x], dim=1)

    def forward(self, feats: Tensor, **_: object) -> Tensor:
        """Logits: ``(N, C, T, H, W)`` -> ``(N, 2)``, float32."""
        x = self.layers(self.tokens(feats))
        return self.fc_cls(self.norm(x[:, 0, 0])).float()
