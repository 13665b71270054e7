"""Facts about the scores; the references are scikit-learn and counting."""

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from sklearn.metrics import average_precision_score, roc_auc_score

from gml_mmaction.evaluation import (
    ForgeryMetric,
    equal_error_rate,
    forgery_scores,
)


def sample(video, clip, label, score, method=None):
    return dict(
        video_id=video,
        clip_index=clip,
        method=method or ('Deepfakes' if label else 'real'),
        gt_label=torch.tensor([label]),
        pred_score=torch.tensor([1 - score, score]),
    )


def evaluate(samples, **kwargs):
    metric = ForgeryMetric(**kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def random_clips(seed=0, videos=40):
    rng = np.random.default_rng(seed)
    clips = []
    for v in range(videos):
        label = int(rng.random() < 0.6)
        method = ('Deepfakes', 'FaceSwap')[v % 2] if label else 'real'
        for k in range(rng.integers(1, 6)):
            score = float(np.clip(rng.normal(0.4 + 0.2 * label, 0.25), 0, 1))
            clips.append(sample(f'v{v}', k, label, score, method))
    return clips


def columns(clips):
    labels = np.array([c['gt_label'].item() for c in clips])
    scores = np.array([c['pred_score'][1].item() for c in clips])
    return labels, scores


def test_auc_is_the_share_of_pairs_in_order():
    labels, scores = columns(random_clips())
    pairs = [
        (fake > real) + 0.5 * (fake == real)
        for fake in scores[labels == 1]
        for real in scores[labels == 0]
    ]
    assert forgery_scores(labels, scores)['auc'] == pytest.approx(
        np.mean(pairs)
    )


def test_acc_and_balanced_acc_count_at_one_half():
    labels = [0, 0, 0, 1, 1]
    scores = [0.1, 0.6, 0.4, 0.5, 0.2]
    result = forgery_scores(labels, scores)
    assert result['acc'] == pytest.approx(3 / 5)
    assert result['bacc'] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_eer_is_where_false_alarms_equal_misses():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 5000)
    scores = rng.normal(labels, 1) / 10
    rate, threshold = equal_error_rate(labels, scores)
    false_alarms = np.mean(scores[labels == 0] >= threshold)
    misses = np.mean(scores[labels == 1] < threshold)
    assert rate == pytest.approx(false_alarms, abs=1e-3)
    assert rate == pytest.approx(misses, abs=1e-3)
    # Two unit normals one apart cross at Phi(-1/2).
    assert rate == pytest.approx(0.3085, abs=0.02)


def test_perfect_scores_have_no_error():
    rate, threshold = equal_error_rate(
        np.array([0, 0, 1]), np.array([0.1, 0.2, 0.9])
    )
    assert rate == 0
    assert threshold == 0.9


@pytest.mark.parametrize('rule', ['mean', 'median', 'max'])
def test_a_video_has_the_score_that_the_rule_makes_of_its_clips(rule):
    clips = random_clips()
    by_video = {}
    for clip in clips:
        by_video.setdefault(clip['video_id'], []).append(clip)
    labels = [rows[0]['gt_label'].item() for rows in by_video.values()]
    scores = [
        getattr(np, rule)([r['pred_score'][1].item() for r in rows])
        for rows in by_video.values()
    ]
    result = evaluate(clips, video_rule=rule)
    assert result['video/auc'] == pytest.approx(roc_auc_score(labels, scores))
    assert result['video/ap'] == pytest.approx(
        average_precision_score(labels, scores)
    )
    assert result['clip/auc'] == pytest.approx(roc_auc_score(*columns(clips)))


def test_a_method_is_scored_against_all_reals():
    clips = random_clips()
    chosen = [c for c in clips if c['method'] in ('real', 'FaceSwap')]
    result = evaluate(clips)
    assert result['clip/auc/FaceSwap'] == pytest.approx(
        roc_auc_score(*columns(chosen))
    )
    assert 'video/auc/Deepfakes' in result


def test_one_method_is_not_reported_twice():
    clips = [sample('a', 0, 0, 0.1), sample('b', 0, 1, 0.9)]
    assert set(evaluate(clips)) == {
        f'{level}/{score}'
        for level in ('video', 'clip')
        for score in ('auc', 'acc', 'bacc', 'eer', 'eer_threshold', 'ap')
    }


def test_repeated_clips_count_once():
    clips = random_clips()
    assert evaluate(clips + clips[:7]) == evaluate(clips)


def test_fakes_of_one_name_by_several_methods_stay_apart():
    """DeepfakeBench keys videos by folder name and merges the methods."""
    clips = [
        sample(f'{method}/c23/000_003', 0, 1, score, method)
        for method, score in (('Deepfakes', 0.9), ('FaceSwap', 0.1))
    ] + [sample('youtube/c23/000', 0, 0, 0.5)]
    result = evaluate(clips)
    assert result['video/auc'] == 0.5
    assert result['video/auc/Deepfakes'] == 1
    assert result['video/auc/FaceSwap'] == 0


def test_one_class_gives_no_number_but_a_line(caplog):
    clips = [sample('a', 0, 1, 0.9), sample('b', 0, 1, 0.2)]
    MMLogger.get_current_instance().addHandler(caplog.handler)
    result = evaluate(clips)
    assert result['video/auc'] is None
    assert result['video/eer'] is None
    assert result['video/acc'] == 0.5
    assert 'all 2 videos are fake' in caplog.text


def test_scores_that_are_not_numbers_are_counted():
    clips = [sample('a', 0, 0, float('nan')), sample('b', 0, 1, 0.2)]
    with pytest.raises(ValueError, match='1 of 2 clips have no finite score'):
        evaluate(clips)


def test_samples_without_their_video_name_the_remedy():
    with pytest.raises(KeyError, match=r"\['video_id'\]: name them in meta_"):
        ForgeryMetric().process(
            None, [dict(clip_index=0, method='real', gt_label=0)]
        )


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="video_rule='best': use"):
        ForgeryMetric(video_rule='best')
