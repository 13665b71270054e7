"""Facts about ISTVT: its entry flow, its subtraction, its attention."""

import pytest
import torch
from networks import randomise, relative_error
from test_ftcn import attend

from gml_mmaction.errors import SettingError
from gml_mmaction.models import ISTVTHead, Xception, XceptionEntry
from gml_mmaction.models.istvt import DecomposedLayer, subtract


@torch.no_grad()
def test_the_entry_flow_is_that_of_xception_and_loads_its_weights():
    whole = Xception(width=1 / 16, middle_blocks=1, tap=None)
    randomise(whole).eval()
    entry = XceptionEntry(width=1 / 16).eval()
    missing, unexpected = entry.load_state_dict(
        whole.state_dict(), strict=False
    )
    assert missing == []
    assert {name.partition('.')[0] for name in unexpected} == {
        *('block4', 'block12', 'conv3', 'bn3', 'conv4', 'bn4')
    }
    maps = []
    whole.block3.register_forward_hook(lambda *args: maps.append(args[2]))
    clip = torch.randn(2, 3, 5, 64, 64)
    whole(clip)
    ours = entry(clip)
    torch.testing.assert_close(ours.transpose(1, 2).flatten(0, 1), maps[0])


def test_a_static_clip_leaves_nothing_after_the_subtraction():
    frame = torch.randn(2, 1, 7, 8)
    token = torch.randn(2, 1, 7, 8)
    clip = torch.cat([token, frame.expand(-1, 5, -1, -1)], dim=1)
    changes = subtract(clip)
    assert changes.shape == clip.shape
    torch.testing.assert_close(changes[:, :1], token)
    torch.testing.assert_close(changes[:, 1:2], frame)
    assert (changes[:, 2:] == 0).all()


def test_the_subtraction_is_that_of_the_frame_before():
    clip = torch.tensor([9.0, 1.0, 4.0, 2.0]).view(1, 4, 1, 1)
    assert subtract(clip).flatten().tolist() == [9, 1, 3, -2]


@torch.no_grad()
def test_a_layer_equals_attention_over_time_then_space_written_as_loops():
    layer = randomise(DecomposedLayer(12, 3, 20, 0.0)).eval()
    x = torch.randn(2, 4, 5, 12)
    ours = layer(x)
    for clip, expected in zip(x, ours):
        frames = layer.norm_time(clip)
        changes = torch.stack(
            [
                frames[t] - frames[t - 1] if t > 1 else frames[t]
                for t in range(4)
            ]
        )
        in_time = torch.stack(
            [
                over_time(changes[:, p], frames[:, p], layer.over_time)
                for p in range(5)
            ],
            dim=1,
        )
        in_space = [
            attend(layer.norm_space(frame), layer.over_space)
            for frame in in_time
        ]
        clip = clip + torch.stack(in_space)
        clip = clip + layer.feed_forward(layer.norm(clip))
        torch.testing.assert_close(expected, clip, rtol=1e-4, atol=1e-4)


def over_time(changes, frames, attention):
    """Queries and keys of changes, values of frames: ``(t, C)`` each."""
    heads = attention.heads
    q, k = attention.to_qk(changes).chunk(2, dim=1)
    q, k = q.chunk(heads, dim=1), k.chunk(heads, dim=1)
    v = attention.to_v(frames).chunk(heads, dim=1)
    out = []
    for i in range(len(frames)):
        parts = []
        for head in range(heads):
            scale = q[head].shape[1] ** 0.5
            scores = torch.stack([q[head][i] @ key for key in k[head]])
            shares = (scores / scale).softmax(0)
            parts.append((shares[:, None] * v[head]).sum(0))
        out.append(torch.cat(parts))
    return attention.to_out(torch.stack(out))


def head():
    options = dict(in_channels=8, num_segments=3, places=(2, 2), depth=1)
    torch.manual_seed(0)
    return randomise(ISTVTHead(**options, heads=1)).eval()


@torch.no_grad()
def test_tokens_of_frames_and_of_time_stand_in_front():
    net, feats = head(), torch.randn(1, 8, 3, 2, 2)
    tokens = net.tokens(feats)
    assert tokens.shape == (1, 4, 5, 8)
    torch.testing.assert_close(tokens[0, 0, 3], net.temporal_token)
    torch.testing.assert_close(
        tokens[0, 2, 0], net.spatial_token + net.positions[1, 0]
    )
    torch.testing.assert_close(
        tokens[0, 3, 2], feats[0, :, 2, 0, 1] + net.positions[2, 2]
    )


@torch.no_grad()
def test_the_classified_token_sees_every_place_of_every_frame():
    net, feats = head(), torch.randn(1, 8, 3, 2, 2)
    for frame in range(3):
        changed = feats.clone()
        changed[0, :, frame, 1, 1] += torch.randn(8)
        assert relative_error(net(changed), net(feats)) > 1e-4


def test_other_frames_or_places_are_refused_with_a_line():
    with pytest.raises(SettingError, match=r'have 3 frames of \(2, 3\)'):
        head()(torch.randn(1, 8, 3, 2, 3))
