"""F3-Net: Xception on frequency bands and on local frequency statistics.

"Thinking in Frequency: Face Forgery Detection by Mining Frequency-aware
Clues" (2007.09355). A frame is seen twice: decomposed by filters on the DCT
of the whole frame (FAD), and as the statistics of the DCT of small windows
(LFS). Each feeds an Xception, and mix blocks exchange features of the two.

F3-Net's paper: only its abstract was at hand, and its authors published no
code. Structure and numbers are those of the public re-implementations
yyk-wew/F3Net (FAD, LFS, mix block) and Leminhbinh0209/F3Net (the whole);
where the two conflict, it is said below.

Shapes: M frames, folded from clips by the host. Frames are square,
``(M, 3, S, S)``, and scaled to [-1, 1].
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

from .xception import Xception


def dct_matrix(size: int) -> Tensor:
    """Orthonormal DCT-II, ``(size, size)``: ``d @ x @ d.T`` is x's spectrum.

    Row k is the cosine of k / (2 * size) cycles a pixel.
    """
    k = torch.arange(size, dtype=torch.float64)
    d = torch.cos(math.pi / size * k[:, None] * (k + 0.5))
    d *= math.sqrt(2 / size)
    d[0] /= math.sqrt(2)
    return d.float()


def diagonals(size: int) -> Tensor:
    """The sum i + j of a spectrum's indices, ``(size, size)``."""
    i = torch.arange(size)
    return i[:, None] + i


def resample(weights: Tensor, size: int) -> Tensor:
    """Weights of a spectrum, ``(..., R, R)`` -> ``(..., size, size)``.

    Index k of ``size`` is the frequency of k * R / size: the weight is
    linear between the neighbours there, and the last one's past the last.
    """
    old = weights.shape[-1]
    index = torch.arange(old, dtype=weights.dtype, device=weights.device)
    wanted = torch.arange(size, dtype=weights.dtype, device=weights.device)
    wanted = (wanted * old / size).clamp(max=old - 1)
    hat = (1 - (wanted[:, None] - index).abs()).clamp(min=0)
    return hat @ weights @ hat.mT


class BandFilters(nn.Module):
    """Fixed bands of a spectrum plus a learnable part in (-1, 1).

    A filter is base + (2 sigmoid(w) - 1); w starts from N(0, 0.1). The bands
    are not in checkpoints. Weights w of a checkpoint for another size are
    resampled when they are loaded (:func:`resample`), those for the same size
    left as they are.

    Args:
        bands: Gains of the bands, ``(number, size, size)``.
    """

    base: Tensor

    def __init__(self, bands: Tensor) -> None:
        super().__init__()
        self.register_buffer('base', bands.float(), persistent=False)
        self.learnable = nn.Parameter(torch.randn(bands.shape) * 0.1)
        self._register_load_state_dict_pre_hook(self._resample_learnable)

    def _resample_learnable(
        self, state_dict: dict, prefix: str, *_: Any
    ) -> None:
        key = prefix + 'learnable'
        size = self.learnable.shape[-1]
        if key in state_dict and state_dict[key].shape[-1] != size:
            state_dict[key] = resample(state_dict[key], size)

    def forward(self) -> Tensor:
        """Gains, ``(number, size, size)``."""
        return self.base + torch.tanh(self.learnable / 2)


class FAD(nn.Module):
    """Frequency-aware decomposition: a frame's bands, as images again.

    A low, a middle and a high band and the whole spectrum, each with its
    learnable part (:class:`BandFilters`).

    F3-Net's paper: bands of 1/16, 1/8 and the rest of the spectrum, says the
    public code, whose two versions do not agree on what that is: 1/16 and
    1/8 of its area (default, yyk-wew), or of the side, i + j up to
    ``size / 16`` and ``size / 8``, with a high band that ends at ``size``
    (Leminhbinh0209): ``edges=(1 / 16, 1 / 8, 1)``. In the former, as here,
    an edge's diagonal belongs to both its bands; in the latter to the lower
    one, and the frame's mean to none, not even the whole spectrum.

    Args:
        size: S, pixels of a frame's side.
        edges: Where bands end on i + j, as parts of ``size``, the corner
            being at 2. By default 1/16 of the spectrum is below the first,
            1/8 below the second.
    """

    dct: Tensor

    def __init__(
        self,
        size: int,
        edges: tuple[float, ...] = (8**-0.5, 0.5, 2),
    ) -> None:
        super().__init__()
        self.register_buffer('dct', dct_matrix(size), persistent=False)
        at = diagonals(size)
        starts = [0, *(int(size * edge) for edge in edges)]
        bands = [(a <= at) & (at <= b) for a, b in zip(starts, starts[1:])]
        self.filters = BandFilters(torch.stack([*bands, at >= 0]))
        self.out_channels = 3 * (len(edges) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(M, 3, S, S)`` -> ``(M, 12, S, S)``, three channels a band."""
        size = len(self.dct)
        if x.shape[-2:] != (size, size):
            raise SettingError(
                f'frames of {x.shape[-2]}x{x.shape[-1]} came to the filters '
                f'of model.backbone.size={size}. Remedy: make it the size of '
                'the crops'
            )
        spectrum = self.dct @ x @ self.dct.mT
        bands = spectrum[:, None] * self.filters()[:, None]
        return (self.dct.mT @ bands @ self.dct).flatten(1, 2)


class LFS(nn.Module):
    """Local frequency statistics: the spectra of windows, in six bands.

    Windows of 10 x 10 pixels, two apart, on grey levels 0 to 255 with a
    border of four black pixels. Of each window's DCT, log10 of the absolute
    values is averaged over each band, weighted by learnable filters
    (:class:`BandFilters`).

    F3-Net's paper: from memory, the logarithm comes last, that of a band's
    weighted sum. The public code takes it first, and so do we by default.
    The public code multiplies by 122.5 where a scale of 0 to 255 takes 127.5,
    as here.

    Args:
        log_first: False takes the logarithm of a band's sum, instead of the
            sum of a band's logarithms.
    """

    WINDOW = 10
    STRIDE = 2
    PADDING = 4
    BANDS = 6
    HALF_RANGE = 127.5
    EPS = 1e-15
    dct: Tensor

    def __init__(self, log_first: bool = True) -> None:
        super().__init__()
        self.log_first = log_first
        dct = dct_matrix(self.WINDOW)
        self.register_buffer('dct', torch.kron(dct, dct), persistent=False)
        # i + j in units of a band's width, whole numbers throughout.
        at, width = diagonals(self.WINDOW) * self.BANDS, 2 * self.WINDOW
        bands = [
            (k * width <= at) & (at <= (k + 1) * width)
            for k in range(self.BANDS)
        ]
        self.filters = BandFilters(torch.stack(bands))
        self.out_channels = self.BANDS

    def spectra(self, x: Tensor) -> Tensor:
        """Absolute DCT of windows: ``(M, 3, S, S)`` -> ``(M, h, w, 100)``.

        By one product of matrices: a convolution would be TF32 on GPUs.
        """
        red, green, blue = x.unbind(dim=1)
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        grey = F.pad((grey + 1) * self.HALF_RANGE, [self.PADDING] * 4)
        windows = grey.unfold(1, self.WINDOW, self.STRIDE)
        windows = windows.unfold(2, self.WINDOW, self.STRIDE)
        return (windows.flatten(3) @ self.dct.mT).abs()

    def forward(self, x: Tensor) -> Tensor:
        """``(M, 3, S, S)`` -> ``(M, 6, S // 2, S // 2)``."""
        counts = self.filters.base.sum(dim=(1, 2))
        weights = self.filters().flatten(1).mT / counts  # (100, 6)
        if self.log_first:
            y = torch.log10(self.spectra(x) + self.EPS) @ weights
        else:
            y = torch.log10(self.spectra(x) @ weights.abs() + self.EPS)
        return y.movedim(3, 1)


class Exchange(nn.Module):
    """What one stream hands to the other: BN(conv((2 sigmoid(g) - 1) x)).

    The gain g starts at 0, hence with nothing handed over, as in the public
    code; the normalisation behind it soon makes up for a small one.

    Args:
        channels: C of both.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.conv = nn.Conv2d(channels, channels, 1, groups=channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x * torch.tanh(self.gamma / 2)))


class MixBlock(nn.Module):
    """Cross-attention of the two streams, in each channel by itself.

    The similarity of query's row r and key's row s, summed over both
    streams, is softmax-ed over s to an H x H attention. This weighs a
    stream's map, element by element, on its way to the other stream.

    F3-Net's paper: not at hand; this is the public code's block. The product
    needs H = W.

    Args:
        channels: C of both streams.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_fad = nn.Conv2d(channels, channels, 1)
        self.query_lfs = nn.Conv2d(channels, channels, 1)
        self.key_fad = nn.Conv2d(channels, channels, 1)
        self.key_lfs = nn.Conv2d(channels, channels, 1)
        self.to_fad = Exchange(channels)
        self.to_lfs = Exchange(channels)

    def forward(self, x_fad: Tensor, x_lfs: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams' features, ``(M, C, H, H)`` each, and out again."""
        energy = self.query_fad(x_fad) @ self.key_fad(x_fad).mT
        energy = energy + self.query_lfs(x_lfs) @ self.key_lfs(x_lfs).mT
        attention = energy.softmax(dim=-1)
        return (
            x_fad + self.to_fad(x_lfs * attention),
            x_lfs + self.to_lfs(x_fad * attention),
        )


@MODELS.register_module()
class F3Net(BaseModule):
    """F3-Net's two streams, for :class:`FrameHead`.

    Checkpoints load at any ``size``, see :class:`BandFilters`; the DCT and
    the fixed bands are in none. The DCT is float32 under autocast too.

    ``init_cfg=dict(type='Pretrained', checkpoint=FILE_OR_URL)`` loads the
    public ImageNet weights of Xception, by their names, into both streams,
    the first kernels repeated and divided (see :class:`Xception`), which the
    public code does too, for LFS as for FAD. By default all start at random.

    Where the stems make the LFS map a pixel smaller (at 72 or 200 pixels;
    not at 64, 128, 224, 256 and 299) it is interpolated to the FAD map's
    size before they are first mixed; the public code stops there.

    Args:
        size: S, pixels of a frame's side.
        edges: See :class:`FAD`.
        log_first: See :class:`LFS`.
        mix_stages: Blocks of Xception whose outputs are mixed; none leaves
            the streams separate up to the head.
        width: See :class:`Xception`, as for ``middle_blocks``.
        middle_blocks: Number of middle blocks of both.
        init_cfg: MMEngine's initialisation config.

    Returns:
        The last features of both streams, FAD's first,
        ``(M, 4096, h, w)``; at 224 x 224, 7 x 7 of them.

    Raises:
        SettingError: If a block to be mixed does not exist, or frames are not
            of ``size``.
    """

    def __init__(
        self,
        size: int = 224,
        edges: tuple[float, ...] = (8**-0.5, 0.5, 2),
        log_first: bool = True,
        mix_stages: tuple[str, ...] = ('block7', 'block12'),
        width: float = 1.0,
        middle_blocks: int = 8,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        stream: dict[str, Any] = dict(
            width=width, middle_blocks=middle_blocks, tap='block3'
        )
        self.fad = FAD(size, edges)
        self.lfs = LFS(log_first)
        self.fad_stream = Xception(in_channels=self.fad.out_channels, **stream)
        self.lfs_stream = Xception(
            in_channels=self.lfs.out_channels, stem_stride=1, **stream
        )
        blocks = self.fad_stream.stages[:-2]
        for name in mix_stages:
            if name not in blocks:
                raise SettingError(f'no block {name!r} to mix: use {blocks}')
        self.mix = nn.ModuleDict(
            {
                name: MixBlock(getattr(self.fad_stream, name).out_channels)
                for name in mix_stages
            }
        )
        self.to(memory_format=torch.channels_last)  # as both streams
        self._register_load_state_dict_pre_hook(self._load_into_both)

    @staticmethod
    def _load_into_both(state_dict: dict, prefix: str, *_: Any) -> None:
        # A plain Xception's checkpoint: all of its keys, once a stream.
        if prefix + 'conv1.weight' not in state_dict:
            return
        for key in [key for key in state_dict if key.startswith(prefix)]:
            value = state_dict.pop(key)
            for stream in ('fad_stream.', 'lfs_stream.'):
                state_dict[prefix + stream + key[len(prefix) :]] = value

    def decompose(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams' inputs: bands and statistics of frames."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.fad.dct.dtype)
            return self.fad(x), self.lfs(x)

    def forward(self, x: Tensor) -> Tensor:
        x_fad, x_lfs = self.decompose(x)
        x_fad = self.fad_stream.stem(self.fad_stream.fold(x_fad))
        x_lfs = self.lfs_stream.stem(self.lfs_stream.fold(x_lfs))
        for name in self.fad_stream.stages:
            x_fad = self.fad_stream.run_stage(name, x_fad)
            x_lfs = self.lfs_stream.run_stage(name, x_lfs)
            if name in self.mix:
                x_lfs = resized(x_lfs, x_fad)
                x_fad, x_lfs = self.mix[name](x_fad, x_lfs)
        return torch.cat((x_fad, resized(x_lfs, x_fad)), dim=1)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` itself, or interpolated to the height and width of ``like``."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, like.shape[2:], mode='bilinear')
