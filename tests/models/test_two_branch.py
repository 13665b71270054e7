"""Facts about the LoG, the two branches, the LSTM and the isolating loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from networks import predict_and_loss, randomise
from scipy.ndimage import gaussian_laplace

from gml_mmaction.models import DenseNet, TwoBranch, TwoBranchHead
from gml_mmaction.models.two_branch import LoG, isolating_loss, log_kernels

CONFIGS = Path(__file__).parents[2] / 'configs' / 'baselines'
SIGMAS = (0.7, 1.4, 2.8)
SMALL = dict(growth_rate=4, block_config=(2, 2, 3), init_channels=8)
N, T, C, HIDDEN = 3, 4, 6, 5


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def image(height=40, width=37):
    """A ramp over rows and columns, far from zero."""
    rows = torch.arange(float(height))[:, None]
    return (100 + 2 * rows - 3 * torch.arange(float(width)))[None, None]


def head(**kwargs):
    return TwoBranchHead(**{**dict(in_channels=C, hidden=HIDDEN), **kwargs})


def feats(clips=N):
    return torch.randn(clips * T, C, 2, 2)


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


# The LoG.


def test_log_kernels_sum_to_zero():
    kernels = log_kernels(SIGMAS)
    assert kernels.shape == (3, 1, 25, 25)  # 12 > 4 * 2.8 pixels each way
    assert kernels.double().sum(dim=(1, 2, 3)).abs().max() < 1e-6


def test_log_is_zero_on_constants_up_to_the_border():
    assert LoG(SIGMAS)(torch.full((1, 2, 9, 9), 200.0)).abs().max() < 1e-3


def test_log_is_zero_on_ramps():
    inner = LoG(SIGMAS)(image())[..., 12:-12, 12:-12]
    assert inner.abs().max() < 1e-3


def test_log_of_a_parabola_is_its_laplacian_times_the_squared_sigma():
    x = torch.arange(60.0)
    parabola = (x.square() / 2).expand(1, 1, 60, 60)
    response = LoG((2.0,))(parabola)[0, 0, 30, 30]
    assert response.item() == pytest.approx(2.0**2, rel=5e-3)


@pytest.mark.parametrize('sigma', [1.0, 1.4, 2.8])
def test_log_responds_like_scipy(sigma):
    x = np.random.default_rng(0).normal(size=(60, 50))
    ours = LoG((sigma,))(torch.from_numpy(x).float()[None, None])[0, 0]
    theirs = sigma**2 * gaussian_laplace(x, sigma, mode='nearest')
    error = np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max()
    assert error < 2e-3  # scipy's kernel does not sum to zero


def test_log_keeps_channels_apart_and_bands_of_a_channel_together():
    log = LoG(SIGMAS)
    x = torch.randn(2, 3, 20, 20)
    expected = [
        LoG((sigma,))(x[:, c : c + 1]) for c in range(3) for sigma in SIGMAS
    ]
    torch.testing.assert_close(
        log(x), torch.cat(expected, dim=1), rtol=1e-3, atol=1e-4
    )


def test_log_has_no_parameters_and_leaves_none_in_checkpoints():
    log = LoG(SIGMAS)
    assert not list(log.parameters())
    assert not log.state_dict()


def test_log_is_zero_on_constants_under_autocast():
    x = torch.full((1, 1, 9, 9), 201.3)
    with torch.autocast('cpu', torch.bfloat16):
        assert LoG(SIGMAS)(x).abs().max() < 1e-3


# The branches.


@torch.no_grad()
def test_without_the_amplified_branch_it_is_densenet():
    backbone = randomise(TwoBranch(fusion='sum', **SMALL)).eval()
    plain = DenseNet(**SMALL).eval()
    state = backbone.state_dict()
    plain.load_state_dict(
        {k: v for k, v in state.items() if k.startswith('features.')}
    )
    backbone.log_branch.register_forward_hook(lambda *io: 0 * io[-1])
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(backbone(x), plain(x))


@torch.no_grad()
def test_the_amplified_branch_does_not_see_a_constant_stem():
    """Whatever the level: its blocks read what the LoG lets through."""
    backbone = randomise(TwoBranch(**SMALL)).eval()
    levels = [
        backbone.log(torch.full((1, 8, 16, 16), level))
        for level in (0.0, 50.0)
    ]
    torch.testing.assert_close(*levels, rtol=0, atol=1e-3)


@torch.no_grad()
def test_concatenation_with_selecting_weights_is_one_branch_alone():
    backbone = randomise(TwoBranch(branch_depth=2, **SMALL)).eval()
    channels = backbone.block_channels[1]
    seen = {}

    def keep(name):
        return lambda *io: seen.__setitem__(name, io[-1].clone())

    backbone.log_branch.register_forward_hook(keep('amplified'))
    backbone.fuse.register_forward_hook(keep('fused'))
    backbone.fuse.weight.zero_()
    backbone.fuse.weight[:, channels:, 0, 0] = torch.eye(channels)
    backbone(torch.randn(1, 3, 64, 64))
    torch.testing.assert_close(seen['fused'], seen['amplified'])


@pytest.mark.parametrize('depth', [1, 2, 3])
def test_each_branch_has_its_dense_blocks_and_the_rest_is_shared(depth):
    backbone = TwoBranch(branch_depth=depth, **SMALL)
    names = [name for name, _ in backbone.log_branch.named_children()]
    expected = ['denseblock1', 'transition1', 'denseblock2', 'transition2']
    assert names == [*expected, 'denseblock3'][: 2 * depth - 1]
    doubled = dict(backbone.branch.named_parameters())
    for name, parameter in backbone.log_branch.named_parameters():
        assert parameter is not doubled[name]
        assert parameter.shape == doubled[name].shape


def test_imagenet_weights_start_both_branches(tmp_path):
    published = randomise(DenseNet(**SMALL)).state_dict()
    file = tmp_path / 'densenet.pth'
    torch.save(published, file)
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    backbone = TwoBranch(init_cfg=init_cfg, **SMALL)
    backbone.init_weights()
    for key, value in backbone.state_dict().items():
        if key.startswith('log_branch.'):
            key = key.replace('log_branch.', 'features.')
        if key.startswith('features.'):
            assert torch.equal(value, published[key]), key


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(branch_depth=0), 'branch_depth=0: use 1 to 3'),
        (dict(branch_depth=4), 'branch_depth=4: use 1 to 3'),
        (dict(sigmas=()), 'use numbers above 0'),
        (dict(sigmas=(1, 0)), 'use numbers above 0'),
        (dict(fusion='max'), "fusion='max'"),
    ],
)
def test_what_is_out_of_range_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        TwoBranch(**wrong, **SMALL)


# The isolating loss.


def test_isolating_loss_has_the_value_computed_by_hand():
    distances = torch.tensor([0.5, 3.0, 5.0, 1.0, 7.0])
    labels = torch.tensor([0, 0, 0, 1, 1])
    losses = isolating_loss(distances, labels, r_real=1.0, r_fake=6.0)
    # Real: 0, 2 and 4, of three. Fake: 5 and 0, of two.
    assert [loss.item() for loss in losses] == [2.0, 2.5]


@pytest.mark.parametrize(
    ('label', 'expected'), [(0, [2.0, 0.0]), (1, [0.0, 3.0])]
)
def test_a_batch_of_one_class_has_zero_loss_for_the_other(label, expected):
    distances = torch.tensor([3.0, 3.0], requires_grad=True)
    losses = isolating_loss(distances, torch.full((2,), label), 1.0, 6.0)
    assert [loss.item() for loss in losses] == expected
    losses[1 - label].backward()
    assert torch.equal(distances.grad, torch.zeros(2))


@pytest.mark.parametrize('labels', [(0, 0), (1, 1), (1,)])
@pytest.mark.parametrize('center', ['fixed', 'learnable'])
def test_every_parameter_has_a_gradient_whatever_the_classes(labels, center):
    network = head(center=center).train()
    losses = network.loss(feats(len(labels)), samples(labels), num_segs=T)
    sum(losses.values()).backward()
    assert set(losses) == {'loss_real', 'loss_fake'}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_clip_at_the_centre_has_a_finite_gradient():
    network = head(center='learnable')
    clips = torch.zeros(1, 2 * HIDDEN, requires_grad=True)
    network.distances(clips).sum().backward()
    assert clips.grad.isfinite().all()


# The centre.


@pytest.mark.parametrize('half', [False, True])
def test_the_fixed_centre_is_the_mean_of_the_first_real_clips(half):
    network = head(center_iters=2)
    clips = torch.randn(3, 4, 2 * HIDDEN)
    labels = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 0]])
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        for batch, own in zip(clips, labels):
            network.update_center(batch, own)
    expected = clips[:2][labels[:2] == 0].mean(dim=0)
    torch.testing.assert_close(network.center, expected)


def test_batches_without_a_real_clip_leave_the_centre():
    network = head()
    network.update_center(torch.randn(2, 2 * HIDDEN), torch.tensor([1, 1]))
    assert torch.equal(network.center, torch.zeros(2 * HIDDEN))


def test_a_checkpoint_carries_the_centre_and_its_progress():
    network, resumed = head(center_iters=1), head(center_iters=1)
    labels = torch.tensor([0, 0])
    network.update_center(torch.randn(2, 2 * HIDDEN), labels)
    resumed.load_state_dict(network.state_dict())
    resumed.update_center(torch.randn(2, 2 * HIDDEN), labels)
    assert torch.equal(resumed.center, network.center)
    assert network.center.abs().sum() > 0


def test_a_centre_that_was_fixed_moves_again_from_an_earlier_checkpoint():
    network = head(center_iters=1)
    start = {k: v.clone() for k, v in network.state_dict().items()}
    labels = torch.tensor([0, 0])
    for _ in range(3):
        network.update_center(torch.randn(2, 2 * HIDDEN), labels)
    network.load_state_dict(start)
    clips = torch.randn(2, 2 * HIDDEN)
    network.update_center(clips, labels)
    torch.testing.assert_close(network.center, clips.mean(dim=0))


def test_training_sets_the_fixed_centre_and_testing_leaves_it():
    network = head()
    x = feats(2)
    network.loss(x, samples((0, 0)), num_segs=T)
    expected = network.embed(x, T).mean(dim=0)
    torch.testing.assert_close(network.center, expected)
    network.predict(feats(2), samples((0, 0)), num_segs=T)
    torch.testing.assert_close(network.center, expected)


def test_the_learnable_centre_moves_towards_real_clips_outside_its_radius():
    network = head(center='learnable')
    clips = torch.ones(1, 2 * HIDDEN)
    loss, _ = isolating_loss(
        network.distances(clips), torch.tensor([0]), 0.042, 1.638
    )
    loss.backward()
    assert (network.center.grad < 0).all()


# Several processes.


def half_a_batch(rank, folder):
    """Save the gradient and the centre of a process with half the batch."""
    dist.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=2
    )
    clips, labels = (half[rank::2] for half in torch.load(folder / 'batch.pt'))
    network = head()
    network.update_center(clips, labels)
    clips.requires_grad_()
    distances = network.distances(clips)
    sum(isolating_loss(distances, labels, 0.042, 1.638)).backward()
    torch.save((clips.grad, network.center), folder / f'{rank}.pt')
    dist.destroy_process_group()


def test_two_processes_have_one_centre_and_the_gradient_of_both(
    run_group, tmp_path
):
    """One has the only real clip; the other has fake clips alone."""
    clips, labels = torch.randn(4, 2 * HIDDEN) / 4, torch.tensor([0, 1, 1, 1])
    torch.save((clips, labels), tmp_path / 'batch.pt')
    run_group(half_a_batch, tmp_path)
    network = head()
    network.update_center(clips, labels)
    clips.requires_grad_()
    distances = network.distances(clips)
    sum(isolating_loss(distances, labels, 0.042, 1.638)).backward()
    for rank in range(2):
        gradient, center = torch.load(tmp_path / f'{rank}.pt')
        torch.testing.assert_close(center, network.center)
        torch.testing.assert_close(gradient / 2, clips.grad[rank::2])


# The score.


def scores_at(network, distances):
    """P(real), P(fake) of clips so far from the centre."""
    clips = torch.zeros(len(distances), 2 * HIDDEN)
    clips[:, 0] = torch.tensor(distances)
    network.embed = lambda *_: clips
    return network(None)


def test_fake_has_probability_one_half_midway_between_the_radii():
    network = head(r_real=1.0, r_fake=3.0)
    scores = scores_at(network, [2.0])
    assert torch.equal(scores, torch.tensor([[0.5, 0.5]]))


def test_the_probability_of_fake_rises_with_the_distance():
    distances = [0.0, 0.042, 0.5, 0.839, 0.841, 1.638, 16.0, 100.0]
    scores = scores_at(head(), distances)
    fake = scores[:, 1]
    assert (fake.diff() > 0).all()
    assert fake[0] == 0
    assert fake[-1] < 1
    assert fake[3] < 0.5 < fake[4]
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(len(distances)))


def test_clips_of_a_sample_are_averaged_as_probabilities():
    network = head()
    x = feats(4)
    first, second = network.predict(x, samples((0, 1)), num_segs=T)
    expected = network(x, num_segs=T).unflatten(0, (2, 2)).mean(dim=1)
    assert torch.equal(first.pred_score, expected[0])
    assert torch.equal(second.pred_score, expected[1])
    assert second.pred_label == expected[1].argmax()


@pytest.mark.parametrize('radii', [(-1, 1), (1, 1), (2, 1)])
def test_radii_out_of_order_are_refused(radii):
    with pytest.raises(ValueError, match='use 0 <= r_real < r_fake'):
        head(r_real=radii[0], r_fake=radii[1])


def test_an_unknown_centre_is_named():
    with pytest.raises(ValueError, match="center='mean'"):
        head(center='mean')


# The LSTM.


@torch.no_grad()
def test_the_clips_feature_is_what_both_directions_say_last():
    """Against one LSTM cell a direction, frame after frame."""
    network = head()
    x = feats()
    frames = x.mean(dim=(2, 3)).unflatten(0, (N, T))
    ends = []
    for suffix, order in (('', range(T)), ('_reverse', reversed(range(T)))):
        cell = torch.nn.LSTMCell(C, HIDDEN)
        for name, parameter in cell.named_parameters():
            parameter.copy_(getattr(network.lstm, f'{name}_l0{suffix}'))
        state = None
        for t in order:
            state = cell(frames[:, t], state)
        ends.append(state[0])
    torch.testing.assert_close(network.embed(x, T), torch.cat(ends, dim=1))


@torch.no_grad()
def test_the_order_of_frames_matters():
    network = head()
    x = feats(1)
    assert not torch.allclose(network.embed(x, T), network.embed(x.flip(0), T))


@torch.no_grad()
def test_clips_do_not_mix():
    network = head()
    x = feats()
    changed = x.clone()
    changed[T:] = 0
    both = network.embed(x, T), network.embed(changed, T)
    torch.testing.assert_close(both[0][0], both[1][0])
    assert not torch.allclose(both[0][1], both[1][1])


# The whole recogniser.


def build(**head_arguments):
    config = CONFIGS / 'two-branch_densenet121-small_demo.py'
    model = Config.fromfile(config).model
    model.cls_head.update(head_arguments)
    return MODELS.build(model)


def clips_of(number, size=64):
    return torch.randint(256, (number, 3, 8, size, size), dtype=torch.uint8)


@pytest.mark.parametrize('center', ['fixed', 'learnable'])
def test_gradients_reach_every_parameter(center):
    model = build(center=center, r_real=0.0)
    losses, _ = predict_and_loss(model, clips_of(4), (0, 1, 0, 1))
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize('size', [64, 100, 224])
def test_one_clip_of_any_size_has_a_loss_and_a_score(size):
    losses, (sample,) = predict_and_loss(build(), clips_of(1, size), (1,))
    assert losses['loss_fake'] > 0
    assert sample.pred_score.sum().item() == pytest.approx(1)


def test_losses_and_scores_are_float32_under_autocast():
    with torch.autocast('cpu', torch.bfloat16):
        losses, (sample, _) = predict_and_loss(build(), clips_of(2), (0, 1))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert sample.pred_score.dtype == torch.float32
    sum(losses.values()).backward()


def test_the_full_configuration_builds_with_matching_channels():
    model = Config.fromfile(CONFIGS / 'two-branch_densenet121_ffpp.py').model
    model = MODELS.build(model)
    channels = model.backbone.block_channels[-1]
    assert model.cls_head.lstm.input_size == channels == 1024
