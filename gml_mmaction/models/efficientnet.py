"""EfficientNet (1905.11946), under the B4 baseline and Multi-attentional.

Shapes: images, ``(M, 3, H, W)``, M of them: the frames of all clips, as the
host's ``Recognizer2D`` folds them.
"""

import math

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from gml_mmaction.errors import SettingError

# Factors on the channels and on the depth of B0.
ARCHS = dict(
    b0=(1.0, 1.0),
    b1=(1.0, 1.1),
    b2=(1.1, 1.2),
    b3=(1.2, 1.4),
    b4=(1.4, 1.8),
    b5=(1.6, 2.2),
    b6=(1.8, 2.6),
    b7=(2.0, 3.1),
)

# Stages 1 to 7 of B0: blocks, kernel, stride, expansion, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's padding 'SAME': output = input / stride.

    The padding follows each input's size; where it is odd, the extra row or
    column is below or to the right. Every public weight of the network was
    trained so, at whatever size.
    """

    def missing(self, size: int, axis: int) -> int:
        """Rows (axis 0) or columns (axis 1) to be added to ``size``."""
        stride = self.stride[axis]
        covered = (math.ceil(size / stride) - 1) * stride
        return max(covered + self.kernel_size[axis] - size, 0)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (self.missing(x.shape[2 + i], i) for i in (0, 1))
        padding = (rows // 2, columns // 2)
        if rows % 2 or columns % 2:
            top, left = padding
            x = F.pad(x, (left, columns - left, top, rows - top))
            padding = (0, 0)
        return F.conv2d(
            x, self.weight, self.bias, self.stride, padding, 1, self.groups
        )


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """With the epsilon of the public code, a hundred times PyTorch's."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class MBConv(nn.Module):
    """Inverted bottleneck with squeeze-and-excitation and stochastic depth.

    Args:
        in_channels: Channels of the input; a quarter of them is the width of
            the squeeze.
        out_channels: Channels of the output.
        kernel_size: Of the depth-wise convolution.
        stride: Of the depth-wise convolution.
        expand_ratio: Factor on the channels before it; 1 leaves the
            expansion out.
        drop_rate: Chance, in training, that an image takes the identity
            alone; no effect without an identity.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expand_ratio: int,
        drop_rate: float,
    ) -> None:
        super().__init__()
        wide = in_channels * expand_ratio
        squeezed = max(1, in_channels // 4)
        self.has_identity = stride == 1 and in_channels == out_channels
        self.drop_rate = drop_rate
        self._expand_conv = None
        if expand_ratio > 1:
            self._expand_conv = SameConv2d(in_channels, wide, 1, bias=False)
            self._bn0 = batch_norm(wide)
        self._depthwise_conv = SameConv2d(
            wide, wide, kernel_size, stride, groups=wide, bias=False
        )
        self._bn1 = batch_norm(wide)
        self._se_reduce = SameConv2d(wide, squeezed, 1)
        self._se_expand = SameConv2d(squeezed, wide, 1)
        self._project_conv = SameConv2d(wide, out_channels, 1, bias=False)
        self._bn2 = batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        if self._expand_conv is not None:
            x = F.silu(self._bn0(self._expand_conv(x)))
        x = F.silu(self._bn1(self._depthwise_conv(x)))
        x = x * self.excitation(x)
        x = self._bn2(self._project_conv(x))
        return identity + self.drop(x) if self.has_identity else x

    def excitation(self, x: Tensor) -> Tensor:
        """A factor from 0 to 1 for each channel of each image."""
        squeezed = self._se_reduce(x.mean(dim=(2, 3), keepdim=True))
        return self._se_expand(F.silu(squeezed)).sigmoid()

    def drop(self, x: Tensor) -> Tensor:
        """In training, zero a random share of the images, keep the mean."""
        if not self.training or self.drop_rate == 0:
            return x
        keep = 1 - self.drop_rate
        kept = x.new_empty(len(x), 1, 1, 1).bernoulli_(keep)
        return x * (kept / keep)


@MODELS.register_module()
class EfficientNet(BaseModule):
    """EfficientNet without its classifier.

    Modules bear the names of the public PyTorch checkpoints of ImageNet
    (``efficientnet-b4-6ed6700e.pth``), so that
    ``init_cfg=dict(type='Pretrained', checkpoint=FILE_OR_URL)`` loads them;
    their classifier, ``_fc``, is left aside. Nothing is downloaded unasked.

    EfficientNet's paper was not at hand: the table of stages, the factors,
    the rounding, the constants of batch norms, the squeezed widths (a quarter
    of the block's input) and stochastic depth (0.2 for every size, growing
    linearly with the block's index from 0) are those of its public code as
    PyPI's ``efficientnet_pytorch`` ports it, with which the outputs agree.

    Args:
        arch: ``'b0'`` to ``'b7'``, or the factors on B0's channels and depth,
            such as ``(0.5, 0.5)``: channels are rounded to multiples of 8,
            at least 8, numbers of blocks up. Heads must follow.
        taps: Numbers, 1 to 7, of the stages whose outputs are wanted too.
        drop_connect_rate: Chance that an image skips a block in training, 0
            to 1: of the block after the last; it grows with the index.
        norm_momentum: A batch's share in the running statistics; the public
            code's 0.01 takes some 500 iterations to forget the initial ones.
        init_cfg: MMEngine's initialisation config.

    Returns:
        The last features, ``(M, C, H / 32, W / 32)``, or, with ``taps``, a
        tuple of the tapped stages' outputs, first stage first, then the last
        features. B4 has 1792 channels in the end; its stages have 24, 32,
        56, 112, 160, 272, 448 at H / 2, 4, 8, 16, 16, 32, 32. Sizes are
        rounded up.

    Raises:
        SettingError: Unknown architecture or stage.
    """

    def __init__(
        self,
        arch: str | tuple[float, float] = 'b4',
        taps: tuple[int, ...] = (),
        drop_connect_rate: float = 0.2,
        norm_momentum: float = 0.01,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if isinstance(arch, str) and arch not in ARCHS:
            raise SettingError(f'no arch {arch!r}: use one of {list(ARCHS)}')
        for stage in taps:
            if not 1 <= stage <= len(STAGES):
                raise SettingError(f'no stage {stage}: use 1 to {len(STAGES)}')
        width, depth = ARCHS[arch] if isinstance(arch, str) else arch
        channels = round_channels(32 * width)
        self._conv_stem = SameConv2d(3, channels, 3, stride=2, bias=False)
        self._bn0 = batch_norm(channels)
        blocks, ends = expand_stages(width, depth)
        self._blocks = nn.ModuleList(
            MBConv(*block, drop_rate=drop_connect_rate * i / len(blocks))
            for i, block in enumerate(blocks)
        )
        self.tapped_blocks = {ends[stage - 1] for stage in taps}
        channels, last = blocks[-1][1], round_channels(1280 * width)
        self._conv_head = SameConv2d(channels, last, 1, bias=False)
        self._bn1 = batch_norm(last)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = norm_momentum
        # Features take the layout of the weights too: images stay rows.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.silu(self._bn0(self._conv_stem(x)))
        tapped = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.tapped_blocks:
                tapped.append(x)
        x = F.silu(self._bn1(self._conv_head(x)))
        return (*tapped, x) if tapped else x


def round_channels(channels: float) -> int:
    """The nearest multiple of 8, not under 8 nor under 90% of ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def expand_stages(
    width: float, depth: float
) -> tuple[list[tuple[int, int, int, int, int]], list[int]]:
    """All blocks of the seven stages, scaled.

    Returns:
        :class:`MBConv`'s arguments for each block, ``drop_rate`` excepted,
        and the index of each stage's last block.
    """
    blocks, ends = [], []
    before = round_channels(32 * width)
    for count, kernel, stride, expand, after in STAGES:
        after = round_channels(after * width)
        for _ in range(math.ceil(count * depth)):
            blocks.append((before, after, kernel, stride, expand))
            before, stride = after, 1
        ends.append(len(blocks) - 1)
    return blocks, ends
