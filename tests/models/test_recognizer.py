"""Facts about the whole recognizer, as the configs build it."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from torch import nn

CONFIGS = Path(__file__).parents[2] / 'configs'
T, SIZE = 8, 64


def build(motion_block='MCB', ad_head=True):
    """The small GML of the demo, or a reduced form of it."""
    torch.manual_seed(0)
    model = Config.fromfile(CONFIGS / 'gml_xception-small_demo.py').model
    model.backbone.width = 1 / 8
    model.cls_head.in_channels = 256
    model.backbone.motion_block = motion_block and dict(type=motion_block)
    model.cls_head.ad_head = dict(in_channels=91) if ad_head else None
    return MODELS.build(model)


def batch(labels=(0, 1, 0, 1)):
    """One clip a sample, as the data loader gives them, and its samples."""
    generator = torch.Generator().manual_seed(1)
    shape = (1, 3, T, SIZE, SIZE)
    inputs = [
        torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        for _ in labels
    ]
    samples = [ActionDataSample().set_gt_label(label) for label in labels]
    return dict(inputs=inputs, data_samples=samples)


def losses_of(model, data):
    data = model.data_preprocessor(data, training=True)
    return model(**data, mode='loss')


def scores_of(model, data):
    predicted = model.test_step(data)
    return torch.stack([sample.pred_score for sample in predicted])


@pytest.mark.parametrize('block', [None, 'CSTM', 'STMBlock', 'MCB'])
@pytest.mark.parametrize('ad_head', [False, True])
def test_gradients_reach_every_parameter(block, ad_head):
    model = build(block, ad_head).train()
    sum(losses_of(model, batch()).values()).backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert not without


def test_every_parameter_has_a_gradient_in_a_batch_without_real_clips():
    model = build().train()
    losses = losses_of(model, batch([1, 1]))
    sum(losses.values()).backward()
    assert losses['loss_l1'] == 0
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.slow
def test_training_lowers_the_loss_on_a_batch():
    model, data = build().train(), batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    history = []
    for _ in range(12):
        loss = sum(losses_of(model, data).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.5 * history[0]


def test_bfloat16_autocast_and_float32_agree():
    model, data = build().eval(), batch()
    expected = scores_of(model, data)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        scores = scores_of(model, data)
        losses = losses_of(model, data)
    assert scores.dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    torch.testing.assert_close(scores, expected, atol=0.02, rtol=0)
    for name, loss in losses_of(model, data).items():
        torch.testing.assert_close(losses[name], loss, atol=0.05, rtol=0.05)


def test_a_sample_of_several_clips_gets_the_mean_of_their_scores():
    model, data = build().eval(), batch([0, 0])
    apart = scores_of(model, data)
    together = dict(
        inputs=[torch.cat(data['inputs'])],
        data_samples=data['data_samples'][:1],
    )
    torch.testing.assert_close(scores_of(model, together)[0], apart.mean(0))


class Scores(nn.Module):
    """What is exported: normalised clips in, probabilities out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clips):
        return self.model(clips, mode='tensor', stage='head')


@pytest.mark.slow
@pytest.mark.parametrize('how', ['torchscript', 'export'])
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_the_exported_recognizer_gives_the_same_scores(how):
    model, data = build().eval(), batch()
    expected = scores_of(model, data)
    inputs = model.data_preprocessor(data)['inputs']
    if how == 'export':
        exported = torch.export.export(Scores(model), (inputs,)).module()
    else:
        exported = torch.jit.trace(Scores(model), inputs[:1])
    with torch.no_grad():
        torch.testing.assert_close(exported(inputs), expected)
