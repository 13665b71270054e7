"""Half of what is behind the first shift starts as a difference of frames."""

import pytest
import torch
from mmaction.models.backbones import MobileNetV2TSM, ResNetTSM
from torch import nn

from gml_mmaction.errors import SettingError
from gml_mmaction.models.shift_start import subtract_neighbours

FRAMES = 4


def network(**changes):
    torch.manual_seed(0)
    options = dict(num_segments=FRAMES, shift_div=8, pretrained2d=False)
    net = ResNetTSM(18, **options | changes)
    net.init_weights()
    return net


def started():
    net = network()
    name, changed = subtract_neighbours(net)
    return net, name, changed


@torch.no_grad()
def behind(net, name, frames):
    """What the convolution behind the first shift gives, ``(T, C, H, W)``."""
    given = []
    shift = net.get_submodule(name)
    hook = shift.register_forward_hook(lambda _, __, out: given.append(out))
    net.train()  # gives nothing back
    net(frames)
    hook.remove()
    return given[0]


def test_of_a_still_clip_half_of_the_channels_are_zero():
    """But at its ends, where TSM has zeros for the frame that is not there."""
    net, name, _ = started()
    still = torch.randn(1, 3, 32, 32).expand(FRAMES, -1, -1, -1)
    middle = behind(net, name, still)[1:-1]
    assert float(middle[:, :32].abs().max()) < 1e-5
    assert float(middle[:, 32:].abs().max()) > 0.1


@torch.no_grad()
def test_half_of_the_channels_are_frames_minus_the_mean_of_neighbours():
    net, name, _ = started()
    frames = torch.randn(FRAMES, 3, 32, 32)
    net.train()
    maps = net.maxpool(net.conv1(frames))
    weight = net.get_submodule(name).net.weight[:32, 16:24]
    for t in (1, 2):
        change = maps[t] - (maps[t - 1] + maps[t + 1]) / 2
        expected = nn.functional.conv2d(change[16:24], weight, padding=1)
        found = behind(net, name, frames)[t, :32]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_rest_stays_as_it_was():
    before = network().state_dict()
    net, name, changed = started()
    after = net.state_dict()
    other = [key for key in after if not torch.equal(after[key], before[key])]
    assert name == 'layer1.0.conv1.conv'
    assert other == ['conv1.conv.weight', f'{name}.net.weight']
    assert len(changed) == 2
    for key, kept in zip(
        other, (slice(16, None), slice(32, None)), strict=True
    ):
        assert torch.equal(after[key][kept], before[key][kept])


@pytest.mark.parametrize(
    'other',
    [
        lambda: nn.Conv2d(3, 8, 3),
        lambda: network(shift_div=2),
        lambda: MobileNetV2TSM(num_segments=FRAMES, pretrained2d=False),
        lambda: network(shift_place='block'),
    ],
)
def test_another_network_is_refused(other):
    net = other()
    if hasattr(net, 'init_weights'):
        net.init_weights()
    with pytest.raises(SettingError, match='leave out DifferenceStartHook'):
        subtract_neighbours(net)
