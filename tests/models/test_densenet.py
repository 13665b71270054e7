"""Facts about DenseNet, against published numbers and a plain loop."""

import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.analysis import get_model_complexity_info
from networks import randomise
from torch.nn import functional as F

from gml_mmaction.models import DenseNet
from gml_mmaction.models.densenet import DenseBlock, Transition

SMALL = dict(growth_rate=4, block_config=(2, 3), init_channels=8)


def batch_norm(x, norm):
    statistics = norm.running_mean, norm.running_var
    return F.batch_norm(x, *statistics, norm.weight, norm.bias)


def test_densenet_121_has_the_published_parameters():
    # 7,978,856 with the 1000-way classifier, of which 1,025,000 are its.
    parameters = sum(p.numel() for p in DenseNet().parameters())
    assert parameters == 7_978_856 - 1024 * 1000 - 1000


@pytest.mark.slow
def test_densenet_121_needs_the_published_multiplications():
    info = get_model_complexity_info(
        DenseNet().eval(), (3, 224, 224), show_table=False, show_arch=False
    )
    # torchvision lists 2.83; MMEngine's count is 1 per cent higher.
    assert info['flops'] / 1e9 == pytest.approx(2.83, rel=0.015)


@torch.no_grad()
def test_features_have_the_shape_of_the_published_network():
    backbone = DenseNet().eval()
    assert backbone(torch.zeros(1, 3, 224, 224)).shape == (1, 1024, 7, 7)
    assert backbone.block_channels == [256, 512, 1024, 1024]


@torch.no_grad()
def test_a_dense_layer_reads_all_outputs_before_it():
    block = randomise(DenseBlock(3, in_channels=5, growth_rate=2)).eval()
    x = torch.randn(2, 5, 7, 7)
    outputs = [x]
    for layer in block:
        y = torch.cat(outputs, dim=1)
        y = F.conv2d(batch_norm(y, layer.norm1).relu(), layer.conv1.weight)
        y = batch_norm(y, layer.norm2).relu()
        outputs.append(F.conv2d(y, layer.conv2.weight, padding=1))
    expected = torch.cat(outputs, dim=1)
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(block(x)[:, :5], x)  # relu in place spares the input


@torch.no_grad()
def test_a_transition_averages_two_by_two_pixels_after_its_convolution():
    transition = randomise(Transition(6, 3)).eval()
    x = torch.randn(2, 6, 4, 4)
    y = batch_norm(x, transition.norm).relu()
    y = F.conv2d(y, transition.conv.weight)
    expected = y.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(transition(x), expected)


@pytest.mark.parametrize('dotted', [False, True])
def test_imagenet_weights_load_by_their_names(tmp_path, dotted):
    """Both public files: norm1 as such, or as norm.1."""
    source = randomise(DenseNet(**SMALL)).state_dict()
    published = {'classifier.weight': torch.ones(2, 2)}
    for key, value in source.items():
        if dotted and 'denselayer' in key:
            key = re.sub(r'(norm|conv)([12])\.', r'\1.\2.', key)
        published[key] = value
    assert any('norm.1' in key for key in published) == dotted
    file = tmp_path / 'densenet.pth'
    torch.save(published, file)
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    loaded = MODELS.build(dict(type='DenseNet', init_cfg=init_cfg, **SMALL))
    loaded.init_weights()
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, source[key]), key


def test_convolutions_start_from_he_initialisation():
    torch.manual_seed(0)
    weight = DenseNet().features.denseblock4.denselayer16.conv1.weight
    fan_in = weight[0].numel()
    assert weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
