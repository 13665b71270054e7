"""Facts about Multi-attentional: maps, textures, losses, augmentation."""

import math
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from networks import predict_and_loss, randomise

from gml_mmaction.models.multi_attention import (
    AGDA,
    AttentionMaps,
    GroupedTextureEnhancement,
    MATHead,
    RealCentreLoss,
    RegionalIndependenceLoss,
    TextureEnhancement,
    attention_mean,
    attention_pool,
    match_loss,
    split_texture,
)

CONFIGS = Path(__file__).parents[2] / 'configs'
PAIRED = dict(
    texture=dict(type='GroupedTextureEnhancement'),
    loss_ril=dict(type='RealCentreLoss'),
)


def clips(num=2, frames=2, size=64):
    generator = torch.Generator().manual_seed(0)
    shape = (num, 3, frames, size, size)
    return torch.randint(256, shape, generator=generator).float()


def config(recognizer='MATRecognizer', **head):
    """The network of the demo with a quarter of B0's channels and depth."""
    path = CONFIGS / 'baselines' / 'mat_efficientnet-b4-small_demo.py'
    model = Config.fromfile(path).model
    model.type = recognizer
    model.backbone.arch = (0.25, 0.25)
    model.cls_head.update(in_channels=(8, 32, 320), **head)
    return model


def build(*args, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(config(*args, **kwargs))


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


# Attention maps and pooling


@pytest.mark.parametrize(
    ('side', 'first', 'last'), [(24, 2, 21), (14, 2, 12), (7, 1, 6), (4, 1, 3)]
)
def test_nothing_is_looked_at_in_the_border(side, first, last):
    maps = AttentionMaps(3, 2).eval()(torch.randn(1, 3, side, side))
    seen = (maps > 0)[0].all(dim=0)
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[first : last + 1, first : last + 1] = True
    assert torch.equal(seen, inside)


def test_maps_are_float32_under_autocast():
    with torch.autocast('cpu', torch.bfloat16):
        maps = AttentionMaps(3, 2)(torch.randn(2, 3, 8, 8))
    assert maps.dtype == torch.float32


@pytest.mark.parametrize('own', [False, True])
def test_attention_pooling_equals_loops(own):
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 5, 5)
    features = torch.randn(2, 3, 4, 5, 5)
    expected = torch.zeros(2, 3, 4)
    for b in range(2):
        for m in range(3):
            for c in range(4):
                of_map = features[b, m if own else 0, c]
                expected[b, m, c] = (maps[b, m] * of_map).sum()
    pooled = attention_pool(features if own else features[:, 0], maps)
    torch.testing.assert_close(pooled, expected)


def test_maps_are_stretched_from_corner_to_corner():
    maps = torch.tensor([[[[0.0, 2.0]]]])
    features = torch.tensor([[[[1.0, 10.0, 100.0]]]])
    # 0, 1, 2 under 1, 10, 100
    assert attention_pool(features, maps).item() == pytest.approx(210)


def test_the_last_features_are_averaged_where_every_map_is_dropped():
    last = torch.randn(2, 5, 3, 3)
    pooled = attention_mean(last, torch.zeros(2, 4, 6, 6))
    torch.testing.assert_close(pooled, last.mean(dim=(2, 3)))


def test_the_last_features_are_averaged_under_the_sum_of_maps():
    last = torch.tensor([[[[1.0, 5.0]]]])
    maps = torch.tensor([[[[2.0, 0.0]], [[1.0, 1.0]]]])
    pooled = attention_mean(last, maps)
    assert pooled.item() == pytest.approx((3 * 1 + 1 * 5) / 4)


# Textures


def test_texture_is_what_local_means_leave():
    x = torch.tensor([[[[1.0, 3.0, 0.0, 0.0], [5.0, 7.0, 0.0, 8.0]]]])
    texture, smooth = split_texture(x, (1, 2))
    assert smooth.flatten().tolist() == [4, 2]
    expected = [[-3, -1, -2, -2], [1, 3, -2, 6]]
    assert texture[0, 0].tolist() == expected


@torch.no_grad()
@pytest.mark.parametrize(
    'enhancement', [TextureEnhancement, GroupedTextureEnhancement]
)
def test_enhancement_passes_on_the_local_means(enhancement):
    block = randomise(enhancement(4, 2)).eval()
    x, maps = torch.randn(1, 4, 8, 8), torch.rand(1, 2, 4, 4)
    shallow = block.extract(x) if hasattr(block, 'extract') else x
    expected = shallow.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    torch.testing.assert_close(block(x, maps)[1], expected)


@torch.no_grad()
def test_flat_images_have_the_same_texture_whatever_their_grey():
    block = randomise(TextureEnhancement(4, 2)).eval()
    maps = torch.rand(1, 2, 2, 2)
    dark, _ = block(torch.zeros(1, 4, 8, 8), maps)
    light, _ = block(torch.full((1, 4, 8, 8), 9.0), maps)
    torch.testing.assert_close(dark, light)


@torch.no_grad()
def test_textures_of_maps_are_independent():
    block = randomise(GroupedTextureEnhancement(4, 3)).eval()
    x, maps = torch.randn(1, 4, 8, 8), torch.rand(1, 3, 4, 4)
    before, _ = block(x, maps)
    maps[:, 1] = 0
    after, _ = block(x, maps)
    changed = (before != after).flatten(2).any(dim=2)[0]
    assert changed.tolist() == [False, True, False]


# The regional independence losses

V = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]  # real, fake


def test_regional_independence_loss_equals_the_value_by_hand():
    """Centres are (.25, .25) and (0, .5)."""
    loss = RegionalIndependenceLoss(2, 2, alpha=0.5, margin=1.0)
    far, near = math.hypot(0.75, 0.25), 0.5
    inner = (far - 0.05 + near - 0.05 + far - 0.1 + near - 0.1) / 4
    apart = (1 - math.hypot(0.25, 0.25)) / (2 * 0.5)
    value = loss(torch.tensor(V), torch.tensor([0, 1]))
    assert value.item() == pytest.approx(inner + apart)


def test_real_centre_loss_equals_the_value_by_hand():
    """The real image alone moves the centres, to (.25, 0) and (0, .25)."""
    loss = RealCentreLoss(num_maps=2, channels=2, alpha=0.5)
    real = math.hypot(0.75, 0.75) - 0.1
    fake = 2 - math.sqrt(0.25**2 + 1 + 0.75**2)
    apart = (0.5 - math.hypot(0.25, 0.25)) / (2 * 0.5)
    value = loss(torch.tensor(V), torch.tensor([0, 1]))
    assert value.item() == pytest.approx(0.5 * ((real + fake) / 2 + apart))


def test_match_loss_equals_the_value_by_hand():
    clean = torch.zeros(2, 2, 2)
    blurred = torch.tensor(
        [[[3.0, 4.0], [9.0, 9.0]], [[7.0, 7.0], [0.0, 1.0]]]
    )
    # The drawn maps' distances do not count: (5 + 0 + 0 + 1) / 4.
    assert match_loss(clean, blurred, torch.tensor([1, 0])).item() == 1.5


def test_centres_follow_in_training_alone():
    loss = RegionalIndependenceLoss(2, 2, alpha=0.5)
    v, labels = torch.tensor(V), torch.tensor([0, 1])
    loss.eval()(v, labels)
    assert not loss.centres.any()
    loss.train()(v, labels)
    assert loss.centres.tolist() == [[0.25, 0.25], [0, 0.5]]
    loss(v, labels)
    assert loss.centres.tolist() == [[0.375, 0.375], [0, 0.75]]


def test_centres_are_the_mean_of_all_processes(monkeypatch):
    def other_process_has_zeros(tensor, op):
        assert op == 'mean'
        tensor /= 2

    monkeypatch.setattr('mmengine.dist.all_reduce', other_process_has_zeros)
    loss = RegionalIndependenceLoss(2, 2, alpha=0.5)
    v = torch.tensor(V, requires_grad=True)
    loss(v, torch.tensor([0, 1])).backward()
    assert loss.centres.tolist() == [[0.125, 0.125], [0, 0.25]]
    assert v.grad.any()


def test_alpha_decays_with_batches_and_survives_a_checkpoint():
    def fresh():
        return RegionalIndependenceLoss(
            2, 2, alpha=0.5, alpha_decay=0.8, decay_interval=2
        )

    loss, v, labels = fresh(), torch.tensor(V), torch.tensor([0, 1])
    alphas = []
    for _ in range(5):
        alphas.append(loss.alpha.item())
        loss(v, labels)
    assert alphas == pytest.approx([0.5, 0.5, 0.4, 0.4, 0.32])
    resumed = fresh()
    resumed.load_state_dict(loss.state_dict())
    assert resumed.alpha.item() == pytest.approx(0.32)
    assert torch.equal(resumed.centres, loss.centres)


@pytest.mark.parametrize('alpha', [0.5, 0.01])
def test_descriptors_are_driven_apart_however_slow_the_centres(alpha):
    """Each of 2 images gets 1 / (M B) along the line between the centres."""
    loss = RegionalIndependenceLoss(
        2, 2, alpha=alpha, margin=9.0, inner_margins=(9.0, 9.0)
    )
    v = torch.tensor(V, requires_grad=True)
    loss(v, torch.tensor([0, 1])).backward()
    line = torch.tensor([1.0, -1.0]) / math.sqrt(2)
    expected = torch.stack([-line, line]).expand(2, 2, 2) / 4
    torch.testing.assert_close(v.grad, expected)


def test_descriptors_have_unit_length():
    loss = RegionalIndependenceLoss(3, 5)
    v = loss.describe(torch.randn(2, 5, 4, 4), torch.rand(2, 3, 4, 4))
    torch.testing.assert_close(v.norm(dim=2), torch.ones(2, 3))


def test_real_centre_descriptors_ignore_contrast_and_brightness():
    loss = RealCentreLoss(num_maps=3, channels=5)
    smooth, maps = torch.randn(2, 5, 4, 4), torch.rand(2, 3, 4, 4)
    other = smooth * torch.rand(2, 5, 1, 1).add(0.5) + 3
    torch.testing.assert_close(
        loss.describe(other, maps), loss.describe(smooth, maps)
    )


# Attention-guided data augmentation


def step_mask(**kwargs):
    """AGDA whose mask is 0 below half of the maximum and 1 above."""
    return AGDA(threshold=(0.5, 0.5), zoom=(1e4, 1e4), **kwargs)


def test_the_soft_mask_equals_the_value_by_hand():
    agda = AGDA(threshold=(0.5, 0.5), zoom=(4.0, 4.0))

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    expected = [
        (sigmoid(4 * (a - 0.5)) - sigmoid(-2)) / (1 - sigmoid(-2))
        for a in (0, 0.5, 1)
    ]
    mask = agda.soften(torch.tensor([0, 0.5, 1]))
    assert mask.tolist() == pytest.approx(expected, abs=1e-7)
    assert mask[0] == 0


def test_a_point_becomes_a_gaussian_by_hand():
    agda = AGDA(scale=1.0, kernel_size=3, sigma=1.0, noise=0.0)
    point = torch.zeros(1, 1, 5, 5)
    point[..., 2, 2] = 1
    side = math.exp(-0.5)
    middle = [side / (1 + 2 * side), 1 / (1 + 2 * side)]
    blurred = agda.blur(point)[0, 0]
    assert blurred[2, 2].item() == pytest.approx(middle[1] ** 2)
    assert blurred[2, 3].item() == pytest.approx(middle[0] * middle[1])
    assert blurred[1, 3].item() == pytest.approx(middle[0] ** 2)
    assert not blurred[:, 0].any()


def test_images_are_blurred_where_the_map_is_high_and_left_elsewhere():
    agda = step_mask(noise=0.0)
    images = torch.randn(1, 3, 32, 32)
    maps = torch.zeros(1, 1, 2, 2)
    maps[..., 0] = 7.0  # the left half, falling towards the right
    degraded, _ = agda(images, maps)
    blurred = agda.blur(images)
    torch.testing.assert_close(degraded[..., :16], blurred[..., :16])
    torch.testing.assert_close(degraded[..., 16:], images[..., 16:])


def test_the_height_of_a_map_does_not_matter():
    agda = AGDA(noise=0.0, threshold=(0.5, 0.5), zoom=(4.0, 4.0))
    images, maps = torch.randn(2, 3, 32, 32), torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(agda(images, maps), agda(images, 100 * maps))


def test_images_without_attention_are_left():
    images = torch.randn(2, 3, 32, 32)
    degraded, _ = AGDA()(images, torch.zeros(2, 4, 4, 4))
    assert torch.equal(degraded, images)


def test_maps_are_drawn_by_the_root_of_their_sums():
    torch.manual_seed(0)
    maps = torch.tensor([0.0, 8.0]).view(1, 2, 1, 1).repeat(4000, 1, 1, 1)
    images = torch.zeros(1, 1, 1, 1).expand(4000, 1, 16, 16)
    _, drawn = AGDA()(images, maps)
    # Roots of 1 and 9.
    assert drawn.float().mean().item() == pytest.approx(0.75, abs=0.03)


def test_augmentation_is_repeated_by_its_seed():
    images, maps = torch.randn(2, 3, 32, 32), torch.rand(2, 4, 4, 4)

    def run(seed):
        torch.manual_seed(seed)
        return AGDA()(images, maps)[0]

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


# The whole


@pytest.mark.parametrize(
    ('recognizer', 'head', 'names'),
    [
        ('MATRecognizer', {}, {'loss_cls', 'loss_ril'}),
        (
            'PairedMATRecognizer',
            PAIRED,
            {'loss_cls', 'loss_ril', 'loss_cls_agda', 'loss_match'},
        ),
    ],
)
@pytest.mark.parametrize('labels', [[0, 1], [1, 1], [0]])
@pytest.mark.parametrize('half', [False, True])
def test_every_parameter_has_a_gradient(recognizer, head, names, labels, half):
    model = build(recognizer, **head)
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        losses, _ = predict_and_loss(model, clips(len(labels)), labels)
    assert set(losses) == names
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    total = sum(losses.values())
    assert total.isfinite()
    total.backward()
    missing = [k for k, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_clips_and_frames_are_scored():
    _, samples = predict_and_loss(build(), clips(2, 3), [0, 1])
    for sample in samples:
        assert sample.frame_scores.shape == (3,)
        torch.testing.assert_close(
            sample.pred_score[1], sample.frame_scores.mean()
        )


def test_the_losses_are_those_of_degraded_images(monkeypatch):
    model = build()
    seen = []
    model.backbone.register_forward_hook(
        lambda _, args, __: seen.append((args[0], torch.is_grad_enabled()))
    )
    monkeypatch.setattr(
        model.agda, 'forward', lambda images, maps: (-images, None)
    )
    model.train()
    data = dict(inputs=list(clips()[:, None]), data_samples=samples([0, 1]))
    model(**model.data_preprocessor(data, True), mode='loss')
    (clean, without), (degraded, with_gradients) = seen
    assert torch.equal(degraded, -clean)
    assert (without, with_gradients) == (False, True)


def test_prediction_does_not_degrade_nor_move_centres():
    model = build().eval()
    data = dict(inputs=list(clips()[:, None]), data_samples=samples([0, 1]))
    runs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            runs.append([s.pred_score for s in model.test_step(data)])
    assert torch.equal(torch.stack(runs[0]), torch.stack(runs[1]))
    assert not model.cls_head.loss_ril.centres.any()


def test_maps_are_dropped_as_a_whole(monkeypatch):
    """One dropped map of two: no texture, no say in the last mean."""
    torch.manual_seed(0)
    head = MATHead((3, 5, 7), num_maps=2, hidden=4).train()
    monkeypatch.setattr(
        head.dropout,
        'forward',
        lambda ones: ones * torch.tensor([0.0, 2.0])[:, None],
    )
    textures, pooled = [], []
    head.project_texture.register_forward_hook(
        lambda _, args, __: textures.append(args[0])
    )
    monkeypatch.setattr(
        'gml_mmaction.models.multi_attention.attention_mean',
        lambda last, maps: pooled.append(maps) or last.mean(dim=(2, 3)),
    )
    head(
        (
            torch.randn(2, 3, 16, 16),
            torch.randn(2, 5, 4, 4),
            torch.randn(2, 7, 2, 2),
        )
    )
    first, second = textures[0].chunk(2, dim=1)
    assert not first.any()
    assert second.any()
    assert not pooled[0][:, 0].any()
    assert pooled[0][:, 1].any()


def test_published_backbone_weights_load_by_their_names(tmp_path):
    model = build()
    published = {
        k: torch.full_like(v, 0.5) if v.is_floating_point() else v
        for k, v in model.backbone.state_dict().items()
    }
    file = tmp_path / 'efficientnet.pth'
    torch.save({**published, '_fc.weight': torch.ones(2, 2)}, file)
    cfg = config()
    cfg.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(file))
    loaded = MODELS.build(cfg)
    loaded.init_weights()
    for key, value in loaded.backbone.state_dict().items():
        assert torch.equal(value, published[key]), key


@pytest.mark.parametrize('name', ['mat', 'mat-paired'])
def test_the_full_configs_have_the_channels_of_b4(name):
    cfg = Config.fromfile(
        CONFIGS / 'baselines' / f'{name}_efficientnet-b4_ffpp.py'
    )
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        feats = model.backbone(torch.zeros(1, 3, 32, 32))
        logits = model.cls_head(feats)
    assert tuple(f.shape[1] for f in feats) == cfg.model.cls_head.in_channels
    assert logits.shape == (1, 2)
