"""Another order in memory changes how fast a network is, not what it says."""

from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny import REPO

from gml_mmaction.engine import ChannelsLastHook

CONFIG = REPO / 'configs/genuine/tsm_mobilenet-v2-small-112_genuine.py'


@pytest.fixture(scope='module')
def backbone():
    init_default_scope('mmaction')
    torch.manual_seed(0)
    settings = Config.fromfile(CONFIG).model.backbone
    model = MODELS.build(dict(settings, widen_factor=0.25))
    model.eval()
    return model


def test_maps_lie_channel_by_channel_and_have_the_same_values(backbone):
    x = torch.randn(8, 3, 32, 32)
    before = backbone(x)
    state = {
        name: value.clone() for name, value in backbone.named_parameters()
    }
    ChannelsLastHook().before_run(SimpleNamespace(model=backbone))
    after = backbone(x)
    assert after.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    for name, value in backbone.named_parameters():
        assert torch.equal(value, state[name]), name


def test_a_checkpoint_of_the_other_order_keeps_it(backbone):
    state = {name: v.contiguous() for name, v in backbone.state_dict().items()}
    weight = backbone.conv1.conv.weight
    weight.data = weight.data.to(memory_format=torch.channels_last)
    backbone.load_state_dict(state)
    assert weight.is_contiguous(memory_format=torch.channels_last)
