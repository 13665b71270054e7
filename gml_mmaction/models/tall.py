"""TALL (2307.07494): a clip as one picture of thumbnails, for Swin.

Settings are those of the authors' public training
(rainy-xu/TALL4Deepfake, 96d28d1). Shapes: N clips, ``(N, C, T, H, W)``.
"""

import torch
from mmaction.models.backbones import SwinTransformer3D
from mmaction.models.backbones.swin import (
    BasicLayer,
    PatchEmbed3D,
    WindowAttention3D,
)
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from gml_mmaction.errors import SettingError


def lay_out(clips: Tensor, rows: int) -> Tensor:
    """Frames side by side, row by row, as one picture.

    Args:
        clips: ``(N, C, T, H, W)``.
        rows: Of the picture; T is a multiple of it.

    Returns:
        ``(N, C, rows * H, T / rows * W)``.
    """
    grid = clips.unflatten(2, (rows, -1))  # (N, C, rows, columns, H, W)
    return grid.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def take_apart(pictures: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of :func:`lay_out`: ``(N, C, rows * columns, H, W)``."""
    grid = pictures.unflatten(3, (columns, -1)).unflatten(2, (rows, -1))
    return grid.transpose(3, 4).flatten(2, 3)


class FrameEmbed(PatchEmbed3D):
    """The host's patches, with a position of their frame added to each.

    Args:
        grid: Rows and columns of frames.
        **kwargs: Those of the host's ``PatchEmbed3D``.
    """

    def __init__(self, grid: tuple[int, int], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.grid = grid
        frames = grid[0] * grid[1]
        self.frame_positions = nn.Parameter(
            torch.empty(frames, self.embed_dims)
        )
        nn.init.trunc_normal_(self.frame_positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, 1, H, W)`` -> ``(N, C, 1, H / 4, W / 4)``."""
        x = super().forward(x)
        rows, columns = self.grid
        size = x.shape[3] // rows, x.shape[4] // columns
        each = self.frame_positions.T[None, :, :, None, None]
        return x + lay_out(each.expand(-1, -1, -1, *size), rows)[:, :, None]


def set_window(stage: BasicLayer, side: int) -> None:
    """Give a stage windows of ``side`` x ``side`` tokens, of one frame."""
    window = (1, side, side)
    half = (0, side // 2, side // 2)
    stage.window_size, stage.shift_size = window, half
    for i, block in enumerate(stage.blocks):
        block.window_size = window
        block.shift_size = half if i % 2 else (0, 0, 0)
        attention = block.attn
        block.attn = WindowAttention3D(
            attention.embed_dims,
            window,
            attention.num_heads,
            qkv_bias=attention.qkv.bias is not None,
            attn_drop=attention.attn_drop.p,
            proj_drop=attention.proj_drop.p,
        )


SAME_PLACE = 8.0  # exp(8) is three times the 1024 tokens of a small picture


def see_same_place(stage: BasicLayer, thumbnail: int) -> None:
    """Let a token's attention start at its own place in all thumbnails.

    Args:
        stage: Its tables of relative positions are changed.
        thumbnail: Side of a thumbnail, in tokens.
    """
    for block in stage.blocks:
        side = block.window_size[1]
        steps = torch.arange(1 - side, side) % thumbnail == 0
        same = (steps[:, None] & steps).flatten()
        block.attn.relative_position_bias_table.data[same] += SAME_PLACE


@MODELS.register_module()
class TALL(SwinTransformer3D):
    """Swin on a thumbnail layout.

    The host's Video Swin on a single frame, with patches of 4x4 and windows
    without an extent in time, is the Swin of images (2103.14030). Its public
    checkpoints load here; tables of relative positions are resized to the
    windows.

    Args:
        arch: Swin's size, as the host names or describes it.
        num_segments: T, frames of a clip.
        rows: Of the layout; T is a multiple of it.
        windows: Side of the windows in each stage, in tokens; no larger than
            the stage's map.
        thumbnail: Side of a thumbnail in tokens of the first stage, a quarter
            of its pixels: where a window is larger, attention starts at a
            token's own place in all thumbnails. Ours, for a start from random
            weights; 0 is without it, for weights that were learned.
        **kwargs: Others of the host's ``SwinTransformer3D``.

    Returns:
        ``(N, C, 1, rows * H / 32, T / rows * W / 32)``, the picture's map.

    Raises:
        SettingError: T is no multiple of ``rows``; a clip has another T, or
            frames of another side than ``thumbnail``, of no multiple of 4
            pixels, or smaller than the windows.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        num_segments: int = 4,
        rows: int = 2,
        windows: tuple[int, ...] = (14, 14, 14, 7),
        thumbnail: int = 0,
        **kwargs: object,
    ) -> None:
        if rows < 1 or num_segments % rows:
            raise SettingError(
                f'model.backbone.rows={rows}: {num_segments} frames do not '
                'fill whole rows. Remedy: a divisor of num_segments'
            )
        super().__init__(
            arch,
            pretrained2d=False,
            patch_size=(1, 4, 4),
            window_size=(1, windows[0], windows[0]),
            **kwargs,
        )
        if len(windows) != len(self.layers):
            raise SettingError(
                f'model.backbone.windows={windows}: {len(self.layers)} stages '
                'have a window each. Remedy: as many numbers'
            )
        self.num_segments = num_segments
        self.windows = windows
        self.thumbnail = thumbnail
        self.grid = rows, num_segments // rows
        self.patch_embed = FrameEmbed(
            self.grid,
            patch_size=(1, 4, 4),
            embed_dims=self.embed_dims,
            norm_cfg=dict(type='LN'),
        )
        for i, (stage, side) in enumerate(
            zip(self.layers, windows, strict=True)
        ):
            set_window(stage, side)
            tokens, rest = divmod(thumbnail, 2**i)
            if not rest and 0 < tokens < side:
                see_same_place(stage, tokens)
        self._register_load_state_dict_pre_hook(self._from_image_swin)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, T, H, W)`` -> the picture's map, see the class."""
        if x.shape[2] != self.num_segments:
            raise SettingError(
                f'model.backbone.num_segments={self.num_segments}: the layout '
                f'got clips of {x.shape[2]} frames. Remedy: make both equal; '
                "a clip's frames are dataset.clip_len of each loader"
            )
        self._check_size(*x.shape[3:])
        return super().forward(lay_out(x, self.grid[0])[:, :, None])

    def _check_size(self, height: int, width: int) -> None:
        """Refuse frames that the layout or the windows do not fit."""
        if height % 4 or width % 4:
            raise SettingError(
                f'TALL: frames are {width}x{height} pixels, tokens 4x4. '
                'Remedy: a multiple of 4, FaceCrop.size of the pipelines'
            )
        if self.thumbnail and {height, width} != {4 * self.thumbnail}:
            raise SettingError(
                f'model.backbone.thumbnail={self.thumbnail}: frames are '
                f'{width}x{height} pixels. Remedy: a quarter of their side, '
                'or 0'
            )
        sides = [
            n * side // 4
            for n, side in zip(self.grid, (height, width), strict=True)
        ]
        for number, window in enumerate(self.windows):
            if window > min(sides):
                raise SettingError(
                    f'model.backbone.windows.{number}={window}: the map of '
                    f'this stage has {sides[0]}x{sides[1]} tokens. Remedy: '
                    f'{min(sides)} or less'
                )
            sides = [-(-side // 2) for side in sides]  # merged, padded if odd

    def _from_image_swin(
        self, state_dict: dict, prefix: str, *_: object
    ) -> None:
        """Turn the weights of an image Swin into this network's."""
        own = self.state_dict()
        last = f'norm{self.num_layers - 1}'
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name, value = key[len(prefix) :], state_dict[key]
            if name == 'patch_embed.proj.weight' and value.dim() == 4:
                state_dict[key] = value.unsqueeze(2)
            elif name.endswith('relative_position_bias_table'):
                state_dict[key] = resize_table(value, len(own[name]))
            elif name.endswith('relative_position_index'):
                state_dict[key] = own[name]  # follows from the window
            elif name in ('norm.weight', 'norm.bias'):
                state_dict[prefix + name.replace('norm', last)] = value
                del state_dict[key]


def resize_table(table: Tensor, length: int) -> Tensor:
    """Resize a table of relative positions to another window, bilinear.

    Args:
        table: ``(side**2, heads)``.
        length: New ``side**2``.
    """
    if len(table) == length:
        return table
    before, after = round(len(table) ** 0.5), round(length**0.5)
    maps = table.T.reshape(1, -1, before, before)
    maps = F.interpolate(maps, (after, after), mode='bilinear')
    return maps.flatten(2)[0].T
