"""Multi-attentional deepfake detection (CVPR 2021, 2103.02406), "MAT".

Zhao et al. treat forgeries as fine-grained classes: several attention maps
look at parts of the face, each part's texture and the whole face's features
are pooled under them. A regional independence loss keeps the maps apart, and
training images are blurred where one of the maps looks (AGDA).

MAT's paper: its text was not at hand; there are two recipes, not to be mixed.

- The default, ``MATRecognizer``, ``TextureEnhancement`` and
  ``RegionalIndependenceLoss``: DeepfakeBench's, taken to be the paper's.
- ``PairedMATRecognizer``, ``GroupedTextureEnhancement`` and
  ``RealCentreLoss``: that of the authors' public code
  (yoctta/multiple-attention), which by then had left the paper.

Attention maps, pooling, classifier, dropout and AGDA are the public code's
in both.

Shapes: B images, the frames of all clips, the frame index fastest; M
attention maps of h x w, 14 x 14 at 224; shallow features of C channels and
H x W, 56 x 56 at 224. Class 0 is real, class 1 is fake.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import mmengine.dist as dist
import torch
from mmaction.models.recognizers import Recognizer2D
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor, nn
from torch.nn import functional as F

from .forgery_head import REAL
from .frame_wise import FrameHead, frame_labels, stretch

Triple = tuple[Tensor, Tensor, Tensor]  # shallow, middle and last features


def attention_pool(features: Tensor, maps: Tensor) -> Tensor:
    """Bilinear attention pooling: the sum of features under each map.

    In the maps' precision, float32 or more: sums over thousands of cells
    leave that of halves.

    Args:
        features: ``(B, C, H, W)``, or ``(B, M, C, H, W)``, each map's own.
        maps: ``(B, M, h, w)``, stretched to H x W.

    Returns:
        ``(B, M, C)``.
    """
    own = 'm' if features.dim() == 5 else ''
    with torch.autocast(maps.device.type, enabled=False):
        return torch.einsum(
            f'bmhw,b{own}chw->bmc',
            stretch(maps, features.shape[-2:]),
            features.to(maps.dtype),
        )


def attention_mean(features: Tensor, maps: Tensor) -> Tensor:
    """Mean under the sum of the maps, ``(B, C)``; a plain one where it is 0.

    Args:
        features: ``(B, C, H, W)``.
        maps: ``(B, M, h, w)``, stretched to H x W.
    """
    total = maps.sum(dim=1, keepdim=True)
    total = stretch(total, features.shape[-2:]) + 1e-8
    return attention_pool(features, total)[:, 0] / total.sum(dim=(2, 3))


class AttentionMaps(nn.Sequential):
    """Where to look: ``(B, C, h, w)`` -> ``(B, M, h, w)``, from 0 upwards.

    Nothing is looked at near the border, a twelfth of the image's side. Under
    autocast maps are float32, as the mask is.

    MAT's paper: the border is the public code's, two cells of 24, which are
    the maps' sides at 380. Other sizes take the nearest cells of those 24:
    at 14 x 14 two rows and columns go at the top and left, one at the bottom
    and right; at 4 x 4, of images of 64 x 64, one and none.

    Args:
        channels: Of the features.
        num_maps: M.
    """

    inside: Tensor

    def __init__(self, channels: int, num_maps: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, num_maps, 1, bias=False),
            nn.BatchNorm2d(num_maps),
            nn.ELU(inplace=True),
        )
        inside = F.pad(torch.ones(1, 1, 20, 20), (2, 2, 2, 2))
        self.register_buffer('inside', inside, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = super().forward(x) + 1
        return maps * F.interpolate(self.inside, maps.shape[-2:])


class DenseBlock(nn.Module):
    """Three 3x3 layers that each read all that came before.

    Args:
        channels: Of the input, and of each layer's output, a group.
        out_channels: Of the output, a group.
        kernel_size: Of the convolution before the layers.
        groups: Groups of channels that do not see each other.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel_size: int,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.groups = groups

        def conv(before: int, after: int, size: int) -> nn.Conv2d:
            return nn.Conv2d(
                before * groups,
                after * groups,
                size,
                padding=size // 2,
                groups=groups,
            )

        def read(num_inputs: int, after: int, size: int) -> nn.Sequential:
            before = num_inputs * channels
            return nn.Sequential(
                nn.BatchNorm2d(before * groups),
                nn.ReLU(inplace=True),
                conv(before, after, size),
            )

        self.first = conv(channels, channels, kernel_size)
        self.layers = nn.ModuleList(read(i, channels, 3) for i in (1, 2, 3))
        self.last = read(4, out_channels, 1)
        self.norm = nn.BatchNorm2d(out_channels * groups)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = self.join(x, layer(x))
        return self.norm(self.last(x))

    def join(self, *parts: Tensor) -> Tensor:
        """Concatenate the channels within each group."""
        grouped = [part.unflatten(1, (self.groups, -1)) for part in parts]
        return torch.cat(grouped, dim=2).flatten(1, 2)


def split_texture(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Texture, ``x`` less its local means, and the means, of ``size``."""
    height, width = size
    smooth = F.adaptive_avg_pool2d(x, (height, width))
    return x - F.interpolate(smooth, x.shape[-2:]), smooth


@MODELS.register_module()
class TextureEnhancement(nn.Module):
    """The texture of shallow features, through a dense block.

    MAT's paper: DeepfakeBench names this one the paper's; the public code
    has it too, but uses :class:`GroupedTextureEnhancement`.

    Args:
        channels: C.
        num_maps: M; all maps share the texture.

    Returns:
        Texture, ``(B, 4C, H, W)``, and the local means D, ``(B, C, h, w)``.
    """

    def __init__(self, channels: int, num_maps: int) -> None:
        super().__init__()
        self.out_channels = 4 * channels
        self.dense = DenseBlock(channels, 4 * channels, 1)

    def forward(self, x: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        texture, smooth = split_texture(x, maps.shape[-2:])
        return self.dense(texture), smooth


@MODELS.register_module()
class GroupedTextureEnhancement(nn.Module):
    """Each map's own texture: what it looks at, through its own dense block.

    The one that the authors' public code uses. Weighting the texture gives
    the maps no gradient, pooling it does.

    Args:
        channels: C.
        num_maps: M.

    Returns:
        Texture, ``(B, M, C, H, W)``, and the local means D, ``(B, C, h, w)``.
    """

    def __init__(self, channels: int, num_maps: int) -> None:
        super().__init__()
        self.out_channels = channels
        self.extract = nn.Conv2d(channels, channels, 3, padding=1)
        self.dense = DenseBlock(channels, channels, 5, groups=num_maps)

    def forward(self, x: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        texture, smooth = split_texture(self.extract(x), maps.shape[-2:])
        looks = stretch(maps.detach(), x.shape[-2:]).tanh()
        seen = looks[:, :, None] * texture[:, None]  # (B, M, C, H, W)
        enhanced = self.dense(seen.flatten(1, 2)).relu()
        return enhanced.unflatten(1, seen.shape[1:3]), smooth


@MODELS.register_module()
class RegionalIndependenceLoss(nn.Module):
    """Each map's descriptor near a centre of its own, the centres apart.

    The descriptor v_k is D pooled under map k, of unit length. A batch moves
    the centres to c' = c + alpha (mean v - c); the loss is::

        mean max(0, |v_k - c'_k| - inner margin)
        + sum over j < k of max(0, margin - |c'_j - c'_k|) / (M alpha)

    c' passes gradients on to v, which is why the second term, the only pull
    apart, is divided by alpha.

    MAT's paper: terms and values are those of DeepfakeBench, which detaches
    c', so that its second term trains nothing; the public code does not
    detach it. alpha decays once an epoch, of which the public code has ten;
    where iterations are counted, that is a tenth of them. Over several
    processes the public code averages the centres it keeps; here those in
    the loss are averaged too.

    Args:
        num_maps: M.
        channels: C.
        alpha: How far a batch moves the centres, above 0, up to 1.
        alpha_decay: Factor on ``alpha`` every ``decay_interval`` batches.
        decay_interval: In batches; counted in a buffer, which checkpoints
            keep.
        margin: Distance of centres from which on they are far enough apart.
        inner_margins: Distances from the centre, of real and of fake images,
            up to which descriptors are near enough.
        weight: Of the loss.
    """

    centres: Tensor
    num_batches: Tensor

    inner_margins: Tensor

    def __init__(
        self,
        num_maps: int,
        channels: int,
        alpha: float = 0.05,
        alpha_decay: float = 0.9,
        decay_interval: int = 15000,
        margin: float = 0.2,
        inner_margins: tuple[float, float] = (0.05, 0.1),
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.initial_alpha = alpha
        self.alpha_decay = alpha_decay
        self.decay_interval = decay_interval
        self.margin = margin
        self.weight = weight
        self.register_buffer(
            'inner_margins', torch.tensor(inner_margins), persistent=False
        )
        self.register_buffer('centres', torch.zeros(num_maps, channels))
        self.register_buffer('num_batches', torch.tensor(0))

    @property
    def alpha(self) -> Tensor:
        decays = self.num_batches // self.decay_interval
        return self.initial_alpha * self.alpha_decay**decays

    def describe(self, smooth: Tensor, maps: Tensor) -> Tensor:
        """Descriptors v, ``(B, M, C)``, of D, ``(B, C, h, w)``."""
        return F.normalize(attention_pool(smooth, maps), dim=-1)

    def forward(self, v: Tensor, labels: Tensor) -> Tensor:
        """The loss of descriptors of images with ``labels``, ``(B,)``."""
        alpha = self.alpha
        centres = self.move(alpha * self.deviation(v, labels))
        near = self.excess(v - centres, self.inner_margins[labels])
        apart = (self.margin - F.pdist(centres)).relu().sum()
        return self.weight * (near.mean() + apart / (len(centres) * alpha))

    def deviation(self, v: Tensor, labels: Tensor) -> Tensor:
        """Of the batch from the centres, ``(M, C)``."""
        return (v - self.centres).mean(dim=0)

    def excess(self, offsets: Tensor, margins: Tensor) -> Tensor:
        """Distances beyond the margins: ``(B, M, C)``, ``(B,)``."""
        return (offsets.norm(dim=-1) - margins[:, None]).relu()

    def move(self, step: Tensor) -> Tensor:
        """The centres a step further on; they stay there in training."""
        centres = self.centres + step
        shared = centres.detach().clone()
        dist.all_reduce(shared, op='mean')
        if self.training:
            self.centres.copy_(shared)
            self.num_batches += 1
        # Every process's value, this one's gradient.
        return centres + (shared - centres.detach())


@MODELS.register_module()
class RealCentreLoss(RegionalIndependenceLoss):
    """The regional independence loss of the authors' public code.

    Real images alone move the centres, and a fake is pushed away from them:
    a negative inner margin is the distance to keep. Distances are those of
    all M descriptors together, and D is standardised over space first.

    Args:
        margin: As in :class:`RegionalIndependenceLoss`.
        inner_margins: Of real and of fake images.
        weight: Of the loss.
        **kwargs: The other arguments of that class.
    """

    def __init__(
        self,
        margin: float = 0.5,
        inner_margins: tuple[float, float] = (0.1, -2.0),
        weight: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            margin=margin,
            inner_margins=inner_margins,
            weight=weight,
            **kwargs,
        )

    def describe(self, smooth: Tensor, maps: Tensor) -> Tensor:
        smooth = smooth.to(maps.dtype)
        smooth = smooth - smooth.mean(dim=(2, 3), keepdim=True)
        std = smooth.std(dim=(2, 3), keepdim=True)
        return super().describe(smooth / (std + 1e-8), maps)

    def deviation(self, v: Tensor, labels: Tensor) -> Tensor:
        real = (labels == REAL).to(v)[:, None, None]
        return (real * (v - self.centres)).mean(dim=0)

    def excess(self, offsets: Tensor, margins: Tensor) -> Tensor:
        distances = offsets.flatten(1).norm(dim=1)
        return (distances * margins.sign() - margins).relu()


class Regions(NamedTuple):
    """What :class:`MATHead` sees in images."""

    logits: Tensor  # (B, 2)
    maps: Tensor  # (B, M, h, w)
    descriptors: Tensor  # (B, M, C)


@MODELS.register_module()
class MATHead(FrameHead):
    """Frame-wise classifier of textures and last features, both under maps.

    The texture is pooled under each map, the last features under the sum of
    the maps, there as a mean; both are projected and classified together.

    MAT's paper: dropout is the public code's: a map is dropped as a whole, in
    either pooling. DeepfakeBench has it on the elements of the pooled texture
    and trains the backbone alone with a classifier of its own first, which is
    left out: start from ImageNet weights.

    Args:
        in_channels: Channels of the shallow features, of those that the maps
            come from and of the last.
        num_maps: M.
        hidden: Width of the classifier's layers.
        texture: Config of the texture enhancement, by default
            :class:`TextureEnhancement`.
        loss_ril: Config of the regional independence loss, by default
            :class:`RegionalIndependenceLoss`.
        dropout_ratio: Share of maps dropped in training.
        last_dropout_ratio: Of the dropout of the pooled last features.
        loss_cls: Config of the classification loss, cross-entropy by default.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: tuple[int, int, int] = (32, 160, 1792),
        num_maps: int = 4,
        hidden: int = 256,
        texture: dict | None = None,
        loss_ril: dict | None = None,
        dropout_ratio: float = 0.25,
        last_dropout_ratio: float = 0.5,
        loss_cls: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            hidden, dropout_ratio, loss_cls=loss_cls, init_cfg=init_cfg
        )
        shallow, middle, last = in_channels

        def build(cfg: dict | None, default: str) -> Any:
            return MODELS.build(
                dict(
                    cfg or dict(type=default),
                    num_maps=num_maps,
                    channels=shallow,
                )
            )

        self.attention = AttentionMaps(middle, num_maps)
        self.texture = build(texture, 'TextureEnhancement')
        self.loss_ril = build(loss_ril, 'RegionalIndependenceLoss')
        self.project_texture = nn.Sequential(
            nn.Linear(num_maps * self.texture.out_channels, hidden),
            nn.Hardswish(),
            nn.Linear(hidden, hidden),
            nn.Hardswish(),
        )
        self.project_last = nn.Sequential(
            nn.Dropout(last_dropout_ratio),
            nn.Linear(last, hidden),
            nn.Hardswish(),
        )
        self.fuse = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.Hardswish()
        )
        self.to(memory_format=torch.channels_last)  # as the features

    def look(self, feats: Triple) -> Regions:
        """Logits, maps and descriptors of the backbone's three outputs."""
        shallow, middle, last = feats
        maps = self.attention(middle)
        texture, smooth = self.texture(shallow, maps)
        kept = self.dropout(maps.new_ones(*maps.shape[:2], 1))  # (B, M, 1)
        parts = F.normalize(attention_pool(texture, maps), dim=-1) * kept
        whole = attention_mean(last, maps * kept[..., None])
        hidden = torch.cat(
            (self.project_texture(parts.flatten(1)), self.project_last(whole)),
            dim=1,
        )
        return Regions(
            self.fc_cls(self.fuse(hidden)).float(),
            maps,
            self.loss_ril.describe(smooth, maps),
        )

    def forward(self, feats: Triple, **_: object) -> Tensor:
        """Logits of frames, ``(N*T, 2)``, float32."""
        return self.look(feats).logits

    def loss(
        self,
        feats: Triple,
        data_samples: SampleList,
        num_segs: int = 1,
        **_: object,
    ) -> dict[str, Tensor]:
        """``loss_cls`` and ``loss_ril``, means over all frames."""
        regions = self.look(feats)
        labels = frame_labels(data_samples, num_segs, regions.logits.device)
        return self.losses(regions, labels)

    def losses(self, regions: Regions, labels: Tensor) -> dict[str, Tensor]:
        return dict(
            loss_cls=self.loss_cls(regions.logits, labels),
            loss_ril=self.loss_ril(regions.descriptors, labels),
        )


class AGDA(nn.Module):
    """Attention-guided data augmentation: blur where one map looks.

    One map of each image, drawn in proportion to sqrt(1 + its sum), is scaled
    to a maximum of 1 and turned into a soft mask, 0 where the map is 0; the
    image and a blurred, noisy copy are blended by it. Draws come from
    PyTorch's generator, threshold and zoom once a batch.

    MAT's paper: constants are the public code's, and DeepfakeBench's. The
    paper itself may have another ``scale``: 0.3, by memory.

    Args:
        scale: Of the copy, 0 to 1, before it is blurred.
        kernel_size: Of the Gaussian, odd, in pixels of the reduced copy.
        sigma: Of the Gaussian, in the same.
        noise: Standard deviation, in units of the normalised image.
        threshold: Range of the scaled map's value where the mask is steepest.
        zoom: Range of its steepness.
    """

    kernel: Tensor

    def __init__(
        self,
        scale: float = 0.5,
        kernel_size: int = 11,
        sigma: float = 7.0,
        noise: float = 0.1,
        threshold: tuple[float, float] = (0.4, 0.6),
        zoom: tuple[float, float] = (3.0, 5.0),
    ) -> None:
        super().__init__()
        self.scale = scale
        self.noise = noise
        self.threshold = threshold
        self.zoom = zoom
        offsets = torch.arange(kernel_size) - kernel_size // 2
        kernel = torch.exp(-offsets.square() / (2 * sigma**2))
        self.register_buffer('kernel', kernel / kernel.sum(), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Degrade images.

        Args:
            images: ``(B, 3, H, W)``.
            maps: ``(B, M, h, w)``.

        Returns:
            The images and the indices of the maps that were drawn, ``(B,)``.
        """
        drawn = (maps.sum(dim=(2, 3)) + 1).sqrt().multinomial(1)
        looks = maps.take_along_dim(drawn[..., None, None], dim=1)
        looks = stretch(looks, images.shape[-2:])
        looks = looks / (looks.amax(dim=(2, 3), keepdim=True) + 1e-8)
        mask = self.soften(looks)
        return images + mask * (self.blur(images) - images), drawn[:, 0]

    def soften(self, looks: Tensor) -> Tensor:
        """A sigmoid through 0 at 0, towards 1."""
        threshold, zoom = (
            looks.new_empty(()).uniform_(*limits)
            for limits in (self.threshold, self.zoom)
        )
        zero = torch.sigmoid(-threshold * zoom)
        return (torch.sigmoid((looks - threshold) * zoom) - zero) / (1 - zero)

    def blur(self, images: Tensor) -> Tensor:
        """A coarser, blurred, noisy copy, of the same size."""
        size = images.shape[-2:]
        small = stretch(images, [int(side * self.scale) for side in size])
        small = F.pad(small, [len(self.kernel) // 2] * 4, mode='reflect')
        for shape in ((1, 1, 1, -1), (1, 1, -1, 1)):
            kernel = self.kernel.view(shape).repeat(small.shape[1], 1, 1, 1)
            small = F.conv2d(small, kernel, groups=small.shape[1])
        small = small + self.noise * torch.randn_like(small)
        return stretch(small, size)


@MODELS.register_module()
class MATRecognizer(Recognizer2D):
    """Recognizer2D that trains on images degraded by :class:`AGDA`.

    A first pass without gradients finds the attention maps of the clean
    images; the losses are those of the degraded ones.

    MAT's paper: we do not know whether clean images are trained on too; this
    is DeepfakeBench's way. Both passes update running statistics.

    Args:
        agda: Arguments of :class:`AGDA`.
        **kwargs: Those of the host's ``Recognizer2D``; ``cls_head`` is a
            :class:`MATHead`.
    """

    def __init__(self, agda: dict | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agda = AGDA(**(agda or {}))

    def degrade(self, inputs: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """:class:`AGDA` of clips' frames, ``(N, T, 3, H, W)``."""
        images, drawn = self.agda(inputs.flatten(0, 1), maps)
        return images.unflatten(0, inputs.shape[:2]), drawn

    def loss(
        self, inputs: Tensor, data_samples: SampleList, **unused: object
    ) -> dict[str, Tensor]:
        """The head's losses of degraded images."""
        with torch.no_grad():
            _, middle, _ = self.extract_feat(inputs)[0]
            maps = self.cls_head.attention(middle)
        # Before github.com/pytorch/pytorch/pull/165068 autocast hands on the
        # weights that it cast here, without gradients.
        torch.clear_autocast_cache()
        degraded, _ = self.degrade(inputs, maps)
        return super().loss(degraded, data_samples)


@MODELS.register_module()
class PairedMATRecognizer(MATRecognizer):
    """Trains on clean and degraded images, as the authors' public code.

    To the losses of clean images come ``loss_cls_agda``, the classification
    loss of degraded ones, and ``loss_match``: descriptors of both should
    agree, except under the map that was blurred. In the public code degraded
    images move the centres as well, though their regional independence loss
    has no weight; here they do not.

    Args:
        agda_weight: Of loss_cls_agda.
        match_weight: Of loss_match.
        **kwargs: Those of :class:`MATRecognizer`.
    """

    def __init__(
        self,
        agda_weight: float = 1.0,
        match_weight: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.agda_weight = agda_weight
        self.match_weight = match_weight

    def loss(
        self, inputs: Tensor, data_samples: SampleList, **_: object
    ) -> dict[str, Tensor]:
        head = self.cls_head
        labels = frame_labels(data_samples, inputs.shape[1], inputs.device)
        clean = head.look(self.extract_feat(inputs)[0])
        degraded, drawn = self.degrade(inputs, clean.maps)
        blurred = head.look(self.extract_feat(degraded)[0])
        return dict(
            **head.losses(clean, labels),
            loss_cls_agda=self.agda_weight
            * head.loss_cls(blurred.logits, labels),
            loss_match=self.match_weight
            * match_loss(clean.descriptors, blurred.descriptors, drawn),
        )


def match_loss(clean: Tensor, blurred: Tensor, drawn: Tensor) -> Tensor:
    """Mean distance of descriptors, 0 under the maps that were blurred.

    Args:
        clean: ``(B, M, C)``.
        blurred: ``(B, M, C)``.
        drawn: Index of the blurred map, ``(B,)``.
    """
    distances = (blurred - clean).norm(dim=-1)
    return (distances * (1 - F.one_hot(drawn, clean.shape[1]))).mean()
