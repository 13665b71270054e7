"""Facts about the head with an LSTM over the features of frames."""

import pytest
import torch
from mmaction.structures import ActionDataSample
from networks import randomise

from gml_mmaction.models import LSTMHead

N, T, C = 3, 5, 6


@pytest.fixture
def head():
    return randomise(LSTMHead(C, hidden=4)).eval()


@pytest.fixture
def feats():
    return torch.randn(N * T, C, 3, 3, generator=torch.manual_seed(1))


@torch.no_grad()
def test_scores_are_those_of_an_lstm_written_as_a_loop(head, feats):
    weights = head.lstm.state_dict()
    for clip in range(N):
        h = c = torch.zeros(4)
        for frame in range(T):
            x = feats[clip * T + frame].flatten(1).mean(dim=1)
            gates = weights['weight_ih_l0'] @ x + weights['bias_ih_l0']
            gates += weights['weight_hh_l0'] @ h + weights['bias_hh_l0']
            i, f, g, o = gates.chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        expected = head.fc_cls.weight @ h + head.fc_cls.bias
        torch.testing.assert_close(head(feats, num_segs=T)[clip], expected)


@torch.no_grad()
def test_the_order_of_frames_matters(head, feats):
    backwards = feats.unflatten(0, (N, T)).flip(1).flatten(0, 1)
    there, back = head(feats, num_segs=T), head(backwards, num_segs=T)
    assert (there - back).abs().min() > 1e-3


@torch.no_grad()
def test_clips_in_a_batch_do_not_leak(head, feats):
    alone = head(feats[T : 2 * T], num_segs=T)
    torch.testing.assert_close(head(feats, num_segs=T)[1:2], alone)


@torch.no_grad()
def test_a_clip_has_one_score_that_sums_to_one(head, feats):
    samples = [ActionDataSample() for _ in range(N)]
    expected = head(feats, num_segs=T).softmax(dim=1)
    for sample, score in zip(
        head.predict(feats, samples, num_segs=T), expected
    ):
        torch.testing.assert_close(sample.pred_score, score)


@torch.no_grad()
def test_the_loss_is_the_mean_over_clips(head, feats):
    labels = [0, 1, 1]
    samples = [ActionDataSample().set_gt_label(k) for k in labels]
    chosen = head(feats, num_segs=T).log_softmax(dim=1)[range(N), labels]
    loss = head.loss(feats, samples, num_segs=T)['loss_cls']
    torch.testing.assert_close(loss, -chosen.mean())


@torch.no_grad()
def test_logits_are_float32_under_autocast(head, feats):
    expected = head(feats, num_segs=T)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits = head(feats, num_segs=T)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0)
