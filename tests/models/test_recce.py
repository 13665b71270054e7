"""Facts about RECCE: the network's parts, the three losses, the configs."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from networks import predict_and_loss, randomise
from torch.nn import functional as F

from gml_mmaction.models import RECCE, RECCEHead, Xception
from gml_mmaction.models.recce import (
    Gathering,
    GuidedAttention,
    add_white_noise,
    flooded,
    metric_loss,
)

CONFIGS = Path(__file__).parents[2] / 'configs' / 'baselines'
SMALL = dict(width=1 / 16, middle_blocks=5)
CHANNELS = 128  # of the last features


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


def small_model():
    model = Config.fromfile(CONFIGS / 'recce_xception-small_demo.py').model
    model.backbone.update(SMALL)
    model.cls_head.in_channels = CHANNELS
    return MODELS.build(model)


def clips(number):
    return torch.randint(256, (number, 3, 4, 64, 64)).float()


def test_the_network_has_the_published_parameters():
    # Counted in the authors' code, less the 1000-way ImageNet classifier and
    # the classifier of one logit.
    parameters = sum(p.numel() for p in RECCE().parameters())
    assert parameters == 25_830_509 - 2_049_000 - 2049


def test_imagenet_weights_of_xception_load_by_their_names(tmp_path):
    source = randomise(Xception(**SMALL))
    torch.save(source.state_dict(), tmp_path / 'xception.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'xception.pth'))
    loaded = MODELS.build(dict(type='RECCE', init_cfg=init, **SMALL))
    loaded.init_weights()
    state = loaded.state_dict()
    for key, value in source.state_dict().items():
        assert torch.equal(state[key], value), key


def test_fewer_middle_blocks_than_the_parts_stand_on_are_refused():
    with pytest.raises(ValueError, match='middle_blocks=4: use 5 to 8'):
        RECCE(middle_blocks=4)


@torch.no_grad()
@pytest.mark.parametrize('ratio', [2, 4])
def test_gathering_is_a_loop_over_positions_and_their_cells(ratio):
    gathering = randomise(Gathering(6, 5, 7, ratio)).eval()
    coarse, centres = torch.randn(2, 6, 2, 3), torch.randn(2, 7, 2, 3)
    fine = torch.randn(2, 5, 2 * ratio, 3 * ratio)
    gathered = gathering(coarse, centres, fine)

    first, _, second = (getattr(m, 'weight', None) for m in gathering.embed)
    score = gathering.score.weight.flatten()
    for m, y, x in torch.cartesian_prod(*map(torch.arange, (2, 2, 3))):
        nodes = []
        for i, j in torch.cartesian_prod(*[torch.arange(ratio)] * 2):
            node = fine[m, :, y * ratio + i, x * ratio + j]
            node = (first[..., 0, 0] @ node).relu()
            nodes.append(second[..., 0, 0] @ node)
        centre = centres[m, :, y, x]
        scores = [score @ torch.cat([centre, node]) for node in nodes]
        weights = torch.stack(scores).relu().softmax(dim=0)
        total = sum(w * node for w, node in zip(weights, nodes))
        gate = gathering.gate.weight[..., 0, 0] @ coarse[m, :, y, x]
        expected = total * (1 - gate.sigmoid())
        torch.testing.assert_close(gathered[m, :, y, x], expected)


@torch.no_grad()
def test_where_the_reconstruction_is_perfect_attention_is_one_half():
    attention = randomise(GuidedAttention(6, drop_rate=0.2)).eval()
    images, features = torch.rand(2, 3, 20, 20), torch.randn(2, 6, 3, 3)
    torch.testing.assert_close(
        attention(images, images, features),
        attention.transform(features) / 2 + features,
    )


def test_attention_differs_at_the_corner_that_is_not_reconstructed():
    attention = randomise(GuidedAttention(6, drop_rate=0.2)).eval()
    images, features = torch.rand(1, 3, 20, 20), torch.randn(1, 6, 4, 4)
    rebuilt = images.clone()
    rebuilt[:, :, :3, :3] += 1  # only the first sample of 4 x 4 is there
    moved = attention(images, rebuilt, features) != attention(
        images, images, features
    )
    # A 3x3 convolution spreads it by one.
    assert moved[0].any(dim=0).nonzero().max() == 1


def test_noise_reaches_about_half_of_the_images_and_stays_in_range():
    images = torch.rand(1000, 1, 8, 8) * 2 - 1
    noisy = add_white_noise(images, std=0.1)
    touched = (noisy != images).flatten(1).any(dim=1)
    assert 0.45 < touched.float().mean() < 0.55
    assert noisy.abs().max() == 1
    inside = images[touched].abs() < 0.5
    noise = (noisy - images)[touched][inside]
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)


def test_the_target_of_the_reconstruction_is_the_clean_image():
    backbone = RECCE(noise_std=0.5, **SMALL).train()
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    assert torch.equal(backbone(images)[2], images)


def test_noise_is_for_training_alone():
    backbone = RECCE(noise_std=0.5, drop_rate=0, **SMALL)
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    training = [backbone.train()(images)[0] for _ in range(2)]
    assert not torch.equal(*training)
    testing = [backbone.eval()(images)[0] for _ in range(2)]
    assert torch.equal(*testing)


@torch.no_grad()
@pytest.mark.parametrize('size', [64, 72, 101, 224, 299])
def test_images_of_any_size_are_reconstructed_at_their_own(size):
    backbone = randomise(RECCE(**SMALL)).eval()
    images = torch.rand(1, 3, size, size) * 2 - 1
    last, rebuilt, *_ = backbone(images)
    assert rebuilt.shape == images.shape
    assert rebuilt.abs().max() <= 1
    assert last.isfinite().all()


@torch.no_grad()
def test_frames_do_not_see_each_other():
    backbone = randomise(RECCE(**SMALL)).double().eval()
    images = torch.rand(3, 3, 64, 64).double() * 2 - 1
    together = backbone(images)
    for i in range(3):
        for one, all_of_them in zip(backbone(images[i : i + 1]), together):
            torch.testing.assert_close(one[0], all_of_them[i])


def test_the_classification_trains_the_decoder_too():
    backbone = RECCE(**SMALL).train()
    backbone(torch.rand(2, 3, 64, 64))[0].square().sum().backward()
    assert backbone.decoder.to_image.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ('loss', 'value'), [(0.01, 0.07), (0.04, 0.04), (0.5, 0.5)]
)
def test_a_loss_below_the_flood_level_rises_again(loss, value):
    assert flooded(torch.tensor(loss), 0.04).item() == pytest.approx(value)


def test_metric_loss_of_three_embeddings_computed_by_hand():
    embeddings = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    # Real pair: cosine 0, similarity 1/2. Mixed pairs: -1 and 0, so 0 and
    # 1/2, 1/4 on average.
    loss = metric_loss(embeddings, torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(1 - 1 / 2 + 1 / 4)


def test_metric_loss_is_a_loop_over_pairs():
    embeddings = torch.randn(7, 5) + 0.5
    labels = torch.tensor([1, 0, 0, 1, 0, 1, 0])
    among_real, mixed = [], []
    for i in range(7):
        for j in range(7):
            cosine = F.cosine_similarity(embeddings[i], embeddings[j], dim=0)
            if labels[i] != labels[j]:
                mixed.append((1 + cosine) / 2)
            elif labels[i] == 0 and i != j:
                among_real.append((1 + cosine) / 2)
    expected = 1 - sum(among_real) / len(among_real) + sum(mixed) / len(mixed)
    torch.testing.assert_close(metric_loss(embeddings, labels), expected)


@pytest.mark.parametrize('labels', [[1, 1, 1], [0]])
def test_without_a_pair_the_metric_loss_is_one_and_has_no_gradient(labels):
    embeddings = torch.randn(len(labels), 5, requires_grad=True)
    loss = metric_loss(embeddings, torch.tensor(labels))
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=1e-6)
    assert embeddings.grad.abs().max() < 1e-6


def test_with_one_real_frame_mixed_pairs_remain():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    loss = metric_loss(embeddings, torch.tensor([0, 1, 1]))
    assert loss.item() == pytest.approx(1 + (1 / 2 + 1) / 2)


def losses_of(labels, num_segs, feats):
    return RECCEHead(CHANNELS).loss(feats, samples(labels), num_segs)


def features(m, rebuilt=None):
    images = torch.zeros(m, 3, 9, 9)
    rebuilt = images if rebuilt is None else images + rebuilt
    return (
        torch.randn(m, CHANNELS, 2, 2),
        rebuilt,
        images,
        *(torch.randn(m, c) for c in (8, 6, 4)),
    )


def test_reconstruction_loss_is_a_tenth_of_the_mean_over_real_frames():
    # Two frames of a fake clip, two of a real one.
    off = torch.tensor([5.0, 7.0, 0.5, -0.3])[:, None, None, None]
    losses = losses_of([1, 0], 2, features(4, off))
    assert losses['loss_rec'].item() == pytest.approx(0.1 * (0.5 + 0.3) / 2)


def test_metric_losses_of_the_three_embeddings_are_summed():
    feats = features(4)
    labels = torch.tensor([1, 1, 0, 0])
    expected = 0.1 * sum(metric_loss(e, labels) for e in feats[3:])
    torch.testing.assert_close(
        losses_of([1, 0], 2, feats)['loss_metric'], expected
    )


@pytest.mark.parametrize('scale', [1, 40])
def test_classification_loss_is_that_of_one_logit_flooded(scale):
    head = RECCEHead(CHANNELS).eval()
    feats = features(4)
    with torch.no_grad():
        head.fc_cls.weight *= scale
        real, fake = head(feats).unbind(dim=1)
        loss = F.binary_cross_entropy_with_logits(
            fake - real, torch.tensor([1.0, 1, 0, 0])
        )
        ours = head.loss(feats, samples([1, 0]), 2)['loss_cls']
    torch.testing.assert_close(ours, (loss - 0.04).abs() + 0.04)


@pytest.mark.parametrize('labels', [[0, 1, 0], [1, 1], [0, 0], [0], [1]])
def test_whatever_the_batch_lacks_every_parameter_has_a_gradient(labels):
    model = small_model()
    losses, predicted = predict_and_loss(model, clips(len(labels)), labels)
    assert set(losses) == {'loss_cls', 'loss_rec', 'loss_metric'}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    for sample in predicted:
        assert sample.frame_scores.shape == (4,)
        torch.testing.assert_close(
            sample.pred_score[1], sample.frame_scores.mean()
        )


def test_with_both_classes_no_gradient_is_zero():
    model = small_model()
    losses, _ = predict_and_loss(model, clips(3), [0, 1, 0])
    sum(losses.values()).backward()
    zero = [n for n, p in model.named_parameters() if not p.grad.any()]
    assert not zero


def test_without_a_real_clip_the_reconstruction_loss_is_zero():
    losses, _ = predict_and_loss(small_model(), clips(2), [1, 1])
    assert losses['loss_rec'] == 0


def test_bfloat16_autocast_and_float32_agree():
    model = small_model()
    model.backbone.norm_eval = True
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    data = clips(2), [0, 1]
    losses, (one, two) = predict_and_loss(model, *data)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half_losses, (half_one, half_two) = predict_and_loss(model, *data)
    for name, loss in losses.items():
        assert half_losses[name].dtype == torch.float32
        torch.testing.assert_close(
            half_losses[name], loss, atol=0.02, rtol=0.05
        )
    for half, full in ((half_one, one), (half_two, two)):
        torch.testing.assert_close(
            half.pred_score, full.pred_score, atol=0.02, rtol=0
        )


def test_the_recipe_is_that_of_the_public_code():
    cfg = Config.fromfile(CONFIGS / 'recce_xception_ffpp.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.to_dict() == dict(type='Adam', lr=2e-4, weight_decay=1e-5)
    (scheduler,) = cfg.param_scheduler
    assert (scheduler.step_size, scheduler.gamma) == (22500, 0.5)
    assert not scheduler.by_epoch
    assert cfg.train_dataloader.batch_size == 16
    assert cfg.train_cfg.max_iters == 150_000
