"""Facts about I3D, C3D, R3D, R50+LSTM and TSN as their configs build them."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from networks import predict_and_loss, randomise, relative_error
from torch.utils.flop_counter import FlopCounterMode

from gml_mmaction import host
from gml_mmaction.host.mixed_precision import bfloat16

CONFIGS = Path(__file__).parents[2] / 'configs'
# Millions of parameters with the classifier; 10^9 multiplications of the
# backbone for 8 frames of 224 x 224; what it leaves of them.
SYSTEMS = {
    'i3d_r50': (27.23, 28.54, (1, 2048, 4, 7, 7)),
    'i3d_inception-v1': (12.29, 13.92, (1, 1024, 1, 7, 7)),
    'c3d': (78.00, 77.04, (1, 4096)),
    'r3d_r18': (33.17, 81.48, (1, 512, 1, 14, 14)),
    'lstm_r50': (28.76, 32.88, (8, 2048, 7, 7)),
    'tsn_r50': (23.51, 32.88, (8, 2048, 7, 7)),
}
T, SIZE = 8, 64
every_system = pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=pytest.mark.slow) if name == 'c3d' else name
        for name in SYSTEMS
    ],
)


def full(name):
    """The published network, without memory for its weights."""
    config = Config.fromfile(CONFIGS / f'_base_/models/{name}.py')
    with torch.device('meta'):
        return MODELS.build(config.model).eval()


def small(name):
    """That of the small config, with random weights."""
    path = CONFIGS / f'baselines/{name}-small_demo.py'
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(path).model)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return model


def clips(n, size=SIZE):
    generator = torch.Generator().manual_seed(1)
    shape = (n, 3, T, size, size)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def logits_of(model, inputs):
    """``(N, 2)``, in the mode that the model is in."""
    samples = [ActionDataSample() for _ in inputs]
    data = dict(inputs=list(inputs[:, None]), data_samples=samples)
    inputs = model.data_preprocessor(data)['inputs']
    return model.extract_feat(inputs, stage='head')[0]


@every_system
def test_the_network_has_the_published_parameters(name):
    millions = sum(p.numel() for p in full(name).parameters()) / 1e6
    assert millions == pytest.approx(SYSTEMS[name][0], abs=0.005)


@every_system
@torch.no_grad()
def test_the_network_needs_the_published_multiplications(name):
    """Of convolutions and matrices alone, hence a few per mille less."""
    frames = (T, 3) if name in ('lstm_r50', 'tsn_r50') else (1, 3, T)
    backbone = full(name).backbone
    with torch.device('meta'), FlopCounterMode(display=False) as counter:
        features = backbone(torch.zeros(*frames, 224, 224))
    _, giga, shape = SYSTEMS[name]
    assert features.shape == shape
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, rel=0.01)


@every_system
def test_gradients_reach_every_parameter(name):
    model = randomise(small(name))
    losses, _ = predict_and_loss(model, clips(4), [0, 1, 0, 1])
    losses['loss_cls'].backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert not without


@every_system
def test_the_loss_is_the_cross_entropy_of_the_clips(name):
    model, labels = small(name), [0, 1, 1]
    losses, _ = predict_and_loss(model, clips(3), labels)
    chosen = logits_of(model.train(), clips(3)).log_softmax(1)[
        range(3), labels
    ]
    torch.testing.assert_close(losses['loss_cls'], -chosen.mean())


@every_system
@pytest.mark.parametrize('size', [64, 75, 112])
def test_one_clip_of_any_size_is_trained_and_tested(name, size):
    losses, samples = predict_and_loss(small(name), clips(1, size), [1])
    assert losses['loss_cls'].isfinite()
    (sample,) = samples
    torch.testing.assert_close(sample.pred_score.sum(), torch.tensor(1.0))


@every_system
def test_bfloat16_autocast_and_float32_agree(name):
    host.prepare_run()  # MMAction2's heads
    _, expected = predict_and_loss(small(name), clips(2), [0, 1])
    with bfloat16():
        losses, samples = predict_and_loss(small(name), clips(2), [0, 1])
    assert losses['loss_cls'].dtype == torch.float32
    for sample, other in zip(samples, expected):
        assert sample.pred_score.dtype == torch.float32
        torch.testing.assert_close(
            sample.pred_score, other.pred_score, atol=0.03, rtol=0
        )


@every_system
def test_all_systems_but_tsn_know_the_order_of_frames(name):
    model = randomise(small(name)).eval()
    with torch.no_grad():
        there = logits_of(model, clips(1))
        back = logits_of(model, clips(1).flip(2))
    change = relative_error(back, there)
    assert change < 1e-5 if name == 'tsn_r50' else change > 1e-3
