"""DenseNet (1608.06993), with the names of torchvision's checkpoints.

Shapes: images, ``(M, C, H, W)``; for clips, M = N*T with the frame index
fastest, as MMAction2's ``Recognizer2D`` folds them.
"""

from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F


class DenseLayer(nn.Module):
    """BN, ReLU, 1x1, then BN, ReLU, 3x3: the new channels of a dense block.

    Args:
        in_channels: Channels of the input.
        growth_rate: Channels of the output.
    """

    BOTTLENECK = 4  # channels between the convolutions, in growth rates

    def __init__(self, in_channels: int, growth_rate: int) -> None:
        super().__init__()
        hidden = self.BOTTLENECK * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, growth_rate, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self._register_load_state_dict_pre_hook(self._remove_dots)

    @staticmethod
    def _remove_dots(state_dict: dict, prefix: str, *_: Any) -> None:
        # densenet121-a639ec97.pth writes 'norm.1', later files 'norm1'.
        for name in ('norm.1', 'conv.1', 'norm.2', 'conv.2'):
            dotted = f'{prefix}{name}.'
            for key in [k for k in state_dict if k.startswith(dotted)]:
                plain = prefix + name.replace('.', '') + '.'
                value = state_dict.pop(key)
                state_dict[plain + key[len(dotted) :]] = value

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.relu(self.norm1(x)))
        return self.conv2(self.relu(self.norm2(x)))


class DenseBlock(nn.Sequential):
    """Dense layers, each of which reads the outputs of all before it.

    Args:
        num_layers: Number of layers.
        in_channels: Channels of the input; the output has ``num_layers *
            growth_rate`` more.
        growth_rate: Channels that a layer adds.
    """

    def __init__(
        self, num_layers: int, in_channels: int, growth_rate: int
    ) -> None:
        super().__init__()
        for i in range(num_layers):
            layer = DenseLayer(in_channels + i * growth_rate, growth_rate)
            self.add_module(f'denselayer{i + 1}', layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Transition(nn.Sequential):
    """BN, ReLU, 1x1, then an average pooling that halves the size.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.pool = nn.AvgPool2d(2)


@MODELS.register_module()
class DenseNet(BaseModule):
    """DenseNet-BC; DenseNet-121 by default, without its classifier.

    Modules bear the names of torchvision's ImageNet checkpoints
    (``densenet121-a639ec97.pth``), so that
    ``init_cfg=dict(type='Pretrained', checkpoint=FILE_OR_URL)`` loads them.
    Without it, convolutions start from He et al.'s initialisation.

    Args:
        growth_rate: Channels that a dense layer adds.
        block_config: Number of layers of each dense block.
        init_channels: Channels of the stem.
        init_cfg: MMEngine's initialisation config.

    Returns:
        The last features, ``(M, C, H/32, W/32)``, after BN and ReLU; C is the
        last of ``block_channels``, 1024 for DenseNet-121.
    """

    STEM_LENGTH = 4  # convolution, BN, ReLU and pooling: a quarter of the size

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: tuple[int, ...] = (6, 12, 24, 16),
        init_channels: int = 64,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        channels = init_channels
        self.block_channels: list[int] = []  # after each dense block
        self.features = nn.Sequential()
        add = self.features.add_module
        add('conv0', nn.Conv2d(3, channels, 7, 2, padding=3, bias=False))
        add('norm0', nn.BatchNorm2d(channels))
        add('relu0', nn.ReLU(inplace=True))
        add('pool0', nn.MaxPool2d(3, 2, padding=1))
        for i, num_layers in enumerate(block_config, start=1):
            if i > 1:
                add(f'transition{i - 1}', Transition(channels, channels // 2))
                channels //= 2
            block = DenseBlock(num_layers, channels, growth_rate)
            add(f'denseblock{i}', block)
            channels += num_layers * growth_rate
            self.block_channels.append(channels)
        add(f'norm{len(block_config) + 1}', nn.BatchNorm2d(channels))
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.features(x))
