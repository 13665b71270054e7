"""RECCE: reconstruct real faces, classify by what resists (CVPR 2022).

"End-to-End Reconstruction-Classification Learning for Face Forgery
Detection", Cao et al.: Xception as the encoder, a decoder that learns to
reconstruct real faces only, graph reasoning over features of encoder and
decoder, attention where the reconstruction fails.

RECCE's paper: its text was not at hand. Structure, losses and values are
those of the authors' public code (VISION-SJTU/RECCE).

Shapes: M = N*T frames of N clips, the frame index fastest; images are
``(M, 3, H, W)`` in [-1, 1]. h x w is the size of the encoder's middle flow,
14 x 14 at 224. Class 0 is real, class 1 is fake.
"""

from functools import reduce

import torch
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor, nn
from torch.nn import functional as F

from gml_mmaction.errors import SettingError

from .forgery_head import REAL
from .frame_wise import FrameHead, frame_labels, stretch
from .gml_head import real_l1
from .xception import Block, SeparableConv2d, Xception


def add_white_noise(images: Tensor, std: float) -> Tensor:
    """Gaussian noise on each image with probability 1/2, cut to [-1, 1]."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) > 0.5
    return (images + std * torch.randn_like(images) * chosen).clamp(-1, 1)


def perceptron(before: int, after: int) -> nn.Sequential:
    """Two layers that see one position at a time."""
    return nn.Sequential(
        nn.Conv2d(before, after, 1, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 1, bias=False),
    )


class Decoder(nn.Module):
    """From the embedding back to the image, doubling its size three times.

    Args:
        channels: C0 of the embedding, then C1, C2, C3 after each doubling.

    Returns:
        The image, ``(M, 3, 8h, 8w)`` in [-1, 1], and the features on the
        way, ``(M, C1, 2h, 2w)`` and ``(M, C2, 4h, 4w)``.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        c0, c1, c2, c3 = channels
        self.double1 = self.doubling(c0, c1)
        self.block1 = Block((c1,) * 4, 1, None)
        self.double2 = self.doubling(c1, c2)
        self.block2 = Block((c2,) * 4, 1, None)
        self.double3 = self.doubling(c2, c3)
        self.to_image = nn.Conv2d(c3, 3, 1, bias=False)

    @staticmethod
    def doubling(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.UpsamplingNearest2d(scale_factor=2),
            SeparableConv2d(before, after, None),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        f1 = self.block1(self.double1(embedding))
        f2 = self.block2(self.double2(f1))
        return self.to_image(self.double3(f2)).tanh(), f1, f2


class Gathering(nn.Module):
    """What each coarse position takes from the ratio^2 finer ones under it.

    A bipartite graph: a coarse position is tied to the finer positions of
    its cell alone. Their weights, a softmax over the cell, come from a linear
    score of both ends of a tie. A gate of the coarse features says how much
    is not needed.

    Args:
        coarse: Channels of the coarse map.
        fine: Channels of the finer map.
        hidden: Channels of nodes.
        ratio: Of the sides of the two maps.
    """

    def __init__(
        self, coarse: int, fine: int, hidden: int, ratio: int
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.embed = perceptron(fine, hidden)
        self.gate = nn.Conv2d(coarse, hidden, 1, bias=False)
        self.score = nn.Conv2d(2 * hidden, 1, 1, bias=False)

    def tie_weights(self, centres: Tensor, nodes: Tensor) -> Tensor:
        """Weights of the finer positions, ``(M, 1, ratio*h, ratio*w)``."""
        # A linear score of [centre, node] is the sum of two: the centre's
        # is computed once, not once for each of its ties.
        of_centre, of_node = self.score.weight.chunk(2, dim=1)
        cells = F.pixel_unshuffle(F.conv2d(nodes, of_node), self.ratio)
        scores = F.conv2d(centres, of_centre) + cells  # (M, ratio^2, h, w)
        return F.pixel_shuffle(scores.relu().softmax(dim=1), self.ratio)

    def forward(self, coarse: Tensor, centres: Tensor, fine: Tensor) -> Tensor:
        """``(M, hidden, h, w)``; ``centres`` are the embedded ``coarse``."""
        nodes = self.embed(fine)
        weighted = nodes * self.tie_weights(centres, nodes)
        total = F.avg_pool2d(weighted, self.ratio, divisor_override=1)
        return total * (1 - self.gate(coarse).sigmoid())


class GraphReasoning(nn.Module):
    """Encoder features enriched by the decoder's, at two finer scales.

    Args:
        channels: Of the encoder's features, and of the result.
        fine: Channels of the decoder's features, 2 and 4 times as large.
        hidden: Channels of nodes.
        drop_rate: Of the dropout of the result.
    """

    def __init__(
        self,
        channels: int,
        fine: tuple[int, int],
        hidden: int,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.embed = perceptron(channels, hidden)
        self.gather = nn.ModuleList(
            Gathering(channels, c, hidden, ratio)
            for c, ratio in zip(fine, (2, 4))
        )
        self.project = perceptron(3 * hidden, channels)
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, coarse: Tensor, *fine: Tensor) -> Tensor:
        centres = self.embed(coarse)
        nodes = [
            gather(coarse, centres, f) for gather, f in zip(self.gather, fine)
        ]
        all_nodes = torch.cat([*nodes, centres], dim=1).sigmoid()
        return self.dropout(self.project(all_nodes))


class GuidedAttention(nn.Module):
    """Attention to where the reconstruction differs from the image.

    Args:
        channels: Of the features.
        drop_rate: Of the dropout of the features that are added.
    """

    def __init__(self, channels: int, drop_rate: float) -> None:
        super().__init__()
        self.attend = nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(3, 1, 1, bias=False),
            nn.Sigmoid(),
        )
        self.transform = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(drop_rate)

    def forward(
        self, images: Tensor, rebuilt: Tensor, features: Tensor
    ) -> Tensor:
        difference = stretch((images - rebuilt).abs(), features.shape[2:])
        attention = self.attend(difference)  # (M, 1, h, w)
        return attention * self.transform(features) + self.dropout(features)


@MODELS.register_module()
class RECCE(Xception):
    """Xception with a decoder, graph reasoning and guided attention.

    block1 to block4 encode; the decoder reconstructs the image from there.
    Graph reasoning adds the decoder's features to those of block7, guided
    attention follows block8. The classification's gradient passes through
    the reconstruction as well, as in the public code.

    Modules of the encoder bear Xception's names, so that ``init_cfg`` loads
    the public ImageNet checkpoints; the authors start from one, here nothing
    is downloaded unasked. Their encoder keeps the 1000-way ImageNet
    classifier unused, which is left out.

    Args:
        width: Factor on all channels, above 0; 1 is the published network.
        middle_blocks: Number of middle blocks, 5 to 8, 8 in the published
            network.
        drop_rate: Of every dropout in the backbone.
        noise_std: Of the white noise on half of the training images, in
            units of [-1, 1]. The published 1e-6 hardly shows in float32 and
            is lost in bfloat16.
        norm_eval: Keep batch normalisation in evaluation mode in training.
        init_cfg: MMEngine's initialisation config.

    Returns:
        For images ``(M, 3, H, W)`` in [-1, 1], which mean = std = 127.5
        gives (the noise cuts to it): the last features, the reconstruction
        and the clean images, ``(M, 3, H, W)`` both, and the embeddings of
        block4 and of the decoder's two stages, averaged over space,
        ``(M, C)`` each.

    Raises:
        SettingError: Fewer than 5 middle blocks or more than 8.
    """

    def __init__(
        self,
        width: float = 1.0,
        middle_blocks: int = 8,
        drop_rate: float = 0.2,
        noise_std: float = 1e-6,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if middle_blocks < 5:
            raise SettingError(
                f'middle_blocks={middle_blocks}: use 5 to 8, for guided '
                'attention follows the fifth, block8'
            )
        super().__init__(
            width=width,
            middle_blocks=middle_blocks,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
        self.noise_std = noise_std
        blocks = self.block1, self.block2, self.block3
        c128, c256, c728 = (block.out_channels for block in blocks)
        # The decoder mirrors the encoder.
        channels = c728, c256, c128, self.conv2.out_channels
        self.dropout = nn.Dropout(drop_rate)
        self.decoder = Decoder(channels)
        self.reasoning = GraphReasoning(c728, (c256, c128), c256, drop_rate)
        self.attention = GuidedAttention(c728, drop_rate)
        self.to(memory_format=torch.channels_last)

    def run_stages(self, names: list[str], x: Tensor) -> Tensor:
        for name in names:
            x = self.run_stage(name, x)
        return x

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        images = seen = self.fold(x)
        if self.training:
            seen = add_white_noise(images, self.noise_std)
        embedding = self.run_stages(self.stages[:4], self.stem(seen))
        small, *fine = self.decoder(self.dropout(embedding))
        rebuilt = stretch(small, images.shape[2:])

        x = self.run_stages(self.stages[4:7], embedding)  # to block7
        x = self.block8(x + self.reasoning(x, *fine))
        x = self.attention(images, rebuilt, x)
        x = self.run_stages(self.stages[8:], x)
        embeddings = (f.mean(dim=(2, 3)) for f in (embedding, *fine))
        return (x, rebuilt, images, *embeddings)


def flooded(loss: Tensor, level: float) -> Tensor:
    """The loss, whose gradient changes its sign below ``level``."""
    return (loss - level).abs() + level


def mean_similarity(cosines: Tensor, pairs: Tensor) -> Tensor:
    """Mean (1 + cosine) / 2, from the cosines' sum; 0 without a pair."""
    return (cosines + pairs) / 2 / pairs.clamp(min=1)


def metric_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """1 - mean similarity of real pairs + mean similarity of mixed pairs.

    The similarity of two embeddings is (1 + cosine) / 2, in [0, 1]; fakes are
    not drawn together. All pairs of frames that one process sees count, those
    within a clip too: the public code draws single frames, which are seldom
    of one video, and treats them alike if they are. A mean over no pair is 0:
    with one real frame the mixed pairs remain; without any the loss is 1 and
    its gradient 0.

    The public code puts max(0, .) around each embedding's loss, which cannot
    act, since neither mean leaves [0, 1].

    Args:
        embeddings: ``(M, C)``.
        labels: ``(M,)``, 0 = real.
    """
    unit = F.normalize(embeddings.float(), dim=1)
    is_real = (labels == REAL).to(unit)[:, None]
    num_real, num_fake = is_real.sum(), (1 - is_real).sum()
    # The cosines of all pairs sum to the product of the vectors' sums.
    real, fake = (unit * is_real).sum(dim=0), (unit * (1 - is_real)).sum(dim=0)
    with_themselves = (unit * is_real).square().sum()
    among_real = mean_similarity(
        real.square().sum() - with_themselves, num_real * (num_real - 1)
    )
    mixed = mean_similarity((real * fake).sum(), num_real * num_fake)
    return 1 - among_real + mixed


@MODELS.register_module()
class RECCEHead(FrameHead):
    """Frame-wise classifier of RECCE, and the three losses.

    loss_cls is the flooded cross-entropy, loss_rec the mean L1 distance of
    real images and their reconstructions (see :func:`real_l1`), loss_metric
    the sum of :func:`metric_loss` over the embeddings, both weighted.

    RECCE's paper: the public code has one logit with a binary cross-entropy.
    The difference of our two logits is that logit, and the cross-entropy of
    their softmax the same function of it; only the optimiser sees two
    weights where it saw one.

    Args:
        in_channels: Channels of the last features.
        dropout_ratio: Of the dropout before the classifier.
        flood_level: Where the classification loss is held; 0 is the plain
            cross-entropy.
        weight_rec: Of loss_rec.
        weight_metric: Of loss_metric.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int = 2048,
        dropout_ratio: float = 0.2,
        flood_level: float = 0.04,
        weight_rec: float = 0.1,
        weight_metric: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, dropout_ratio, init_cfg=init_cfg)
        self.flood_level = flood_level
        self.weight_rec = weight_rec
        self.weight_metric = weight_metric

    def forward(self, feats: tuple[Tensor, ...], **_: object) -> Tensor:
        """Logits of frames, ``(M, 2)``, float32, of RECCE's output."""
        return super().forward(feats[0])

    def loss(
        self,
        feats: tuple[Tensor, ...],
        data_samples: SampleList,
        num_segs: int = 1,
        **_: object,
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_rec`` and ``loss_metric``, which are summed."""
        rebuilt, images, *embeddings = feats[1:]
        loss_cls = super().loss(feats, data_samples, num_segs)['loss_cls']
        labels = frame_labels(data_samples, num_segs, images.device)
        metrics = [metric_loss(e, labels) for e in embeddings]
        return dict(
            loss_cls=flooded(loss_cls, self.flood_level),
            loss_rec=self.weight_rec * real_l1(rebuilt - images, labels),
            loss_metric=self.weight_metric * reduce(torch.add, metrics),
        )
