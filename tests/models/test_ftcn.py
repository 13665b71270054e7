"""Facts about FTCN, against a network written pixel by pixel."""

import pytest
import torch
from mmaction.models.backbones import ResNet3d
from networks import randomise, relative_error
from torch.nn import functional as F

from gml_mmaction.errors import SettingError
from gml_mmaction.models import FTCN, TimeTransformerHead
from gml_mmaction.models.attention import TransformerLayer

# A bottleneck network of few channels: stages of 1, 2 and 1 blocks.
SMALL = dict(
    depth=50,
    stage_blocks=(1, 2, 1),
    num_stages=3,
    out_indices=(2,),
    base_channels=4,
    spatial_strides=(1, 2, 2),
    temporal_strides=(1, 1, 1),
    dilations=(1, 1, 1),
    conv1_kernel=(5, 7, 7),
    inflate=((1,), (1, 0), (1,)),
)


def trunk(kind=FTCN):
    torch.manual_seed(0)
    network = randomise(kind(**SMALL))
    network.eval()  # the host's gives nothing back
    return network


def through_time(x, state, name):
    """Convolution and batch norm of each pixel's own sequence."""
    n, _, t, h, w = x.shape
    kernel = state[f'{name}.conv.weight']
    assert kernel.shape[3:] == (1, 1)
    pixels = x.permute(0, 3, 4, 1, 2).flatten(0, 2)
    kernel = kernel[..., 0, 0]
    pixels = F.conv1d(pixels, kernel, padding=kernel.shape[-1] // 2)
    norm = [
        state[f'{name}.bn.{part}']
        for part in ('running_mean', 'running_var', 'weight', 'bias')
    ]
    pixels = F.batch_norm(pixels, *norm)
    return pixels.view(n, h, w, -1, t).permute(0, 3, 4, 1, 2)


def halve(x):
    """The largest of each 2x2 pixels."""
    return x.unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).amax(dim=(4, 6))


def reference(x, state):
    """The same, pooled in front of the ReLUs as it is published."""
    x = halve(through_time(x, state, 'conv1')).relu()
    n, _, t, _, _ = x.shape
    x = F.max_pool2d(x.transpose(1, 2).flatten(0, 1), 3, 2, 1)
    x = x.unflatten(0, (n, t)).transpose(1, 2)
    for stage, blocks in enumerate(SMALL['stage_blocks'], start=1):
        for block in range(blocks):
            name = f'layer{stage}.{block}'
            pool = halve if stage > 1 and block == 0 else lambda x: x
            out = through_time(x, state, f'{name}.conv1').relu()
            out = pool(through_time(out, state, f'{name}.conv2')).relu()
            out = through_time(out, state, f'{name}.conv3')
            if block == 0:
                x = pool(through_time(x, state, f'{name}.downsample'))
            x = (x + out).relu()
        if stage == 1:
            x = x.unflatten(2, (-1, 2)).amax(dim=3)
    return x


@torch.no_grad()
def test_the_trunk_equals_one_that_runs_over_each_pixel_alone():
    network = trunk()
    clip = torch.randn(2, 3, 8, 32, 32)
    ours = network(clip)
    assert ours.shape == (2, 64, 4, 2, 2)
    assert relative_error(ours, reference(clip, network.state_dict())) < 1e-5


def test_no_convolution_looks_at_a_neighbour():
    convolutions = [
        module
        for module in FTCN(**SMALL).modules()
        if isinstance(module, torch.nn.Conv3d)
    ]
    assert len(convolutions) == 1 + 4 * 3 + 3
    for conv in convolutions:
        assert conv.kernel_size[1:] == (1, 1)
        assert conv.stride == (1, 1, 1)
        assert conv.padding == (conv.kernel_size[0] // 2, 0, 0)


@pytest.mark.parametrize(('kind', 'blind'), [(FTCN, True), (ResNet3d, False)])
@torch.no_grad()
def test_places_shuffled_alike_in_all_frames_keep_their_average(kind, blind):
    """Before the first pooling; I3D, for comparison, knows neighbours."""
    stem = trunk(kind).conv1
    clip = torch.randn(1, 3, 8, 16, 16)
    order = torch.randperm(256)
    shuffled = clip.flatten(3)[..., order].view(clip.shape)

    def average(x):
        return stem.norm(stem.conv(x)).relu().mean(dim=(3, 4))

    moved = relative_error(average(shuffled), average(clip))
    assert moved < 1e-5 if blind else moved > 1e-2


def attend(x, attention):
    """Multi-head attention of ``(n, C)``, token by token."""
    heads = attention.heads
    q, k = attention.to_qk(x).chunk(2, dim=1)
    v = attention.to_v(x)
    q, k, v = (part.chunk(heads, dim=1) for part in (q, k, v))
    rows = []
    for i in range(len(x)):
        parts = []
        for head in range(heads):
            scale = q[head].shape[1] ** 0.5
            scores = [float(q[head][i] @ key) / scale for key in k[head]]
            shares = torch.tensor(scores).softmax(0)
            parts.append(sum(s * row for s, row in zip(shares, v[head])))
        rows.append(torch.cat(parts))
    return attention.to_out(torch.stack(rows))


@torch.no_grad()
def test_a_layer_equals_attention_written_as_loops():
    layer = randomise(TransformerLayer(12, heads=3, hidden=20)).eval()
    x = torch.randn(2, 5, 12)
    ours = layer(x)
    for clip, one in zip(x, ours):
        clip = clip + attend(layer.norm1(clip), layer.attention)
        norm = layer.norm2(clip)
        first, _, _, last, _ = layer.feed_forward
        clip = clip + last(F.gelu(first(norm)))
        torch.testing.assert_close(one, clip, rtol=1e-4, atol=1e-5)


def head(**changes):
    torch.manual_seed(0)
    options = dict(in_channels=8, num_tokens=4, heads=2, hidden=16)
    return randomise(TimeTransformerHead(**{**options, **changes})).eval()


@torch.no_grad()
def test_the_head_classifies_a_token_that_has_seen_all_time_steps():
    net = head()
    feats = torch.randn(2, 8, 4, 3, 3)
    steps = feats.mean(dim=(3, 4)).mT
    tokens = torch.cat([net.cls_token.expand(2, 1, 8), steps], dim=1)
    seen = net.layers[0](tokens + net.positions)[:, 0]
    torch.testing.assert_close(net(feats), net.fc_cls(net.norm(seen)))
    changed = feats.clone()
    changed[:, :, 3] += torch.randn(2, 8, 1, 1)
    assert relative_error(net(changed), net(feats)) > 1e-3


@torch.no_grad()
def test_a_shorter_clip_takes_the_first_positions_a_longer_is_refused():
    net, feats = head(), torch.randn(1, 8, 2, 3, 3)
    short = head(num_tokens=2)
    state = net.state_dict()
    state['positions'] = state['positions'][:3]
    short.load_state_dict(state)
    torch.testing.assert_close(net(feats), short(feats))
    with pytest.raises(SettingError, match=r'num_tokens=4.*5 time steps'):
        net(torch.randn(1, 8, 5, 3, 3))
