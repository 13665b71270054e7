"""Motion blocks: CSTM, CMM, MCM, the STM block and MCB (Sec. 2.1 and 2.2).

Shapes: N clips of T frames are folded into the batch, the frame index
fastest. Every input and output is ``(N*T, C, H, W)`` unless said otherwise.

No tensor here is 5-D. In channels-last memory a frame is one contiguous row
of ``H*W*C`` numbers, so a view is enough to give time its own dimension.
Other memory formats work, at the cost of a copy.
"""

import functools

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from gml_mmaction.errors import SettingError


def _pixels(x: Tensor) -> Tensor:
    """``(M, C, H, W)`` seen as ``(M*H*W, C)``."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _clips(x: Tensor, num_segments: int) -> Tensor:
    """``(N*T, C, H, W)`` seen as ``(N, T, H*W*C)``."""
    return x.permute(0, 2, 3, 1).reshape(-1, num_segments, x[0].numel())


def _like(flat: Tensor, x: Tensor) -> Tensor:
    """Undo :func:`_pixels` or :func:`_clips`; H and W are those of ``x``."""
    frames, _, height, width = x.shape
    return flat.reshape(frames, height, width, -1).permute(0, 3, 1, 2)


class CSTM(nn.Module):
    """Channel-wise Spatio-Temporal Module: F^S (Sec. 2.1).

    A channel-wise 3x1x1 convolution over time, then a channel-wise 1x3x3
    convolution over space, neither with a bias. The clip is padded with zero
    frames at both ends, as is usual for a convolution.

    The ``weight`` of a plain depth-wise convolution loads into the spatial
    convolution, so that ImageNet checkpoints fit.

    Paper: silent on the initial temporal kernel. With ``'identity'``, the
    default, the block starts as the plain depth-wise convolution. ``'stm'``
    follows the STM paper (1908.02486): the first quarter of the channels
    looks at the previous frame, the last quarter at the next one, the rest at
    its own; GML learned the order of three frames later with it
    (docs/experiments.md). ``'tsm'`` shifts an eighth each way.

    Args:
        channels: C.
        num_segments: T, the frames of a clip.
        temporal_init: ``'identity'``, ``'stm'`` or ``'tsm'``.

    Raises:
        SettingError: Unknown ``temporal_init``.
    """

    SHIFTED = {'stm': 4, 'tsm': 8, 'identity': None}

    def __init__(
        self,
        channels: int,
        num_segments: int = 8,
        temporal_init: str = 'identity',
    ) -> None:
        super().__init__()
        if temporal_init not in self.SHIFTED:
            raise SettingError(
                f'temporal_init={temporal_init!r}: use one of '
                f'{sorted(self.SHIFTED)}'
            )
        self.num_segments = num_segments
        self.temporal = nn.Conv2d(
            channels,
            channels,
            (3, 1),
            padding=(1, 0),
            groups=channels,
            bias=False,
        )
        self.spatial = nn.Conv2d(
            channels, channels, 3, padding=1, groups=channels, bias=False
        )
        self._init_temporal(self.SHIFTED[temporal_init])
        _load_renamed(self, 'weight', 'spatial.weight')

    @torch.no_grad()
    def _init_temporal(self, share: int | None) -> None:
        kernel = self.temporal.weight.zero_()[:, 0, :, 0]  # (C, 3)
        shifted = len(kernel) // share if share else 0
        kernel[:, 1] = 1
        if shifted:
            kernel[:shifted] = kernel.new_tensor([1, 0, 0])
            kernel[-shifted:] = kernel.new_tensor([0, 0, 1])

    def fuse_frames(self, x: Tensor) -> Tensor:
        """The 3x1x1 convolution: one 2-D convolution of (T, H*W) images."""
        channels = x.shape[1]
        images = _clips(x, self.num_segments)
        images = images.unflatten(2, (-1, channels)).permute(0, 3, 1, 2)
        return _like(self.temporal(images).permute(0, 2, 3, 1), x)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.fuse_frames(x))


class CMM(nn.Module):
    """Channel-wise Motion Module: F^M of Eq. 1, in its own C/16 channels.

    F is reduced to F^D by a 1x1x1 convolution; K^PM, a channel-wise 1x3x3
    convolution, models the motion of each pixel; then frames are subtracted:
    F^M_t = F^D_t - (K^PM * F^D)_{t-1}.

    Paper: silent on normalisation; we put batch normalisation behind the
    reduction and nowhere else, as the STM authors do. 728 channels do not
    divide by 16; we round down to 45, and to no less than one.

    Paper: silent on t = 0, where Eq. 1 asks for a frame before the first.
    There are four readings. We take the first: it invents no motion, and F^MM
    keeps all that can be known:

    - ``'zero'``: no motion at t = 0, so that F^MM_1 = F^M_1;
    - ``'strict'``: the same, and F^MM is zero at t = 1 too, because it needs
      the motion at t = 0;
    - ``'replicate'``: the frame before the first is the first;
    - ``'feature'``: F^PM is zero before the first frame, F^M_0 = F^D_0.

    Paper: silent on the initial K^PM. With ``'identity'``, the default, F^M
    starts as the difference of two frames and F^MM as the difference of two
    motions. ``'random'`` is PyTorch's usual start of a convolution, as in the
    STM authors' code; F^M then starts close to F^D. From random weights GML
    found what takes three frames with the first only (docs/experiments.md).

    Args:
        channels: C.
        num_segments: T, the frames of a clip.
        reduction: Ratio of C to the channels of F^D.
        boundary: How t = 0 is read, see above.
        motion_init: Initial K^PM, ``'identity'`` or ``'random'``.

    Raises:
        SettingError: Unknown ``boundary`` or ``motion_init``.
    """

    BOUNDARIES = ('zero', 'strict', 'replicate', 'feature')
    num_orders = 1

    def __init__(
        self,
        channels: int,
        num_segments: int = 8,
        reduction: int = 16,
        boundary: str = 'zero',
        motion_init: str = 'identity',
    ) -> None:
        super().__init__()
        if boundary not in self.BOUNDARIES:
            raise SettingError(
                f'boundary={boundary!r}: use one of {self.BOUNDARIES}'
            )
        if motion_init not in ('random', 'identity'):
            raise SettingError(
                f"motion_init={motion_init!r}: use 'random' or 'identity'"
            )
        self.num_segments = num_segments
        self.boundary = boundary
        self.out_channels = max(1, channels // reduction)
        # The 1x1x1 convolution, computed as a matrix product over pixels.
        self.reduce = nn.Linear(channels, self.out_channels, bias=False)
        self.norm = nn.BatchNorm1d(self.out_channels)
        self.k_pm = nn.Conv2d(
            self.out_channels,
            self.out_channels,
            3,
            padding=1,
            groups=self.out_channels,
            bias=False,
        )
        if motion_init == 'identity':
            nn.init.dirac_(self.k_pm.weight, groups=self.out_channels)

    def embed(self, x: Tensor) -> Tensor:
        """F^D: ``(N*T, C/16, H, W)``."""
        return _like(self.norm(self.reduce(_pixels(x))), x)

    def difference(self, f: Tensor, order: int) -> Tensor:
        """f_t - (K^PM * f)_{t-1}: Eq. 1 with f = F^D, Eq. 2 with f = F^M.

        ``order`` (1 or 2) is the number of first frames that ``'strict'``
        sets to zero.
        """
        now = _clips(f, self.num_segments)
        f_pm = _clips(self.k_pm(f), self.num_segments)
        if self.boundary == 'feature':
            first = now[:, :1]
        elif self.boundary == 'replicate':
            first = now[:, :1] - f_pm[:, :1]
        else:
            empty = order if self.boundary == 'strict' else 1
            first = torch.zeros_like(now[:, :empty])
        known = first.shape[1]
        rest = now[:, known:] - f_pm[:, known - 1 : -1]
        return _like(torch.cat([first, rest], dim=1), f)

    def orders(self, f_d: Tensor) -> tuple[Tensor, ...]:
        """F^M from F^D, and F^MM if the module has a second order."""
        return (self.difference(f_d, order=1),)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.orders(self.embed(x))


class MCM(CMM):
    """Motion Consistency Module: F^M (Eq. 1) and F^MM (Eq. 2).

    Motion is differenced once more, with the same K^PM ("MCM uses K^PM
    again"): F^MM_t = F^M_t - (K^PM * F^M)_{t-1}. Both orders have C/16
    channels. For what the paper leaves open see :class:`CMM`.
    """

    num_orders = 2

    def orders(self, f_d: Tensor) -> tuple[Tensor, ...]:
        """F^M (Eq. 1) and F^MM (Eq. 2)."""
        f_m = self.difference(f_d, order=1)
        f_mm = self.difference(f_m, order=2)
        return f_m, f_mm


class MotionBlock(nn.Module):
    """F^S plus motion features, expanded from C/16 back to C channels.

    Paper: states the sum but no way from C/16 to C. STM has a 1x1x1
    expansion without bias or normalisation. ``expand='shared'``, the default,
    uses one for both orders, E(F^M + F^MM); ``'separate'`` gives each order
    its own.

    Paper: silent on the initial expansion. ``expand_init='random'``, the
    default, is PyTorch's usual start, as in the STM authors' code. With
    ``'zero'`` the block starts as F^S alone: as the depth-wise convolution
    that it replaces, and a network of such blocks as the published one whose
    weights it was given.
    In the first step only the expansion learns of the motion branch.
    """

    Motion: type[CMM]

    def __init__(
        self,
        channels: int,
        num_segments: int = 8,
        temporal_init: str = 'identity',
        reduction: int = 16,
        boundary: str = 'zero',
        motion_init: str = 'identity',
        expand: str = 'shared',
        expand_init: str = 'random',
    ) -> None:
        super().__init__()
        if expand not in ('shared', 'separate'):
            raise SettingError(
                f"expand={expand!r}: use 'shared' or 'separate'"
            )
        if expand_init not in ('random', 'zero'):
            raise SettingError(
                f"expand_init={expand_init!r}: use 'random' or 'zero'"
            )
        self.shared = expand == 'shared'
        self.cstm = CSTM(channels, num_segments, temporal_init)
        self.motion = self.Motion(
            channels, num_segments, reduction, boundary, motion_init
        )
        orders = 1 if self.shared else self.motion.num_orders
        self.expand = nn.Linear(
            orders * self.motion.out_channels, channels, bias=False
        )
        if expand_init == 'zero':
            nn.init.zeros_(self.expand.weight)
        _load_renamed(self, 'weight', 'cstm.weight')

    def forward(self, x: Tensor) -> Tensor:
        f_s = self.cstm(x)
        motion = self.together(self.motion(x))
        # F^S + E(motion) in one pass over the C channels.
        summed = torch.addmm(
            _pixels(f_s), _pixels(motion), self.expand.weight.t()
        )
        return _like(summed, x)

    def together(self, orders: tuple[Tensor, ...]) -> Tensor:
        """What E expands: the sum, or each order for its own E."""
        first, *more = orders
        return sum(more, first) if self.shared else torch.cat(orders, dim=1)


@MODELS.register_module()
class STMBlock(MotionBlock):
    """STM block: CSTM and CMM, F^S + F^M (Sec. 2.1).

    The motion features are C/16 wide and expanded to C for the sum.

    Paper: Eq. 1 subtracts the transformed earlier frame from the current one,
    so t = 0 is undefined. STM (1908.02486) subtracts the earlier frame from
    the transformed later one, so the last frame is. We follow Eq. 1.

    Args:
        channels: C.
        num_segments: T, the frames of a clip.
        temporal_init: See :class:`CSTM`.
        reduction: See :class:`CMM`.
        boundary: See :class:`CMM`.
        motion_init: See :class:`CMM`.
        expand: ``'shared'`` or ``'separate'``; no difference here, as there
            is only one order.
        expand_init: ``'random'`` or ``'zero'``, see :class:`MotionBlock`.

    Raises:
        SettingError: An option has an unknown value.
    """

    Motion = CMM


@MODELS.register_module()
class MCB(MotionBlock):
    """Motion Consistency Block: F^S + F^M + F^MM (Sec. 2.2).

    CSTM and MCM; arguments and errors are those of :class:`STMBlock`.

    Paper: the sum needs C channels, F^M and F^MM have C/16; one 1x1x1
    expansion without bias serves both, E(F^M + F^MM), unless
    ``expand='separate'``.
    """

    Motion = MCM


MODELS.register_module(module=CSTM)


def _load_renamed(module: nn.Module, old: str, new: str) -> None:
    """Let ``module`` load the entry ``old`` of a state dict as ``new``."""
    hook = functools.partial(_rename, old, new)
    module._register_load_state_dict_pre_hook(hook)


def _rename(
    old: str, new: str, state_dict: dict, prefix: str, *_: object
) -> None:
    if prefix + old in state_dict:
        state_dict[prefix + new] = state_dict.pop(prefix + old)
