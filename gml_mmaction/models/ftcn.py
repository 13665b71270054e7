"""FTCN-TT (2108.06693): a network that sees each place through time alone.

Convolutions without spatial extent, then a transformer over time steps.
Settings are those of the authors' inference code (yinglinzheng/FTCN, 853256a,
``setting/ftcn_tt.yaml``), which does not train; its augmentations are named
there, but not public. Shapes: N clips, ``(N, C, T, H, W)``.
"""

import torch
from mmaction.models.backbones import ResNet3d
from mmaction.registry import MODELS
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

from .attention import TransformerLayer
from .forgery_head import NUM_CLASSES, ForgeryHead


@MODELS.register_module()
class FTCN(ResNet3d):
    """The host's inflated ResNet with spatial kernels of 1.

    A spatial stride of 2 becomes 1, followed by a max pooling of 2x2. The
    published code pools in front of the ReLU; behind it the result is the
    same, since both keep the order of values.

    Args:
        **kwargs: Those of the host's ``ResNet3d``. FTCN is I3D with 50
            layers without its last stage (``num_stages=3``).

    Returns:
        ``(N, 1024, T / 2, H / 16, W / 16)`` with 50 layers.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        for module in self.modules():
            if isinstance(module, ConvModule):
                keep_time_alone(module)


def keep_time_alone(module: ConvModule) -> None:
    """Give a convolution a spatial kernel of 1, and pool where it strides."""
    conv = module.conv
    if conv.stride[1] == 2:
        pool = nn.MaxPool3d((1, 2, 2))
        act = [module.activate] if module.with_activation else []
        module.activate = nn.Sequential(*act, pool)
        module.with_activation = True
    module.conv = nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        (conv.kernel_size[0], 1, 1),
        stride=(conv.stride[0], 1, 1),
        padding=(conv.padding[0], 0, 0),
        bias=conv.bias is not None,
    )


@MODELS.register_module()
class TimeTransformerHead(ForgeryHead):
    """A transformer over time steps, whose class token is classified.

    Features are averaged over space; a time step is a token. The authors end
    in one logit and a sigmoid; two logits and a softmax, as every head here
    has, are the same function of their difference.

    Args:
        in_channels: C of the features.
        num_tokens: Time steps of the longest clip, half its frames; shorter
            clips take the first positions.
        depth: Layers.
        heads: Of 64 channels each.
        hidden: Units of the feed-forward.
        dropout_ratio: In the layers and of the embedding.
        loss_cls: Config of the classification loss, cross-entropy by default.
        label_smooth_eps: Label smoothing, in [0, 1).
        init_cfg: MMEngine's initialisation config.

    Raises:
        SettingError: A clip has more time steps than ``num_tokens``.
    """

    def __init__(
        self,
        in_channels: int,
        num_tokens: int = 16,
        depth: int = 1,
        heads: int = 16,
        hidden: int = 2048,
        dropout_ratio: float = 0.1,
        loss_cls: dict | None = None,
        label_smooth_eps: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, loss_cls, label_smooth_eps, init_cfg)
        self.num_tokens = num_tokens
        self.positions = nn.Parameter(torch.randn(num_tokens + 1, in_channels))
        self.cls_token = nn.Parameter(torch.randn(1, 1, in_channels))
        self.dropout = nn.Dropout(dropout_ratio)
        self.layers = nn.Sequential(
            *(
                TransformerLayer(in_channels, heads, hidden, dropout_ratio)
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(in_channels)
        self.fc_cls = nn.Linear(in_channels, NUM_CLASSES)

    def forward(self, feats: Tensor, **_: object) -> Tensor:
        """Logits: ``(N, C, T, H, W)`` -> ``(N, 2)``, float32."""
        steps = feats.mean(dim=(3, 4)).transpose(1, 2)  # (N, T, C)
        if steps.shape[1] > self.num_tokens:
            raise SettingError(
                f'model.cls_head.num_tokens={self.num_tokens}: a clip has '
                f'{steps.shape[1]} time steps. Remedy: make both equal; a '
                "clip's frames are dataset.clip_len of each loader"
            )
        token = self.cls_token.expand(len(steps), -1, -1)
        x = torch.cat([token, steps], dim=1)
        x = self.dropout(x + self.positions[: x.shape[1]])
        return self.fc_cls(self.norm(self.layers(x)[:, 0])).float()
