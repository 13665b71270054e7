"""What a detector sees is what its modules give, called by hand."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from networks import pack, predict, randomise
from tiny import REPO
from torch.nn import functional as F

from gml_mmaction.explain.feature_maps import (
    FeatureError,
    clue_maps,
    feature_maps,
    has_clue,
)

CONFIGS = REPO / 'configs'
GML = 'gml_xception-small_demo'


def build(name):
    model = MODELS.build(Config.fromfile(CONFIGS / f'{name}.py').model)
    return randomise(model).eval()


@pytest.fixture(scope='module')
def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(
        0, 256, (2, 3, 8, 64, 64), dtype=torch.uint8, generator=generator
    )


@pytest.fixture
def gml():
    return build(GML)


def data_of(clips):
    return pack(clips, [0] * len(clips))


@torch.no_grad()
def test_the_clue_is_the_ad_block_on_f_out(gml, clips):
    inputs = gml.data_preprocessor(data_of(clips))['inputs']
    f_out, _ = gml.backbone(inputs.flatten(0, 1))
    f_star = gml.cls_head.ad_head.ad_block(f_out)
    expected = [
        [
            sum(channel.abs() for channel in frame) / len(frame)
            for frame in clip
        ]
        for clip in f_star
    ]
    _, maps = clue_maps(gml, data_of(clips))
    torch.testing.assert_close(
        maps, torch.stack([torch.stack(clip) for clip in expected])
    )


@pytest.mark.parametrize('of', [clue_maps, feature_maps])
def test_scores_are_those_of_testing(clips, of):
    torch.manual_seed(0)
    gml = MODELS.build(Config.fromfile(CONFIGS / f'{GML}.py').model)
    scores, _ = of(gml, data_of(clips))
    expected = [float(s.pred_score[1]) for s in predict(gml, clips)]
    assert scores.tolist() == expected
    assert expected[0] != expected[1]


def test_a_clip_has_the_same_clue_alone_and_in_a_batch(gml, clips):
    _, together = clue_maps(gml, data_of(clips))
    _, alone = clue_maps(gml, data_of(clips[1:]))
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_motion_and_consistency_are_eq_1_and_2_written_as_loops(gml, clips):
    motion = gml.backbone.block5.rep[-2].conv1.motion
    seen = []
    hook = motion.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    _, maps = feature_maps(gml, data_of(clips))
    hook.remove()
    weight = motion.reduce.weight[:, :, None, None]
    norm = motion.norm
    f_d = F.batch_norm(
        F.conv2d(seen[0], weight),
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
    )
    for n in range(len(clips)):
        before_d = before_m = None
        for t in range(8):
            now = f_d[8 * n + t]
            f_m = now - before_d if t else torch.zeros_like(now)
            f_mm = f_m - before_m if t else torch.zeros_like(now)
            before_d, before_m = (
                F.conv2d(x[None], motion.k_pm.weight, None, 1, 1, 1, len(x))[0]
                for x in (now, f_m)
            )
            for name, x in (('motion', f_m), ('consistency', f_mm)):
                torch.testing.assert_close(
                    maps[name][n, t], x.abs().mean(dim=0)
                )


def test_cstm_is_that_of_the_stage_asked_for(gml, clips):
    seen = []
    cstm = gml.backbone.block2.rep[-3].conv1.cstm
    hook = cstm.register_forward_hook(lambda *given: seen.append(given[2]))
    _, maps = feature_maps(gml, data_of(clips), stage='block2')
    hook.remove()
    expected = sum(x.abs() for x in seen[0].unbind(dim=1)) / seen[0].shape[1]
    torch.testing.assert_close(maps['cstm'].flatten(0, 1), expected)


@pytest.mark.parametrize(
    ('name', 'columns'),
    [
        (GML, ['cstm', 'motion', 'consistency', 'clue']),
        (
            'ablation/xception-mcb-small_demo',
            ['cstm', 'motion', 'consistency'],
        ),
        ('ablation/xception-stm-ad-small_demo', ['cstm', 'motion', 'clue']),
        ('ablation/xception-cstm-small_demo', ['cstm']),
        ('ablation/xception-ad-small_demo', ['clue']),
    ],
)
def test_a_network_shows_what_it_has(name, columns, clips):
    model = build(name)
    _, maps = feature_maps(model, data_of(clips))
    assert list(maps) == columns
    assert has_clue(model) == ('clue' in columns)


def test_nothing_is_left_behind(gml, clips):
    feature_maps(gml, data_of(clips))
    clue_maps(gml, data_of(clips))
    assert not any(module._forward_hooks for module in gml.modules())


def test_a_network_with_none_of_them_is_told_so(clips):
    model = build('baselines/xception-small_demo')
    with pytest.raises(FeatureError, match='neither motion blocks nor'):
        feature_maps(model, data_of(clips))


def test_a_stage_that_is_not_there_is_named(gml, clips):
    with pytest.raises(FeatureError, match="'block99'"):
        feature_maps(gml, data_of(clips), stage='block99')
