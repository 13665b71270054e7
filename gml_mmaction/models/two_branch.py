"""Two-branch recurrent network (Masi et al., ECCV 2020, arXiv 2008.03412).

No code of its authors is public and we have not read the paper's text: this
is a reimplementation from descriptions, unverified against the original.

From the abstract: one branch propagates the original information; the other
suppresses the face content and amplifies several bands of frequencies by a
Laplacian of Gaussian (LoG) as a bottleneck layer, not as a preprocessing; a
recurrent network reads the frames; the loss compresses real faces in the
feature space and pushes fake ones away. From public code of others that cites
the paper (the isolating losses of audio anti-spoofing projects and of
HiFi-Net, CVPR 2023): the loss's form, both radii, the centre from real
features. From memory: DenseNet blocks in each branch, a fusion, shared dense
blocks, a bidirectional LSTM. Ours: everything else; see the docstring of each
class.

Shapes: N clips of T frames; frames are ``(N*T, C, H, W)``, the frame index
fastest. Class 0 is real, class 1 is fake.
"""

import copy
import math
from typing import Any

import mmengine.dist as dist
import torch
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor, nn
from torch.nn import functional as F

from gml_mmaction.errors import SettingError

from .densenet import DenseNet
from .forgery_head import REAL, ForgeryHead, clip_labels, count_members


def log_kernels(sigmas: tuple[float, ...]) -> Tensor:
    """LoG kernels, ``(bands, 1, K, K)``, out to four times the largest sigma.

    They are scale-normalised, sigma^2 times the Laplacian of a Gaussian of
    unit sum, so that bands can be compared. The sampled second moment replaces
    the 2 of the continuous kernel, so constants and ramps give exactly zero.

    Args:
        sigmas: Standard deviations, in pixels, above 0.
    """
    radius = math.ceil(4 * max(sigmas))
    line = torch.arange(-radius, radius + 1, dtype=torch.float64).square()
    square = line[:, None] + line
    kernels = []
    for sigma in sigmas:
        gaussian = torch.exp(-square / (2 * sigma**2))
        gaussian /= gaussian.sum()
        moment = (gaussian * square).sum()
        kernels.append(gaussian * (square - moment) / sigma**2)
    return torch.stack(kernels)[:, None].float()


class LoG(nn.Module):
    """Fixed depth-wise LoG: ``(M, C, H, W)`` -> ``(M, C * bands, H, W)``.

    The border is replicated. In half precision the mean of the input would
    leak through, so it is computed in float32 under autocast.

    Args:
        sigmas: See :func:`log_kernels`.
    """

    kernels: Tensor

    def __init__(self, sigmas: tuple[float, ...]) -> None:
        super().__init__()
        kernels = log_kernels(sigmas)
        self.register_buffer('kernels', kernels, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels, radius = x.shape[1], self.kernels.shape[-1] // 2
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.kernels.dtype)
            x = F.pad(x, (radius,) * 4, mode='replicate')
            weight = self.kernels.repeat(channels, 1, 1, 1)
            return F.conv2d(x, weight, groups=channels)


class LoGBottleneck(nn.Sequential):
    """1x1 to few channels, LoG of several bands, BN, ReLU, 1x1 back.

    Two-branch's paper: "a LoG as a bottleneck layer" and "multi-band" are the
    abstract's words. HiFi-Net's public code, which has such a layer, takes
    the difference to a smoothed map at each scale and one 1x1 convolution;
    we take LoG kernels. The reduction before them is ours.

    Args:
        in_channels: Channels of input and output.
        hidden: Channels that the LoG filters.
        sigmas: See :func:`log_kernels`.
    """

    def __init__(
        self, in_channels: int, hidden: int, sigmas: tuple[float, ...]
    ) -> None:
        super().__init__()
        bands = hidden * len(sigmas)
        self.reduce = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.log = LoG(sigmas)
        self.norm = nn.BatchNorm2d(bands)
        self.relu = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(bands, in_channels, 1, bias=False)


@MODELS.register_module()
class TwoBranch(DenseNet):
    """DenseNet whose first dense blocks are doubled, one behind a LoG.

    The stem is shared; then ``features`` continues as the branch of the
    original signal, and ``log_branch`` has dense blocks of the same size
    behind the LoG; both are fused, and the rest of ``features`` is shared.
    ``features`` has DenseNet's names, so that ImageNet weights load; both
    branches start from the same weights.

    Two-branch's paper: how many blocks each branch has, where the LoG is, its
    sigmas, the fusion and the initial weights are unknown to us. We take one
    block a branch, the LoG behind the stem, three octaves, and a 1x1
    convolution on both branches' channels.

    Args:
        branch_depth: Number of dense blocks in each branch, 1 to all.
        log_channels: Channels that the LoG filters.
        sigmas: Of the LoG, in pixels of the stem's output (4 of the image).
        fusion: ``'concat'``, a 1x1 convolution on both, or ``'sum'``.
        **kwargs: Arguments of :class:`DenseNet`.

    Raises:
        SettingError: A ``branch_depth``, sigma or ``fusion`` out of range.
    """

    def __init__(
        self,
        branch_depth: int = 1,
        log_channels: int = 16,
        sigmas: tuple[float, ...] = (0.7, 1.4, 2.8),
        fusion: str = 'concat',
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        num_blocks = len(self.block_channels)
        if not 1 <= branch_depth <= num_blocks:
            raise SettingError(
                f'branch_depth={branch_depth}: use 1 to {num_blocks}'
            )
        if not sigmas or min(sigmas) <= 0:
            raise SettingError(f'sigmas={sigmas}: use numbers above 0')
        if fusion not in ('concat', 'sum'):
            raise SettingError(f"fusion={fusion!r}: use 'concat' or 'sum'")
        # A transition comes between two dense blocks.
        self.branch_end = self.STEM_LENGTH + 2 * branch_depth - 1
        stem = self.features.conv0
        assert isinstance(stem, nn.Conv2d)
        self.log = LoGBottleneck(stem.out_channels, log_channels, sigmas)
        self.log_branch = copy.deepcopy(self.branch)
        self.fuse = None
        if fusion == 'concat':
            channels = self.block_channels[branch_depth - 1]
            self.fuse = nn.Conv2d(2 * channels, channels, 1, bias=False)

    @property
    def branch(self) -> nn.Module:
        """The branch of the original signal, a part of ``features``."""
        return self.features[self.STEM_LENGTH : self.branch_end]

    def init_weights(self) -> None:
        """Load or initialise weights; both branches start from the same."""
        super().init_weights()
        self.log_branch.load_state_dict(self.branch.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        stem = self.features[: self.STEM_LENGTH](x)
        original = self.branch(stem)
        amplified = self.log_branch(self.log(stem))
        if self.fuse is None:
            fused = original + amplified
        else:
            fused = self.fuse(torch.cat([original, amplified], dim=1))
        return F.relu(self.features[self.branch_end :](fused))


def isolating_loss(
    distances: Tensor, labels: Tensor, r_real: float, r_fake: float
) -> tuple[Tensor, Tensor]:
    """Compress real clips around the centre, push fake ones away from it.

    The mean over real clips of relu(d - r_real) and the mean over fake clips
    of relu(r_fake - d), over all processes (see :func:`count_members`). A
    class without a clip has zero loss, and gradients of zero.

    Args:
        distances: d of each clip, ``(N,)``, 0 or above.
        labels: ``(N,)``, 0 = real.
        r_real: Radius in which real clips cost nothing.
        r_fake: Radius beyond which fake clips cost nothing.
    """
    real = (labels == REAL).to(distances)
    members = torch.stack([real, 1 - real])  # (2, N)
    excess = torch.stack([distances - r_real, r_fake - distances]).relu()
    loss_real, loss_fake = (excess * members).sum(dim=1) / count_members(
        members
    )
    return loss_real, loss_fake


def _ask_again(head: Any, _: object) -> None:
    head._is_fixed = False  # what was loaded may be of another time


@MODELS.register_module()
class TwoBranchHead(ForgeryHead):
    """Bidirectional LSTM over a clip's frames and the isolating loss.

    Features are averaged over space and read in the order of the frames; both
    directions' last states, concatenated, are the clip's feature f. With its
    distance d = ||f - c|| to the centre c of real clips and the boundary
    b = (r_real + r_fake) / 2, P(fake) = d / (d + b): it rises with d
    everywhere, is 0.5 at the boundary, and does not saturate. Several clips
    of one sample are averaged.

    Two-branch's paper: the radii are those of an anti-spoofing project's
    ``IsolateLoss``, which cites the paper. The settings of HiFi-Net's video
    script, a radius of 0.84 and margins of 0.95, lead to the same:
    0.84 * (1 - 0.95) and 0.84 * (1 + 0.95); b is then 0.84. In the former c
    is learnt; HiFi-Net's own loss, of pixels, fixes the mean feature of real
    ones, computed beforehand. From memory: Two-branch does so with a network
    trained by cross-entropy. We need no second training: c is the mean over
    the real clips of the first iterations and fixed from then on.
    HiFi-Net's script summarises its LSTM in the same way; one layer, its
    size, and P(fake) are ours.

    Args:
        in_channels: Channels of the features.
        hidden: Units of each direction of the LSTM; f has twice as many.
        r_real: Radius in which real clips are compressed, 0 or above.
        r_fake: Radius beyond which fake clips are pushed, above ``r_real``.
        center: ``'fixed'`` or ``'learnable'``, a parameter that starts at the
            origin, where an LSTM's states start too.
        center_iters: Training iterations whose real clips make the fixed
            centre. 0 keeps the centre of the loaded checkpoint.
        init_cfg: MMEngine's initialisation config.

    Raises:
        SettingError: Radii out of order, or unknown ``center``.
    """

    center: Tensor
    center_clips: Tensor
    center_steps: Tensor

    def __init__(
        self,
        in_channels: int,
        hidden: int = 128,
        r_real: float = 0.042,
        r_fake: float = 1.638,
        center: str = 'fixed',
        center_iters: int = 50,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            init_cfg=init_cfg,
            average_clips='score',  # of probabilities
        )
        if not 0 <= r_real < r_fake:
            raise SettingError(
                f'r_real={r_real}, r_fake={r_fake}: use 0 <= r_real < r_fake'
            )
        if center not in ('fixed', 'learnable'):
            raise SettingError(
                f"center={center!r}: use 'fixed' or 'learnable'"
            )
        self.r_real = r_real
        self.r_fake = r_fake
        self.center_iters = center_iters
        self.lstm = nn.LSTM(
            in_channels, hidden, batch_first=True, bidirectional=True
        )
        origin = torch.zeros(2 * hidden)
        if center == 'learnable':
            self.center = nn.Parameter(origin)
        else:
            self.register_buffer('center', origin)
            self.register_buffer('center_clips', torch.tensor(0.0))
            self.register_buffer('center_steps', torch.tensor(0))
        self._is_fixed = False  # once it is, the device is not asked again
        self.register_load_state_dict_post_hook(_ask_again)

    def embed(self, feats: Tensor, num_segs: int) -> Tensor:
        """Read clips into f: ``(N*T, C, H, W)`` -> ``(N, 2 * hidden)``."""
        frames = feats.mean(dim=(2, 3)).unflatten(0, (-1, num_segs))
        _, (last, _) = self.lstm(frames)  # (2, N, hidden)
        return last.transpose(0, 1).flatten(1).float()

    def distances(self, clips: Tensor) -> Tensor:
        """Measure d: ``(N, 2 * hidden)`` -> ``(N,)``."""
        return torch.linalg.vector_norm(clips - self.center, dim=1)

    @torch.no_grad()
    def update_center(self, clips: Tensor, labels: Tensor) -> None:
        """Keep a fixed centre at the mean of real clips until it is fixed.

        Args:
            clips: f of each clip, ``(N, 2 * hidden)``.
            labels: ``(N,)``, 0 = real.
        """
        if isinstance(self.center, nn.Parameter) or self._is_fixed:
            return
        self._is_fixed = bool(self.center_steps >= self.center_iters)
        if self._is_fixed:
            return
        real = (labels == REAL).to(clips)[:, None]
        together = torch.cat([real * clips, real], dim=1).sum(dim=0)
        dist.all_reduce(together)
        total, count = together[:-1], together[-1]
        self.center_clips += count
        change = total - count * self.center
        self.center += change / self.center_clips.clamp(min=1)
        self.center_steps += 1

    def forward(self, feats: Tensor, num_segs: int = 1, **_: object) -> Tensor:
        """Probabilities of real and fake, ``(N, 2)``, in [0, 1]."""
        distances = self.distances(self.embed(feats, num_segs))
        fake = distances / (distances + (self.r_real + self.r_fake) / 2)
        return torch.stack([1 - fake, fake], dim=1)

    def loss(
        self,
        feats: Tensor,
        data_samples: SampleList,
        num_segs: int = 1,
        **_: object,
    ) -> dict[str, Tensor]:
        """``loss_real`` and ``loss_fake``, scalars that MMEngine sums."""
        clips = self.embed(feats, num_segs)
        labels = clip_labels(data_samples, clips.device)
        self.update_center(clips, labels)
        loss_real, loss_fake = isolating_loss(
            self.distances(clips), labels, self.r_real, self.r_fake
        )
        return dict(loss_real=loss_real, loss_fake=loss_fake)
