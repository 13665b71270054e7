"""What every system of the tables has in common, by its small config."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from networks import predict, predict_and_loss
from tiny import REPO

from gml_mmaction import host
from gml_mmaction.host.mixed_precision import bfloat16

SMALL = sorted((REPO / 'configs').rglob('*-small_demo.py'))


def build(path):
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(path).model)


def clips(path, count, size=64):
    """As long as those that the config trains on."""
    frames = Config.fromfile(path).train_dataloader.dataset.clip_len
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3, frames, size, size)
    return torch.randint(0, 256, shape, generator=generator).float()


by_system = pytest.mark.parametrize(
    'path',
    [
        pytest.param(path, marks=pytest.mark.slow)
        if path.stem.startswith('c3d')  # of 78 million parameters
        else path
        for path in SMALL
    ],
    ids=lambda path: path.stem,
)


@by_system
@pytest.mark.parametrize('labels', [[0, 1, 0], [1], [0]], ids=str)
def test_every_parameter_is_trained_whatever_is_in_the_batch(path, labels):
    """DistributedDataParallel waits for the gradient of each of them."""
    model = build(path)
    losses, _ = predict_and_loss(model, clips(path, len(labels)), labels)
    total, _ = model.parse_losses(losses)
    assert total.isfinite()
    total.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


@by_system
def test_scores_are_probabilities_and_clips_do_not_touch_each_other(path):
    model = build(path)
    batch = clips(path, 3)
    alone = [predict(model, clip[None])[0] for clip in batch]
    together = predict(model, batch)
    for one, other in zip(together, alone):
        score = one.pred_score
        assert score.dtype == torch.float32
        assert score.sum().item() == pytest.approx(1, abs=1e-5)
        assert (score >= 0).all()
        torch.testing.assert_close(
            score, other.pred_score, rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
@by_system
def test_a_step_in_bfloat16_is_finite(path):
    host.prepare_run()  # MMAction2's heads
    model = build(path)
    with bfloat16():
        losses, _ = predict_and_loss(model, clips(path, 2), [0, 1])
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())
