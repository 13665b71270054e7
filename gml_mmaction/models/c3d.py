"""C3D (1412.0767) for clips of eight frames and any size of face.

Shapes: ``(N, 3, T, H, W)``.
"""

from mmaction.models.backbones import C3D
from mmaction.registry import MODELS
from mmcv.cnn import ConvModule
from torch import nn

CHANNELS = dict(
    conv1a=64,
    conv2a=128,
    conv3a=256,
    conv3b=256,
    conv4a=512,
    conv4b=512,
    conv5a=512,
    conv5b=512,
)
HIDDEN = 4096  # of both fully connected layers
POOLED = (1, 4, 4)  # what is left of 16 frames of 112 x 112


@MODELS.register_module()
class AdaptiveC3D(C3D):
    """The host's C3D with a last pooling that always leaves ``POOLED``.

    C3D reads 16 frames of 112 x 112; of 8 frames the host's last pooling
    leaves none. Here it takes what time there is, and a second, adaptive one
    follows, which changes nothing at 16 x 112 x 112: there the network is the
    host's, and at all sizes its Sports-1M weights load.

    Args:
        width: Factor on all channels and hidden units, above 0; 1 is the
            published network. The head's ``in_channels`` must follow it.
        **kwargs: Those of the host's ``C3D``, save ``out_dim``.

    Returns:
        ``(N, 4096)``, for at least 8 frames of 16 x 16.
    """

    def __init__(self, width: float = 1.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.pool5 = nn.Sequential(
            nn.MaxPool3d(2, 2, padding=(0, 1, 1), ceil_mode=True),
            nn.AdaptiveMaxPool3d(POOLED),
        )
        if width != 1:
            self.rebuild(width)

    def rebuild(self, width: float) -> None:
        """Put narrower layers in the place of the host's."""
        before = 3
        for name, channels in CHANNELS.items():
            after = max(1, round(channels * width))
            conv = ConvModule(
                before,
                after,
                3,
                padding=1,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
                act_cfg=self.act_cfg,
            )
            setattr(self, name, conv)
            before = after
        hidden = max(1, round(HIDDEN * width))
        self.fc6 = nn.Linear(before * 16, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
