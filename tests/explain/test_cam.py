"""Grad-CAM of fake, against class-activation maps written another way."""

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.utils import GradCAM
from mmengine.config import Config
from networks import pack, predict, randomise
from tiny import REPO
from torch.nn import functional as F

from gml_mmaction.explain.cam import (
    ForgeryCAM,
    LayerError,
    cam_maps,
    default_layer,
)

CONFIGS = REPO / 'configs'
SMALL = sorted(CONFIGS.rglob('*-small_demo.py'))
GML = 'gml_xception-small_demo'
XCEPTION = 'baselines/xception-small_demo'
C3D = 'baselines/c3d-small_demo'
R3D = 'baselines/r3d_r18-small_demo'
TALL = 'video/tall_swin-b-small_demo'
# Their backbones give a token for a clip.
NO_MAP = ('timesformer_vit-b-small_demo', 'videomae_vit-s-small_demo')


def build(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py').model
    torch.manual_seed(0)
    return MODELS.build(cfg).eval()


@pytest.fixture(scope='module')
def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(
        0, 256, (2, 3, 8, 64, 64), dtype=torch.uint8, generator=generator
    )


def data_of(clips, label=0):
    return pack(clips, [label] * len(clips))


def as_shares(maps):
    return maps / maps.amax(dim=(1, 2, 3), keepdim=True)


@pytest.mark.parametrize('path', SMALL, ids=lambda path: path.stem)
def test_every_network_is_explained_with_the_scores_of_testing(path, clips):
    model = build(path.relative_to(CONFIGS).with_suffix(''))
    frames = Config.fromfile(path).test_dataloader.dataset.clip_len
    clips = clips[:, :, :frames]
    if path.stem in NO_MAP:
        with pytest.raises(LayerError, match=r'gives no map, only \(2, 64\)'):
            cam_maps(model, data_of(clips))
        return
    scores, maps = cam_maps(model, data_of(clips))
    expected = [float(s.pred_score[1]) for s in predict(model, clips)]
    torch.testing.assert_close(scores, torch.tensor(expected))
    assert maps.shape[:2] == (2, frames)
    assert min(maps.shape[2:]) > 1
    assert maps.isfinite().all()
    assert (maps >= 0).all()


@pytest.mark.parametrize(
    ('name', 'head'),
    [(XCEPTION, 'fc_cls'), ('ablation/xception-mcb-small_demo', 'fc_cls1')],
)
@torch.no_grad()
def test_behind_a_global_mean_it_is_cam_from_the_classifiers_weights(
    name, head, clips
):
    """CAM (1512.04150): features weighted by what the classifier does."""
    model = randomise(build(name))
    scale_down(model, clips)
    _, maps = cam_maps(model, data_of(clips))
    features = last_features(model, clips)  # (N, T, C, h, w)
    real, fake = getattr(model.cls_head, head).weight
    expected = torch.einsum('ntchw,c->nthw', features, fake - real).relu()
    assert (expected > 0).any()
    torch.testing.assert_close(maps, expected / features[0, :, 0].numel())


def scale_down(model, clips):
    """Make logits of random weights so small that no score is 0 or 1."""
    largest = last_features(model, clips).mean(dim=(3, 4)).norm(dim=2).max()
    for name, weight in model.cls_head.named_parameters():
        if name.endswith('weight'):
            weight.div_(largest)


def last_features(model, clips):
    inputs = model.data_preprocessor(data_of(clips))['inputs']
    if inputs.dim() == 5:  # frame by frame
        return model.backbone(inputs.flatten(0, 1)).unflatten(0, (-1, 8))
    return model.backbone(inputs.flatten(0, 1))[1]


def test_it_is_the_hosts_own_map_where_the_host_can_make_one(clips):
    """With opposite weights, the score of fake is half of the log-odds."""
    model = build(R3D)
    with torch.no_grad():
        model.cls_head.fc_cls.weight[0] = -model.cls_head.fc_cls.weight[1]
    ours, _ = ForgeryCAM(model, 'backbone/layer4')(data_of(clips))
    host = GradCAM(model, 'backbone/layer4', colormap='viridis')
    theirs, _ = host(data_of(clips, label=1), use_labels=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert (ours[0] - ours[1]).abs().max() > 0.1


def test_fake_is_explained_whichever_class_wins(clips):
    """Turned round, the same network explains the opposite."""
    model = build(XCEPTION)
    with torch.no_grad():
        model.cls_head.fc_cls.bias.copy_(torch.tensor([9.0, 0.0]))
    _, real_wins = cam_maps(model, data_of(clips))
    with torch.no_grad():
        model.cls_head.fc_cls.bias.copy_(torch.tensor([0.0, 9.0]))
    _, fake_wins = cam_maps(model, data_of(clips))
    torch.testing.assert_close(real_wins, fake_wins, rtol=1e-4, atol=0)
    assert fake_wins.max() > 0


def test_where_the_score_has_reached_1_the_map_is_not_empty(clips):
    model = build(GML)
    _, unsure = cam_maps(model, data_of(clips))
    classifiers = (model.cls_head.fc_cls1, model.cls_head.ad_head.fc_cls2)
    with torch.no_grad():
        for fc in classifiers:
            fc.bias.copy_(torch.tensor([-15.0, 15.0]))
    scores, sure = cam_maps(model, data_of(clips))
    assert (scores == 1).all()
    assert (unsure.amax(dim=(1, 2, 3)) > 0).all()
    torch.testing.assert_close(
        as_shares(sure), as_shares(unsure), rtol=0.1, atol=0.05
    )


def test_with_an_ad_head_both_classifiers_are_explained(clips):
    model = build(GML)
    assert default_layer(model) == 'backbone/block5'
    _, both = cam_maps(model, data_of(clips))
    with torch.no_grad():
        model.cls_head.ad_head.fc_cls2.weight.zero_()
    _, first = cam_maps(model, data_of(clips))
    assert (both - first).abs().max() > 0.1 * both.max()


def test_the_model_is_left_as_it_was(clips):
    model = build('baselines/lstm_r50-small_demo')
    model.backbone.conv1.requires_grad_(False)
    wanted = {n: p.requires_grad for n, p in model.named_parameters()}
    average = model.cls_head.average_clips
    cam_maps(model, data_of(clips))
    assert {n: p.requires_grad for n, p in model.named_parameters()} == wanted
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module.training for module in model.modules())
    assert model.cls_head.average_clips == average


def test_it_works_where_gradients_are_off(clips):
    model = build(XCEPTION)
    _, expected = cam_maps(model, data_of(clips))
    with torch.no_grad():
        _, maps = cam_maps(model, data_of(clips))
    torch.testing.assert_close(maps, expected)


def test_fewer_steps_of_time_are_spread_over_all_frames(clips):
    model = build(R3D)
    seen = []
    layer = model.get_submodule('backbone.layer4')
    hook = layer.register_forward_hook(lambda *given: seen.append(given[2]))
    _, maps = cam_maps(model, data_of(clips), layer='backbone/layer4')
    hook.remove()
    assert seen[0].shape[2] < maps.shape[1] == 8


def test_the_map_of_talls_picture_is_cut_into_its_frames(clips):
    model = build(TALL)
    seen = []
    hook = model.backbone.register_forward_hook(
        lambda *given: seen.append(given[2].detach())
    )
    _, maps = cam_maps(model, data_of(clips[:, :, :4]))
    hook.remove()
    with torch.no_grad():
        real, fake = model.cls_head.fc_cls.weight
    picture = torch.einsum('nchw,c->nhw', seen[0][:, :, 0], fake - real)
    picture = picture.relu() / picture[0].numel()
    larger = F.interpolate(picture[:, None], (8, 8), mode='bilinear')[:, 0]
    corners = [(0, 0), (0, 4), (4, 0), (4, 4)]
    frames = [larger[:, y : y + 4, x : x + 4] for y, x in corners]
    torch.testing.assert_close(maps, torch.stack(frames, dim=1))
    assert maps.sum() > 0


@pytest.mark.parametrize(
    ('name', 'layer', 'message'),
    [
        (GML, 'backbone/block99', "a layer such as 'backbone/block5'"),
        (C3D, 'backbone', 'gives no map'),
        ('baselines/mat_efficientnet-b4-small_demo', 'agda', 'not run'),
        (
            'ablation/xception-mcb-ad-wo-cls-small_demo',
            'cls_head/ad_head/ad_block',
            'does not depend',
        ),
    ],
)
def test_a_layer_that_explains_nothing_is_named(name, layer, message, clips):
    with pytest.raises(LayerError, match=message) as error:
        cam_maps(build(name), data_of(clips), layer=layer)
    assert repr(layer) in str(error.value)
