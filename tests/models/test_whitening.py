"""A whitened convolution weighs the fine and the coarse of patches alike."""

import numpy as np
import pytest
import torch
from torch import nn

from gml_mmaction.errors import SettingError
from gml_mmaction.models.whitening import whiten


def smooth_clips(number=24, frames=8, size=32, fine=0.02):
    """Shades of light that stand still, and fine grain that changes."""
    rng = np.random.default_rng(0)
    shade = rng.normal(size=(number, 3, 1, size // 8, size // 8))
    shade = shade.repeat(8, axis=3).repeat(8, axis=4).repeat(frames, axis=2)
    grain = rng.normal(size=(number, 3, frames, size, size))
    clips = torch.tensor(shade + fine * grain, dtype=torch.float32)
    return clips, torch.tensor(fine * grain, dtype=torch.float32)


def share(convolution, clips, grain):
    """How much of the outputs' variance is that of the grain."""
    with torch.no_grad():
        whole = convolution(clips).var()
        bare = nn.functional.conv3d(
            grain, convolution.weight, stride=convolution.stride
        )
    return float(bare.var() / whole)


def convolution_of_patches():
    torch.manual_seed(0)
    return nn.Conv3d(3, 64, (2, 8, 8), (2, 8, 8))


def test_what_is_fine_is_as_large_as_what_is_coarse():
    clips, grain = smooth_clips()
    random, whitened = convolution_of_patches(), convolution_of_patches()
    whiten(whitened, clips, 0.001, torch.Generator().manual_seed(0))
    assert share(random, clips, grain) < 0.01
    assert share(whitened, clips, grain) > 0.9  # 381 of 384 components


def test_less_than_the_noise_is_not_amplified():
    clips, grain = smooth_clips()
    whitened = convolution_of_patches()
    whiten(whitened, clips, 1.0, torch.Generator().manual_seed(0))
    assert share(whitened, clips, grain) < 0.1


def test_outputs_have_mean_0_and_together_variance_1():
    clips, _ = smooth_clips()
    whitened = convolution_of_patches()
    whiten(whitened, clips, 0.001, torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = whitened(clips)
    assert abs(float(out.mean())) < 0.05
    assert float(out.std()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize('layer', [nn.Conv2d(3, 500, 5), nn.Conv3d(3, 500, 3)])
def test_filters_are_the_inverse_root_of_the_covariance(layer):
    """Of many random sums W'W is, up to a scale, the covariance's inverse."""
    rng = np.random.default_rng(1)
    size = 5 * (layer.weight.dim() - 2)
    shape = (40, 3, *(size for _ in range(layer.weight.dim() - 2)))
    maps = torch.tensor(rng.normal(size=shape), dtype=torch.float32)
    maps[:, 1] += 2 * maps[:, 0]
    patches = []
    kernel = layer.kernel_size
    for place in np.ndindex(*(size - k + 1 for k in kernel)):
        cut = tuple(
            slice(p, p + k) for p, k in zip(place, kernel, strict=True)
        )
        patches.append(maps[(slice(None), slice(None), *cut)].flatten(1))
    covariance = np.cov(torch.cat(patches).numpy().T, bias=True)
    expected = np.linalg.inv(covariance)
    layer.weight.data = torch.zeros(10 * 500, *layer.weight.shape[1:])
    layer.bias = None
    layer.out_channels = 10 * 500
    whiten(layer, maps, 0.0, torch.Generator().manual_seed(0))
    weight = layer.weight.detach().flatten(1).numpy()
    found = weight.T @ weight
    found *= np.trace(expected) / np.trace(found)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 0.25  # 20,000 patches and 5,000 filters are samples


@pytest.mark.parametrize('setting', [dict(groups=3), dict(dilation=2)])
def test_a_convolution_that_reads_no_patches_is_refused(setting):
    layer = nn.Conv2d(3, 6, 3, **setting)
    with pytest.raises(SettingError, match='reads no patches'):
        whiten(layer, torch.rand(2, 3, 16, 16), 0.01, torch.Generator())
