"""Facts about TALL's layout; its Swin is compared in tests/parity/tall.py."""

import pytest
import torch
from networks import randomise, relative_error

from gml_mmaction.errors import SettingError
from gml_mmaction.models import TALL
from gml_mmaction.models.tall import lay_out, resize_table, take_apart

ARCH = dict(embed_dims=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2])


def test_four_frames_become_a_picture_of_two_rows():
    frames = torch.tensor(
        [
            [[1, 2], [3, 4]],
            [[5, 6], [7, 8]],
            [[9, 10], [11, 12]],
            [[13, 14], [15, 16]],
        ]
    )
    picture = [
        [1, 2, 5, 6],
        [3, 4, 7, 8],
        [9, 10, 13, 14],
        [11, 12, 15, 16],
    ]
    assert lay_out(frames[None, None], rows=2)[0, 0].tolist() == picture


def test_a_row_may_be_longer_than_there_are_rows():
    frames = torch.arange(6).view(1, 1, 6, 1, 1)
    assert lay_out(frames, 2)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(('frames', 'rows'), [(4, 2), (8, 2), (9, 3), (3, 1)])
def test_taking_a_picture_apart_gives_its_frames_back(frames, rows):
    clips = torch.randn(2, 3, frames, 4, 5)
    picture = lay_out(clips, rows)
    torch.testing.assert_close(
        take_apart(picture, rows, frames // rows), clips
    )


def network(**changes):
    torch.manual_seed(0)
    options = dict(arch=ARCH, windows=(4, 4, 4, 4), drop_path_rate=0.0)
    net = randomise(TALL(**{**options, **changes}))
    net.eval()  # the host's gives nothing back
    return net


@torch.no_grad()
def test_each_token_gets_the_position_of_its_own_frame():
    embed = network().patch_embed
    picture = torch.randn(1, 3, 1, 16, 16)
    with_positions = embed(picture)
    positions = embed.frame_positions.clone()
    embed.frame_positions.zero_()
    added = (with_positions - embed(picture))[0, :, 0]  # (C, 4, 4)
    for frame, place in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        rows, columns = (slice(i, i + 2) for i in place)
        expected = positions[frame][:, None, None].expand(-1, 2, 2)
        torch.testing.assert_close(added[:, rows, columns], expected)


@torch.no_grad()
def test_the_order_of_frames_changes_the_features():
    clip = torch.randn(1, 3, 4, 64, 64)
    net = network()
    assert net(clip).shape == (1, 64, 1, 4, 4)
    there, back = (net(x).mean(dim=(3, 4)) for x in (clip, clip.flip(2)))
    assert relative_error(back, there) > 1e-3


def test_frames_that_do_not_fill_rows_and_other_clips_are_refused():
    with pytest.raises(SettingError, match=r'rows=2: 5 frames'):
        TALL(ARCH, num_segments=5)
    with pytest.raises(SettingError, match=r'num_segments=4.*8 frames'):
        network()(torch.randn(1, 3, 8, 64, 64))
    with pytest.raises(SettingError, match=r'rows=0: .*Remedy: a divisor'):
        TALL(ARCH, rows=0)


def test_windows_and_frames_that_do_not_fit_each_other_are_refused():
    """A window larger than the map would mix up its relative positions."""
    with pytest.raises(SettingError, match=r'windows=\(4, 4\): 4 stages'):
        TALL(ARCH, windows=(4, 4))
    with pytest.raises(SettingError, match=r'windows\.3=4: .*2x2 tokens'):
        network()(torch.randn(1, 3, 4, 32, 32))
    with pytest.raises(SettingError, match=r'windows\.2=4: .*8x2 tokens'):
        network(rows=4)(torch.randn(1, 3, 4, 32, 32))
    with pytest.raises(SettingError, match=r'55x55 pixels, tokens 4x4'):
        network()(torch.randn(1, 3, 4, 55, 55))


@torch.no_grad()
def test_a_checkpoint_of_an_image_swin_loads_whatever_its_windows():
    """Names and shapes of the published files; norm is the last stage's."""
    net, other = network(), network(windows=(2, 2, 2, 2))
    images = {
        name.replace('norm3.', 'norm.'): value
        for name, value in randomise(other, seed=1).state_dict().items()
        if 'frame_positions' not in name
    }
    proj = 'patch_embed.proj.weight'
    images[proj] = images[proj].squeeze(2)
    missing, unexpected = net.load_state_dict(images, strict=False)
    assert (missing, unexpected) == (['patch_embed.frame_positions'], [])
    own = net.state_dict()
    torch.testing.assert_close(own['norm3.weight'], images['norm.weight'])
    table = 'layers.0.blocks.0.attn.relative_position_bias_table'
    assert own[table].shape == (49, 1)
    corners = own[table][[0, 6, 24, 42, 48]], images[table][[0, 2, 4, 6, 8]]
    torch.testing.assert_close(*corners)


def test_a_table_is_resized_as_a_map_for_each_head():
    ramp = torch.arange(3.0).repeat(3)  # grows along x
    table = torch.stack([ramp, -ramp], dim=1)
    larger = resize_table(table, 25)
    assert larger.shape == (25, 2)
    maps = larger[:, 0].view(5, 5)
    torch.testing.assert_close(maps[0], maps[4])
    assert (maps[0].diff() >= 0).all()
    assert maps[0, 2] == 1
    torch.testing.assert_close(larger[:, 1], -larger[:, 0])
    assert resize_table(table, 9) is table
