"""Facts about I3D's own backbone, the inflated Inception-v1."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from networks import randomise
from torch import nn

from gml_mmaction.models import InceptionI3D
from gml_mmaction.models.inception_i3d import (
    MIXED,
    MaxPool3dSame,
    Mixed,
    Unit3D,
    pad_same,
)

SMALL = dict(width=1 / 16)


@pytest.mark.parametrize(
    ('size', 'kernel', 'stride', 'before', 'after'),
    [
        (224, 7, 2, 2, 3),
        (8, 7, 2, 2, 3),
        (75, 7, 2, 3, 3),
        (112, 3, 2, 0, 1),
        (19, 3, 2, 1, 1),
        (5, 3, 1, 1, 1),
        (4, 2, 2, 0, 0),
        (1, 2, 2, 0, 1),
        (9, 1, 1, 0, 0),
    ],
)
def test_same_padding_is_that_of_tensorflow(
    size, kernel, stride, before, after
):
    """Hand-computed; along one axis, none along the others."""
    x = torch.ones(1, 1, size)
    padded = pad_same(x, (1, 1, kernel), (1, 1, stride))
    expected = [0.0] * before + [1.0] * size + [0.0] * after
    assert padded.flatten().tolist() == expected


def test_same_padding_keeps_the_axes_apart():
    x = torch.ones(1, 2, 4, 5)
    padded = pad_same(x, (3, 3, 1), (1, 2, 1))
    assert padded.shape == (1, 4, 5, 5)
    assert padded[0, :, :, 0].tolist() == [
        [0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]


@torch.no_grad()
def test_a_unit_is_convolution_batch_norm_and_relu():
    unit = randomise(Unit3D(2, 3, kernel=3)).eval()
    x = torch.randn(1, 2, 4, 5, 5)
    conv = F.conv3d(x, unit.conv3d.weight, padding=1)
    mean, var, weight, bias = (
        t.view(-1, 1, 1, 1)
        for t in (
            unit.bn.running_mean,
            unit.bn.running_var,
            unit.bn.weight,
            unit.bn.bias,
        )
    )
    expected = ((conv - mean) / (var + 0.001).sqrt() * weight + bias).relu()
    torch.testing.assert_close(unit(x), expected)


def test_zeros_around_a_pooling_change_nothing_that_is_not_negative():
    x = torch.rand(1, 2, 4, 6, 6)
    expected = F.max_pool3d(x, 3, 1, padding=1)
    assert torch.equal(MaxPool3dSame((3,) * 3, (1,) * 3)(x), expected)


@torch.no_grad()
def test_a_mixed_layer_concatenates_its_branches_in_order():
    mixed = randomise(Mixed(4, (1, (2, 3), (4, 5), 6))).eval()
    x = torch.rand(2, 4, 2, 4, 4)
    parts = mixed(x).split([1, 3, 5, 6], dim=1)
    assert torch.equal(parts[0], mixed.b0(x))
    assert torch.equal(parts[1], mixed.b1b(mixed.b1a(x)))
    assert torch.equal(parts[2], mixed.b2b(mixed.b2a(x)))
    pooled = F.max_pool3d(x, 3, 1, padding=1)
    assert torch.equal(parts[3], mixed.b3b(pooled))


def test_mixed_layers_have_the_published_channels():
    """Of Inception-v1 ("Going deeper with convolutions")."""
    outputs = [a + b[1] + c[1] + d for a, b, c, d in MIXED.values()]
    assert outputs == [256, 480, 512, 512, 512, 528, 832, 832, 1024]


@pytest.mark.parametrize(
    ('frames', 'size', 'expected'),
    [
        (8, 64, (1, 2, 2)),
        (8, 100, (1, 4, 4)),
        (8, 224, (1, 7, 7)),
        (8, 299, (1, 10, 10)),
        (16, 112, (2, 4, 4)),
        (1, 64, (1, 2, 2)),
    ],
)
@torch.no_grad()
def test_every_size_is_divided_and_rounded_up(frames, size, expected):
    backbone = InceptionI3D(**SMALL).eval()
    out = backbone(torch.zeros(1, 3, frames, size, size))
    assert out.shape == (1, 64, *expected)


def test_the_public_checkpoint_loads_by_its_names(tmp_path):
    """A file as old PyTorch wrote it, with a classifier and no counters."""
    source = randomise(InceptionI3D(**SMALL))
    published = {
        key: value
        for key, value in source.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    published['logits.conv3d.weight'] = torch.ones(400, 64, 1, 1, 1)
    published['logits.conv3d.bias'] = torch.ones(400)
    file = tmp_path / 'rgb_imagenet.pt'
    torch.save(published, file, _use_new_zipfile_serialization=False)
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    loaded = MODELS.build(
        dict(type='InceptionI3D', init_cfg=init_cfg, **SMALL)
    )
    loaded.init_weights()
    for key, value in loaded.state_dict().items():
        if key in published:
            assert torch.equal(value, published[key]), key


def test_names_are_those_of_the_public_checkpoint():
    names = set(InceptionI3D(**SMALL).state_dict())
    units = {name.rsplit('.', 2)[0] for name in names}
    mixed = ('3b', '3c', '4b', '4c', '4d', '4e', '4f', '5b', '5c')
    branches = ('b0', 'b1a', 'b1b', 'b2a', 'b2b', 'b3b')
    assert units == {
        *('Conv3d_1a_7x7', 'Conv3d_2b_1x1', 'Conv3d_2c_3x3'),
        *(f'Mixed_{name}.{b}' for name in mixed for b in branches),
    }
    assert {name.split('.', 1)[1] for name in names if 'Conv' in name} == {
        'conv3d.weight',
        'bn.weight',
        'bn.bias',
        'bn.running_mean',
        'bn.running_var',
        'bn.num_batches_tracked',
    }


@torch.no_grad()
def test_clips_in_a_batch_do_not_leak():
    backbone = randomise(InceptionI3D(**SMALL)).eval()
    x = torch.randn(2, 3, 8, 64, 64)
    torch.testing.assert_close(backbone(x)[1:], backbone(x[1:]))


def test_no_activation_is_changed_before_it_is_read_again():
    """ReLUs work in place; autograd would refuse a wrong one."""
    backbone = InceptionI3D(**SMALL).train()
    backbone(torch.randn(2, 3, 8, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())
    assert isinstance(backbone, nn.Sequential)
