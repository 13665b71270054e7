"""Facts about the head of networks that end in logits."""

import pytest
import torch
from mmaction.structures import ActionDataSample
from torch.nn import functional as F

from gml_mmaction.errors import SettingError
from gml_mmaction.models import LogitHead


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


def test_two_logits_are_taken_as_they_are():
    logits, head = torch.randn(3, 2), LogitHead()
    assert not list(head.parameters())
    torch.testing.assert_close(head(logits), logits)
    losses = head.loss(logits, samples([0, 1, 1]))
    expected = F.cross_entropy(logits, torch.tensor([0, 1, 1]))
    torch.testing.assert_close(losses['loss_cls'], expected)


@pytest.mark.parametrize('shape', [(3, 1), (3,)])
def test_one_logit_is_the_log_odds_of_fake(shape):
    odds, head = torch.randn(shape), LogitHead()
    found = head.predict(odds, samples([0, 0, 0]))
    scores = torch.stack([sample.pred_score[1] for sample in found])
    torch.testing.assert_close(scores, odds.flatten().sigmoid())


def test_logits_of_frames_are_averaged_over_a_clip():
    logits = torch.randn(6, 2)
    expected = torch.stack([logits[:3].mean(0), logits[3:].mean(0)])
    torch.testing.assert_close(LogitHead()(logits, num_segs=3), expected)


@pytest.mark.parametrize('shape', [(3, 5), (3, 2, 4, 4)], ids=str)
def test_what_is_not_logits_is_refused_with_a_remedy(shape):
    with pytest.raises(SettingError, match=r'takes logits.*Remedy: I3DHead'):
        LogitHead()(torch.randn(shape))


@pytest.mark.parametrize('given', [(torch.randn(3, 2),), {}, None])
def test_what_is_no_tensor_is_refused_by_its_kind(given):
    kind = type(given).__name__
    with pytest.raises(SettingError, match=f'the backbone gives a {kind}'):
        LogitHead()(given)
