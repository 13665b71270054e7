"""Attention that starts as if learned takes off what its tokens share."""

import pytest
import torch
from mmaction.models.backbones import SwinTransformer3D, VisionTransformer
from mmaction.models.backbones.swin import WindowAttention3D
from mmaction.models.backbones.vit_mae import Attention
from mmaction.models.common import DividedTemporalAttentionWithNorm
from torch import nn

from gml_mmaction.errors import SettingError
from gml_mmaction.models import TALL
from gml_mmaction.models.istvt import DecomposedLayer
from gml_mmaction.models.mimetic import mimic

CHANNELS, HEADS = 64, 4


def seed():
    return torch.Generator().manual_seed(0)


def layers():
    """One of each kind, as queries, keys, values and projection."""
    torch.manual_seed(0)
    one = nn.MultiheadAttention(CHANNELS, HEADS)
    window = WindowAttention3D(CHANNELS, (1, 4, 4), HEADS)
    vit = Attention(CHANNELS, HEADS)
    for layer in (one, window, vit):
        mimic(layer, seed())
    return (
        (*one.in_proj_weight.chunk(3), one.out_proj.weight),
        (*window.qkv.weight.chunk(3), window.proj.weight),
        (*vit.qkv.weight.chunk(3), vit.proj.weight),
    )


@pytest.mark.parametrize('kind', range(3))
@torch.no_grad()
def test_values_and_projection_are_nearly_minus_the_identity(kind):
    _, _, values, projection = layers()[kind]
    rest = projection @ values + 0.9 * torch.eye(CHANNELS)
    # what the projection gives of x is x @ (projection @ values).T
    assert float(rest.std()) == pytest.approx(0.05 / CHANNELS**0.5, rel=0.1)
    assert float(rest.abs().max()) < 0.05


@pytest.mark.parametrize('kind', range(3))
@torch.no_grad()
def test_each_head_compares_tokens_as_they_are(kind):
    """Of 0.1 (Z + I) a head of 16 keeps the largest 16 directions."""
    queries, keys, _, _ = layers()[kind]
    for q, k in zip(queries.chunk(HEADS), keys.chunk(HEADS), strict=True):
        product = q.T @ k
        assert torch.linalg.matrix_rank(product) == CHANNELS // HEADS
        sizes = torch.linalg.svdvals(product)[: CHANNELS // HEADS]
        assert 0.1 < float(sizes.min()) < float(sizes.max()) < 0.35
    assert float((queries.T @ keys).trace()) > 0


@torch.no_grad()
def test_what_all_frames_share_is_taken_off():
    """One place in 8 frames: a tenth of what stands still is left."""
    layer = DividedTemporalAttentionWithNorm(
        CHANNELS, HEADS, num_frames=8, dropout_layer=None
    ).eval()
    x = torch.randn(1, 1 + 8, CHANNELS, generator=seed())
    x[:, 1:] = x[:, 1:2]
    x = nn.functional.layer_norm(x, (CHANNELS,))
    x[:, 1:] += 0.1 * torch.randn(1, 8, CHANNELS, generator=seed())
    assert (layer(x) == x).all()  # as MMAction2 starts it: no sense of time
    mimic(layer, seed())
    before, after = x[:, 1:], layer(x)[:, 1:]
    moving = (before - before.mean(1, keepdim=True)).var()
    left = after.mean(1).square().mean() / before.mean(1).square().mean()
    assert float(left) < 0.05
    changed = after - after.mean(1, keepdim=True)
    assert float(changed.var() / moving) > 0.9


@torch.no_grad()
def test_istvt_takes_off_what_a_place_s_frames_share():
    """Over time plus, over space minus; each token finds its own place."""
    channels, places = 64, 9
    torch.manual_seed(0)
    layer = DecomposedLayer(channels, heads=1, hidden=8, dropout=0.0)
    for part in (layer.feed_forward[0], layer.feed_forward[3]):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    still = 2 * torch.randn(1, 1, places, channels).expand(1, 6, -1, -1)

    def left(layer):
        change = layer(still)[:, 1:] - still[:, 1:]
        return float((change * still[:, 1:]).sum() / still[:, 1:].norm() ** 2)

    assert abs(left(layer)) < 0.2
    mimic(layer, seed())
    assert left(layer) < -0.3  # a norm of 2: the attention takes 1 off at most


def test_istvt_with_more_channels_in_its_heads_than_its_tokens_is_refused():
    layer = DecomposedLayer(32, heads=1, hidden=8, dropout=0.0)
    with pytest.raises(SettingError, match='64 channels over tokens of 32'):
        mimic(layer, seed())


def test_the_same_seed_gives_the_same_values_and_another_others():
    one, same, other = (nn.MultiheadAttention(8, 2) for _ in range(3))
    mimic(one, seed())
    mimic(same, seed())
    mimic(other, torch.Generator().manual_seed(1))
    assert (one.in_proj_weight == same.in_proj_weight).all()
    assert (one.in_proj_weight != other.in_proj_weight).all()


def test_every_layer_of_attention_is_set_and_returned():
    swin = SwinTransformer3D(
        arch=dict(embed_dims=8, depths=[1, 2], num_heads=[1, 2]),
        patch_size=(2, 4, 4),
        window_size=(2, 2, 2),
        out_indices=(1,),
    )
    vit = VisionTransformer(
        img_size=16, patch_size=8, embed_dims=16, depth=2, num_heads=2
    )
    assert [len(mimic(net, seed())) for net in (swin, vit)] == [6, 4]


def test_a_network_without_attention_is_refused():
    with pytest.raises(SettingError, match='no layers of attention'):
        mimic(nn.Conv2d(3, 3, 3), seed())


@torch.no_grad()
def test_a_token_of_a_thumbnail_sees_its_place_in_all_of_them():
    """Of 16 x 16 tokens, 8 x 8 a thumbnail, four are at one place."""
    arch = dict(embed_dims=8, depths=[1, 1], num_heads=[1, 1])
    torch.manual_seed(0)
    net = TALL(
        arch=arch,
        windows=(16, 4),
        thumbnail=8,
        drop_path_rate=0.0,
        out_indices=(1,),
    )
    net.eval()  # the host's gives nothing back
    attention = net.layers[0].blocks[0].attn
    attention.qkv.weight.zero_()  # positions alone
    seen = []
    attention.softmax.register_forward_hook(
        lambda _, __, output: seen.append(output)
    )
    net(torch.randn(1, 3, 4, 32, 32))
    (weights,) = seen[0][0]  # (256, 256)
    rows, columns = torch.arange(256) // 16, torch.arange(256) % 16
    for token in (0, 37, 255):
        same = (rows % 8 == rows[token] % 8) & (
            columns % 8 == columns[token] % 8
        )
        assert int(same.sum()) == 4
        assert float(weights[token][same].sum()) > 0.9
        assert float(weights[token][same].min()) > 0.2
    # a window no larger than a thumbnail of its stage has one place alone
    table = net.layers[1].blocks[0].attn.relative_position_bias_table
    assert float(table.abs().max()) < 1


def test_thumbnails_of_another_side_are_refused():
    arch = dict(embed_dims=8, depths=[1], num_heads=[1])
    net = TALL(arch=arch, windows=(16,), thumbnail=8, out_indices=(0,))
    with pytest.raises(SettingError, match='thumbnail=8: frames are 64x32'):
        net(torch.randn(1, 3, 4, 32, 64))
