"""Xception, with motion blocks as depth-wise convolutions (Sec. 2, 3.3).

Shapes: the input is ``(N, C, T, H, W)``, or images ``(M, C, H, W)``. Inside,
frames are folded into the batch, ``(N*T, C, H, W)``, channels-last.
"""

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

from .motion import CSTM, MotionBlock


class SeparableConv2d(nn.Module):
    """Depth-wise ``conv1``, then ``pointwise``.

    Paper: silent on normalisation between a motion block and ``pointwise``.
    We put none there, as in Xception.

    Args:
        in_channels: Channels of the input and of the depth-wise step.
        out_channels: Channels of the output.
        motion_block: Config of the block that replaces the depth-wise 3x3
            convolution, or None.
    """

    def __init__(
        self, in_channels: int, out_channels: int, motion_block: dict | None
    ) -> None:
        super().__init__()
        if motion_block is None:
            self.conv1 = nn.Conv2d(
                in_channels,
                in_channels,
                3,
                padding=1,
                groups=in_channels,
                bias=False,
            )
        else:
            self.conv1 = MODELS.build(dict(motion_block, channels=in_channels))
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self._register_load_state_dict_pre_hook(self._unsqueeze_pointwise)

    @staticmethod
    def _unsqueeze_pointwise(
        state_dict: dict, prefix: str, *_: object
    ) -> None:
        # xception-b5690688.pth keeps point-wise weights as matrices.
        key = prefix + 'pointwise.weight'
        if key in state_dict and state_dict[key].dim() == 2:
            state_dict[key] = state_dict[key][:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class Block(nn.Module):
    """Residual block of separable convolutions, each ReLU -> conv -> BN.

    Args:
        widths: Channels before, between and after the convolutions.
        stride: 2 adds a max pooling and a strided 1x1 skip, 1 the identity.
        motion_block: See :class:`SeparableConv2d`; a tuple has one for each
            convolution.
        leading_relu: False leaves out the first ReLU (block1).
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        stride: int,
        motion_block: dict | tuple[dict | None, ...] | None,
        leading_relu: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(motion_block, tuple):
            motion_block = (motion_block,) * (len(widths) - 1)
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(widths, widths[1:])):
            # Not in place: the skip connection needs the same tensor.
            layers += [
                nn.ReLU(inplace=i > 0),
                SeparableConv2d(before, after, motion_block[i]),
                nn.BatchNorm2d(after),
            ]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        self.rep = nn.Sequential(*layers[0 if leading_relu else 1 :])
        self.out_channels = widths[-1]
        self.skip = None
        if stride > 1 or widths[0] != widths[-1]:
            self.skip = nn.Conv2d(
                widths[0], widths[-1], 1, stride=stride, bias=False
            )
            self.skipbn = nn.BatchNorm2d(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.skip is None else self.skipbn(self.skip(x))
        return self.rep(x) + skip


def sites(stage: str) -> list[str]:
    """The separable convolutions of a stage: ``block1.0``, ``block1.1``."""
    ends = {'block1': 2, 'block2': 2, 'block3': 2, 'block12': 2}
    number = ends.get(stage, 3 if stage.startswith('block') else 1)
    return [f'{stage}.{index}' for index in range(number)]


@MODELS.register_module()
class Xception(BaseModule):
    """Xception (1610.02357) in the form that face forgery detection uses.

    Modules have the names of the public ImageNet checkpoints
    (``xception-b5690688.pth``, ``xception-43020ad28.pth``), so that
    ``init_cfg=dict(type='Pretrained', checkpoint=FILE_OR_URL)`` loads them.
    In a motion block the depth-wise weights load into CSTM's spatial
    convolution; temporal and motion weights keep their initial values.

    Paper: "we replace the depth-wise convolution of Xception backbone", which
    we read as all 34 of them; ``motion_stages`` restricts it. AD is added
    "into the 5th block", which we read as the output of ``block5``; counting
    as Keras does, or the stem too, would mean ``block4``, of the same shape.
    The paper does not say whether the backbone starts from ImageNet. Here it
    starts from random weights unless ``init_cfg`` names a checkpoint, so
    that nothing is downloaded without being asked for.

    Args:
        motion_block: Config of the block that replaces the depth-wise
            convolutions, such as ``dict(type='MCB')``; None gives the plain,
            frame-wise Xception.
        num_segments: T, the frames of a clip, which motion blocks must know.
        motion_stages: Names of the stages (``'block1'`` ... ``'block12'``,
            ``'conv3'``, ``'conv4'``) with motion blocks; None means all.
            ``'block1.0'`` is the first convolution of block1 alone.
        tap: Stage whose output F_out feeds the AD head; the AD head's
            ``in_channels`` must be those of the stage. None for one of the
            host's heads, which read only the last features.
        width: Factor on all channels, above 0; 1 is the published network.
            The heads' ``in_channels`` must follow it.
        middle_blocks: Number of middle blocks, 0 to 8, 8 in the published
            network.
        norm_eval: Keep batch normalisation in evaluation mode in training.
        frozen_stages: As in the host's backbones: -1 trains all, 0 freezes
            the two plain convolutions, k the first k stages as well.
        in_channels: Channels of the input. For 3 * k channels the first
            kernel of the public checkpoints, which has three, is repeated k
            times and divided by k.
        stem_stride: Stride of the first convolution, 2 in the published
            network.
        init_cfg: MMEngine's initialisation config.

    Returns:
        F_out and the last features, ``(N, T, C, H, W)`` each: at 224 x 224,
        C is 728 at 14 x 14 and 2048 at 7 x 7. With ``tap=None`` only the
        last features, in the layout of the host's backbones,
        ``(N, C, T, H, W)``. For images, as the host's ``Recognizer2D`` passes
        them, only the last features, ``(M, C, H, W)``.

    Raises:
        SettingError: If a stage does not exist, if there are more than 8
            middle blocks, or if a clip that does not have ``num_segments``
            frames reaches a motion block.
    """

    def __init__(
        self,
        motion_block: dict | None = None,
        num_segments: int = 8,
        motion_stages: tuple[str, ...] | None = None,
        tap: str | None = 'block5',
        width: float = 1.0,
        middle_blocks: int = 8,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        in_channels: int = 3,
        stem_stride: int = 2,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_segments = num_segments
        self.motion_block = motion_block
        self.norm_eval = norm_eval
        self.tap = tap
        if not 0 <= middle_blocks <= 8:
            raise SettingError(f'middle_blocks={middle_blocks}: use 0 to 8')
        if not width > 0:
            raise SettingError(f'width={width}: use a number above 0')
        middle = [f'block{i + 4}' for i in range(middle_blocks)]
        self.stages = [
            *('block1', 'block2', 'block3'),
            *middle,
            *('block12', 'conv3', 'conv4'),
        ]
        self.check_stages(tap, motion_stages, frozen_stages)
        self.frozen_stages = frozen_stages

        def motion(stage: str) -> tuple[dict | None, ...]:
            if motion_block is None:
                return (None,) * len(sites(stage))
            block = dict(motion_block, num_segments=num_segments)
            chosen = self.stages if motion_stages is None else motion_stages
            return tuple(
                block if {stage, site} & {*chosen} else None
                for site in sites(stage)
            )

        def wide(channels: int) -> int:
            return max(1, round(channels * width))

        c32, c64, c128, c256, c728, c1024, c1536, c2048 = map(
            wide, (32, 64, 128, 256, 728, 1024, 1536, 2048)
        )
        self.conv1 = nn.Conv2d(
            in_channels, c32, 3, stride=stem_stride, bias=False
        )
        self.bn1 = nn.BatchNorm2d(c32)
        self.conv2 = nn.Conv2d(c32, c64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(c64)
        self.relu = nn.ReLU(inplace=True)
        self.block1 = Block(
            (c64, c128, c128), 2, motion('block1'), leading_relu=False
        )
        self.block2 = Block((c128, c256, c256), 2, motion('block2'))
        self.block3 = Block((c256, c728, c728), 2, motion('block3'))
        for name in middle:
            setattr(self, name, Block((c728,) * 4, 1, motion(name)))
        self.block12 = Block((c728, c728, c1024), 2, motion('block12'))
        self.conv3 = SeparableConv2d(c1024, c1536, motion('conv3')[0])
        self.bn3 = nn.BatchNorm2d(c1536)
        self.conv4 = SeparableConv2d(c1536, c2048, motion('conv4')[0])
        self.bn4 = nn.BatchNorm2d(c2048)
        # Features take the layout of the weights: frames stay contiguous.
        self.layout = torch.channels_last
        self.to(memory_format=self.layout)
        self._register_load_state_dict_pre_hook(self._repeat_conv1)
        for module in self.frozen():
            module.requires_grad_(False)

    def check_stages(
        self,
        tap: str | None,
        motion_stages: tuple[str, ...] | None,
        frozen_stages: int,
    ) -> None:
        """Refuse names that are not stages, and a wrong number of stages."""
        places = [site for stage in self.stages for site in sites(stage)]
        for name in (tap or 'conv4', *(motion_stages or ())):
            if name not in self.stages and (name == tap or name not in places):
                raise SettingError(f'no stage {name!r}: use {self.stages}')
        if frozen_stages not in range(-1, len(self.stages) + 1):
            raise SettingError(
                f'model.backbone.frozen_stages={frozen_stages!r}: use -1 for '
                f'none, 0 for the stem or up to {len(self.stages)} stages'
            )

    def _repeat_conv1(self, state_dict: dict, prefix: str, *_: object) -> None:
        key = prefix + 'conv1.weight'
        times, rest = divmod(self.conv1.in_channels, 3)
        shape = list(state_dict[key].shape) if key in state_dict else []
        if len(shape) == 4 and shape[1] == 3 and not rest:
            state_dict[key] = state_dict[key].repeat(1, times, 1, 1) / times

    def frozen(self) -> list[nn.Module]:
        """The modules that ``frozen_stages`` freezes."""
        if self.frozen_stages < 0:
            return []
        names = ['conv1', 'bn1', 'conv2', 'bn2']
        for name in self.stages[: self.frozen_stages]:
            names += [name, name.replace('conv', 'bn')]
        return [getattr(self, name) for name in dict.fromkeys(names)]

    def train(self, mode: bool = True) -> 'Xception':
        """Set the mode; ``norm_eval`` keeps batch norms in evaluation.

        Frozen stages stay in evaluation mode too.
        """
        super().train(mode)
        for module in self.frozen():
            module.eval()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def fold(self, x: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` -> ``(N*T, C, H, W)`` in ``layout``."""
        if x.dim() == 5:
            x = x.transpose(1, 2).flatten(0, 1)
        return x.contiguous(memory_format=self.layout)

    def check_length(self, x: Tensor) -> None:
        """Refuse clips of another length than the motion blocks have."""
        frames = x.shape[2] if x.dim() == 5 else 1
        if self.motion_block is not None and frames != self.num_segments:
            raise SettingError(
                f'model.backbone.num_segments={self.num_segments}: the motion '
                f'blocks got clips of {frames} frames. Remedy: make both '
                "equal; a clip's frames are dataset.clip_len of each loader"
            )

    def stem(self, x: Tensor) -> Tensor:
        """The two plain convolutions: ``(N*T, 64, H/2 - 3, W/2 - 3)``."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))

    def added_names(self) -> frozenset[str]:
        """Names of the tensors that motion blocks add to the network."""
        return frozenset(
            f'{place}.{name}'
            for place, block in self.named_modules()
            if isinstance(block, (CSTM, MotionBlock))
            for name in block.state_dict()
            if not name.endswith('spatial.weight')
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...] | Tensor:
        """F_out and the last features, or the last alone; see the class."""
        self.check_length(x)
        num_frames = x.shape[2] if x.dim() == 5 else None
        x = self.stem(self.fold(x))
        f_out = x
        for name in self.stages:
            x = self.run_stage(name, x)
            if name == self.tap:
                f_out = x
        if num_frames is None:
            return x
        if self.tap is None:
            x = x.unflatten(0, (-1, num_frames))
            return x.transpose(1, 2).contiguous()
        return tuple(f.unflatten(0, (-1, num_frames)) for f in (f_out, x))

    def run_stage(self, name: str, x: Tensor) -> Tensor:
        """One of ``stages``; ``conv3`` and ``conv4`` with BN and ReLU."""
        x = getattr(self, name)(x)
        if name in ('conv3', 'conv4'):
            norm = getattr(self, f'bn{name[-1]}')
            x = self.relu(norm(x))
        return x
