"""Facts about the AD head, the three losses and the averaged prediction."""

import pytest
import torch
import torch.distributed as dist
from mmaction.structures import ActionDataSample
from torch.nn import functional

from gml_mmaction.models import ADBlock, GMLHead
from gml_mmaction.models.gml_head import real_l1

N, T, TAP, LAST = 4, 3, 16, 24


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def feats():
    return torch.randn(N, T, TAP, 5, 5), torch.randn(N, T, LAST, 3, 3)


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


def build(**kwargs):
    arguments = dict(in_channels=LAST, ad_head=dict(in_channels=TAP))
    return GMLHead(**{**arguments, **kwargs})


def test_f_star_has_the_size_of_f_out_after_nine_residual_blocks():
    block = ADBlock(TAP)
    f_out, _ = feats()
    assert len(block) == 9
    assert block(f_out).shape == f_out.shape
    for bottleneck in block:
        last = bottleneck.residual[-1]
        torch.nn.init.zeros_(last.weight)
    torch.testing.assert_close(block(f_out), f_out)


def test_ad_of_a_frame_does_not_see_other_frames():
    block = ADBlock(TAP).eval()
    f_out, _ = feats()
    changed = f_out.clone()
    changed[:, 1:] = 0
    torch.testing.assert_close(block(changed)[:, 0], block(f_out)[:, 0])


def test_ad_at_728_channels_has_the_parameters_of_bottlenecks():
    # Convolutions 9 * (2 * 728 * 182 + 9 * 182**2) = 5.07 M, BN included 5.09.
    parameters = sum(p.numel() for p in ADBlock(728).parameters())
    assert parameters / 1e6 == pytest.approx(5.09, abs=0.005)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_l1_is_eq_3_written_as_a_loop_over_real_clips(reduction):
    f_star = torch.randn(N, T, TAP, 5, 5)
    labels = [0, 1, 0, 1]
    total, num_real = 0.0, 0
    for clip, label in zip(f_star, labels):
        if label == 0:
            values = [abs(v) for v in clip.flatten().tolist()]
            total += sum(values) / (len(values) if reduction == 'mean' else 1)
            num_real += 1
    loss = real_l1(f_star, torch.tensor(labels), reduction)
    assert loss.item() == pytest.approx(total / num_real, rel=1e-5)


def test_l1_ignores_fake_clips():
    f_star = torch.randn(N, T, TAP, 5, 5)
    labels = torch.tensor([0, 1, 1, 1])
    before = real_l1(f_star, labels)
    f_star[1:] *= 100
    assert real_l1(f_star, labels) == before > 0


def gradient_of_a_half(rank, folder):
    """What a process with half the batch sends to be averaged."""
    dist.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=2
    )
    f_star, labels = torch.load(f'{folder}/batch.pt')
    half = f_star[rank::2].requires_grad_()
    real_l1(half, labels[rank::2]).backward()
    torch.save(half.grad, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.mark.parametrize('labels', [[0, 1, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]])
def test_l1_of_two_processes_divides_by_the_reals_of_both(
    run_group, tmp_path, labels
):
    """The mean of both gradients is that of the whole batch.

    One process has two real clips where the other has none or one.
    """
    f_star, labels = torch.randn(N, T, TAP, 2, 2), torch.tensor(labels)
    torch.save((f_star, labels), tmp_path / 'batch.pt')
    run_group(gradient_of_a_half, tmp_path)
    f_star.requires_grad_()
    real_l1(f_star, labels).backward()
    for rank in range(2):
        half = torch.load(tmp_path / f'{rank}.pt')
        torch.testing.assert_close(half / 2, f_star.grad[rank::2])


def test_l1_without_a_real_clip_is_zero_with_a_gradient():
    f_star = torch.randn(N, T, TAP, 5, 5, requires_grad=True)
    loss = real_l1(f_star, torch.ones(N, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert f_star.grad.abs().max() == 0


def test_the_losses_are_cross_entropy_and_l1_on_the_branches():
    head = build()
    labels = [0, 1, 1, 0]
    f_out, f_last = feats()
    losses = head.loss((f_out, f_last), samples(labels))
    target = torch.tensor(labels)
    f_star = head.ad_head.ad_block(f_out)
    pooled = f_star.mean(dim=1).flatten(2).mean(dim=2)
    expected = dict(
        loss_cls1=functional.cross_entropy(
            head.fc_cls1(f_last.mean(dim=(1, 3, 4))), target
        ),
        loss_l1=f_star[[0, 3]].abs().mean(),
        loss_cls2=functional.cross_entropy(
            head.ad_head.fc_cls2(pooled), target
        ),
    )
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


@pytest.mark.parametrize(
    ('ad_head', 'names'),
    [
        (None, {'loss_cls1'}),
        (dict(classify=False), {'loss_cls1', 'loss_l1'}),
        (dict(l1_weight=0), {'loss_cls1', 'loss_cls2'}),
        (dict(), {'loss_cls1', 'loss_l1', 'loss_cls2'}),
    ],
)
def test_each_part_of_the_loss_can_be_switched_off(ad_head, names):
    if ad_head is not None:
        ad_head = dict(ad_head, in_channels=TAP)
    losses = build(ad_head=ad_head).loss(feats(), samples([0, 1, 0, 1]))
    assert losses.keys() == names


@pytest.mark.parametrize('fuse', ['prob', 'logit'])
def test_the_prediction_is_the_average_of_both_classifiers(fuse):
    head = build(fuse=fuse).eval()
    both = feats()
    first, second, _ = head.branches(both)
    if fuse == 'prob':
        expected = torch.stack([first.softmax(1), second.softmax(1)]).mean(0)
    else:
        expected = torch.stack([first, second]).mean(0).softmax(1)
    predicted = head.predict(both, samples([0, 1, 0, 1]))
    scores = torch.stack([sample.pred_score for sample in predicted])
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(N))


def test_without_the_second_classifier_the_backbone_decides_alone():
    head = build(ad_head=dict(in_channels=TAP, classify=False)).eval()
    both = feats()
    expected = head.fc_cls1(both[1].mean(dim=(1, 3, 4))).softmax(1)
    torch.testing.assert_close(head(both), expected)


def test_several_clips_of_a_sample_are_averaged():
    head = build().eval()
    both = feats()
    predicted = head.predict(both, samples([0, 1]))
    expected = head(both).unflatten(0, (2, 2)).mean(dim=1)
    scores = torch.stack([sample.pred_score for sample in predicted])
    torch.testing.assert_close(scores, expected)


def test_the_l1_loss_reaches_the_backbone():
    head = build()
    f_out, f_last = feats()
    f_out.requires_grad_()
    head.loss((f_out, f_last), samples([0, 0, 1, 1]))['loss_l1'].backward()
    assert f_out.grad[:2].abs().max() > 0


def test_unknown_options_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match="fuse='max': use"):
        build(fuse='max')
    with pytest.raises(ValueError, match="l1_reduction='max': use"):
        build(ad_head=dict(in_channels=TAP, l1_reduction='max'))


def test_an_ad_head_that_nothing_trains_is_refused():
    with pytest.raises(ValueError, match='use ad_head=None'):
        build(ad_head=dict(in_channels=TAP, l1_weight=0, classify=False))


def test_a_tap_of_other_channels_says_what_to_set():
    head = build(ad_head=dict(in_channels=TAP + 1))
    with pytest.raises(ValueError, match=r'set ad_head\.in_channels'):
        head(feats())
