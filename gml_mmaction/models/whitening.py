"""A convolution that starts as a random whitening of what it reads."""

import torch
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

__all__ = ['whiten']

PLACES = 20000  # as many patches as are looked at, of all that there are


def whiten(
    convolution: nn.Conv2d | nn.Conv3d,
    inputs: Tensor,
    noise: float,
    generator: torch.Generator,
) -> None:
    """Give a convolution random filters that weigh fine and coarse alike.

    What differs between patches of pictures is smooth for the greatest part;
    a random filter sees little else. Here each filter is a random sum of the
    patches' principal components, all scaled to one variance, so that what
    changes between two frames, or at an edge, is as large as a shade of light.
    The filters' outputs have mean 0 and, all together, variance 1.

    After Coates, Ng & Lee, "An analysis of single-layer networks in
    unsupervised feature learning" (2011), whose filters are learned from
    whitened patches, and 2404.00498, Sec. 3.2, whose first layer is the
    patches' principal components, scaled so; random sums of them are ours, for
    layers with fewer filters than a patch has components.

    Args:
        convolution: Changed in place.
        inputs: What it reads, ``(N, C, H, W)`` or ``(N, C, T, H, W)``.
        noise: Components of a smaller standard deviation are not brought to
            the variance of the others; in the units of ``inputs``.
        generator: Of the places and the sums.

    Raises:
        SettingError: It has groups or holes, which no patch has.
    """
    groups, holes = convolution.groups, max(convolution.dilation)
    if groups > 1 or holes > 1:
        raise SettingError(
            f'a convolution with groups={groups} and a dilation of {holes} '
            'reads no patches that could be whitened'
        )
    patches = _patches(convolution, inputs, generator)
    mean = patches.mean(0)
    patches = patches - mean
    covariance = patches.T @ patches / len(patches)
    variances, components = torch.linalg.eigh(covariance)
    scale = (variances.clamp(min=0) + noise**2).rsqrt()
    weight = torch.randn(
        (convolution.out_channels, len(mean)),
        generator=generator,
        dtype=patches.dtype,
    )
    weight = weight @ (components * scale) @ components.T
    weight /= ((weight @ covariance) * weight).sum(1).mean().sqrt()
    with torch.no_grad():
        convolution.weight.copy_(weight.reshape(convolution.weight.shape))
        if convolution.bias is not None:
            convolution.bias.copy_(-weight @ mean)


def _patches(
    convolution: nn.Conv2d | nn.Conv3d,
    inputs: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Patches at random places, ``(PLACES, C * kernel)``, without padding."""
    view = inputs.detach().cpu().movedim(1, -1)
    sizes = zip(convolution.kernel_size, convolution.stride, strict=True)
    for axis, (size, stride) in enumerate(sizes, start=1):
        view = view.unfold(axis, int(size), int(stride))
    axes = view.ndim - 1 - len(convolution.kernel_size)
    places = [
        torch.randint(length, (PLACES,), generator=generator)
        for length in view.shape[:axes]
    ]
    return view[tuple(places)].reshape(PLACES, -1).double()
