"""Facts about C3D for eight frames, against the host's for sixteen."""

import pytest
import torch
from mmaction.models.backbones import C3D
from mmcv.cnn import ConvModule
from torch import nn

from gml_mmaction.models import AdaptiveC3D
from gml_mmaction.models.c3d import CHANNELS


def narrow(model, width):
    """The host's own network with our narrow layers, its pooling kept."""
    host = C3D()
    for name, layer in model.named_children():
        if isinstance(layer, (ConvModule, nn.Linear)):
            setattr(host, name, layer)
    return host.eval()


@pytest.mark.slow
@torch.no_grad()
def test_it_is_the_hosts_network_at_16_frames_of_112():
    model = AdaptiveC3D(width=1 / 16, init_std=0.05).eval()
    model.init_weights()
    clip = torch.randn(1, 3, 16, 112, 112)
    expected = narrow(model, 1 / 16)(clip)
    assert torch.equal(model(clip), expected)
    assert expected.abs().max() > 0
    model.conv4b.conv.weight[0] *= 1.1
    assert not torch.equal(model(clip), expected)


@pytest.mark.slow
def test_the_hosts_network_cannot_read_eight_frames():
    """Says when the subclass may go."""
    host = narrow(AdaptiveC3D(width=1 / 64), 1 / 64)
    with pytest.raises(RuntimeError):
        host(torch.zeros(1, 3, 8, 112, 112))


def test_weights_have_the_hosts_names_and_shapes():
    with torch.device('meta'):
        ours, host = AdaptiveC3D(), C3D()
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {k: v.shape for k, v in host.state_dict().items()}


def test_layers_have_the_channels_and_kernels_that_are_rebuilt():
    with torch.device('meta'):
        host = C3D()
    for name, channels in CHANNELS.items():
        conv = getattr(host, name).conv
        assert conv.out_channels == channels
        assert conv.kernel_size == (3, 3, 3)
        assert conv.padding == (1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('frames', 'size'), [(8, 64), (8, 75), (8, 224), (8, 299), (32, 112)]
)
@torch.no_grad()
def test_any_size_leaves_as_many_features(frames, size):
    model = AdaptiveC3D(width=1 / 64).eval()
    assert model(torch.zeros(1, 3, frames, size, size)).shape == (1, 64)


def test_the_last_pooling_takes_the_maximum_of_each_part():
    """Hand-made: 1 step of 14 x 14, whose parts are 3, 4, 4 and 3 wide."""
    pool = AdaptiveC3D(width=1 / 64).pool5
    x = torch.arange(196.0).view(1, 1, 1, 14, 14)
    last = [2, 6, 10, 13]
    expected = [[14.0 * row + column for column in last] for row in last]
    assert pool(x)[0, 0, 0].tolist() == expected


@torch.no_grad()
def test_clips_in_a_batch_do_not_leak():
    model = AdaptiveC3D(width=1 / 16, init_std=0.05).eval()
    model.init_weights()
    x = torch.randn(2, 3, 8, 64, 64)
    torch.testing.assert_close(model(x)[1:], model(x[1:]))
