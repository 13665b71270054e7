"""I3D (1705.07750) with its own backbone, the inflated Inception-v1.

MMAction2 has I3D as an inflated ResNet only. Shapes: ``(N, C, T, H, W)``.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import Sequential
from torch import Tensor, nn

Size = tuple[int, int, int]
Branches = tuple[int, tuple[int, int], tuple[int, int], int]

# Channels of a mixed layer's four branches: 1x1x1; 1x1x1 and 3x3x3, twice;
# 1x1x1 behind the pooling.
MIXED: dict[str, Branches] = {
    'Mixed_3b': (64, (96, 128), (16, 32), 32),
    'Mixed_3c': (128, (128, 192), (32, 96), 64),
    'Mixed_4b': (192, (96, 208), (16, 48), 64),
    'Mixed_4c': (160, (112, 224), (24, 64), 64),
    'Mixed_4d': (128, (128, 256), (24, 64), 64),
    'Mixed_4e': (112, (144, 288), (32, 64), 64),
    'Mixed_4f': (256, (160, 320), (32, 128), 128),
    'Mixed_5b': (256, (160, 320), (32, 128), 128),
    'Mixed_5c': (384, (192, 384), (48, 128), 128),
}


def pad_same(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """Zeros around ``(..., T, H, W)``, as TensorFlow's SAME has them.

    The output of the convolution or pooling that follows is the input's size
    over the stride, rounded up; of an odd number of zeros the larger part
    comes last.
    """
    pads: list[int] = []
    for size, k, s in zip(x.shape[-3:], kernel, stride):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads = [total // 2, total - total // 2, *pads]  # the last axis first
    return F.pad(x, pads) if any(pads) else x


class Unit3D(nn.Module):
    """Convolution with SAME padding, batch normalisation, ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Along every axis.
        stride: Along every axis.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(
            in_channels, out_channels, kernel, stride, bias=False
        )
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        x = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(x)), inplace=True)


class MaxPool3dSame(nn.MaxPool3d):
    """Max pooling with SAME padding, of features that are not negative."""

    kernel_size: Size
    stride: Size

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad_same(x, self.kernel_size, self.stride))


class Mixed(nn.Module):
    """Inception's mixed layer: four branches, concatenated.

    Args:
        in_channels: Channels of the input.
        channels: Those of the branches, as in ``MIXED``.
    """

    def __init__(self, in_channels: int, channels: Branches) -> None:
        super().__init__()
        c0, (c1a, c1b), (c2a, c2b), c3 = channels
        self.b0 = Unit3D(in_channels, c0)
        self.b1a = Unit3D(in_channels, c1a)
        self.b1b = Unit3D(c1a, c1b, 3)
        self.b2a = Unit3D(in_channels, c2a)
        self.b2b = Unit3D(c2a, c2b, 3)
        self.b3a = MaxPool3dSame((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3D(in_channels, c3)
        self.out_channels = c0 + c1b + c2b + c3

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.b0(x),
            self.b1b(self.b1a(x)),
            self.b2b(self.b2a(x)),
            self.b3b(self.b3a(x)),
        )
        return torch.cat(branches, dim=1)


@MODELS.register_module()
class InceptionI3D(Sequential):
    """Inflated Inception-v1 up to its last mixed layer.

    Modules bear the names of the public PyTorch port of DeepMind's weights,
    so that ``init_cfg=dict(type='Pretrained', checkpoint=FILE_OR_URL)`` loads
    ``rgb_imagenet.pt`` (ImageNet, then Kinetics), which reads [-1, 1]. Its
    classifier, whose average pooling needs more than 8 frames, is left out:
    the host's ``I3DHead`` averages whatever time and space are left. The
    batch normalisation's epsilon and momentum are the port's.

    Args:
        width: Factor on all channels, above 0; 1 is the published network.
            The head's ``in_channels`` must follow it.
        init_cfg: MMEngine's initialisation config.

    Returns:
        ``(N, 1024, T/8, H/32, W/32)``, each size rounded up.
    """

    def __init__(
        self, width: float = 1.0, init_cfg: dict | None = None
    ) -> None:
        def wide(channels: int) -> int:
            return max(1, round(channels * width))

        c64, c192 = wide(64), wide(192)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            Conv3d_1a_7x7=Unit3D(3, c64, 7, stride=2),
            MaxPool3d_2a_3x3=MaxPool3dSame((1, 3, 3), (1, 2, 2)),
            Conv3d_2b_1x1=Unit3D(c64, c64),
            Conv3d_2c_3x3=Unit3D(c64, c192, 3),
            MaxPool3d_3a_3x3=MaxPool3dSame((1, 3, 3), (1, 2, 2)),
        )
        channels = c192
        for name, branches in MIXED.items():
            if name == 'Mixed_4b':
                layers['MaxPool3d_4a_3x3'] = MaxPool3dSame((3,) * 3, (2,) * 3)
            elif name == 'Mixed_5b':
                layers['MaxPool3d_5a_2x2'] = MaxPool3dSame((2,) * 3, (2,) * 3)
            c0, (c1a, c1b), (c2a, c2b), c3 = branches
            pairs = (wide(c1a), wide(c1b)), (wide(c2a), wide(c2b))
            mixed = Mixed(channels, (wide(c0), *pairs, wide(c3)))
            layers[name] = mixed
            channels = mixed.out_channels
        super().__init__(layers, init_cfg=init_cfg)
