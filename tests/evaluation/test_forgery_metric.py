"""Facts about the scores; the references are scikit-learn and counting."""

import hashlib
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    roc_auc_score,
)

from gml_mmaction.evaluation import (
    ForgeryMetric,
    equal_error_rate,
    forgery_scores,
    merge_clips,
)
from gml_mmaction.evaluation.scores import ClipScore, TrackScore, VideoScore


def sample(video, clip, label, score, method=None, **more):
    return dict(
        **more,
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


def random_clips(seed=0, videos=40, tracks=1):
    rng = np.random.default_rng(seed)
    clips = []
    for v in range(videos):
        label = int(rng.random() < 0.6)
        method = ('Deepfakes', 'FaceSwap')[v % 2] if label else 'real'
        for k in range(rng.integers(1, 6)):
            score = float(np.clip(rng.normal(0.4 + 0.2 * label, 0.25), 0, 1))
            place = dict(track=k % tracks) if tracks > 1 else {}
            clip = sample(f'v{v}', k // tracks, label, score, method, **place)
            clips.append(clip)
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


def test_a_threshold_adds_acc_and_balanced_acc_there():
    labels, scores = columns(random_clips())
    result = forgery_scores(labels, scores, 0.37)
    called_fake = scores >= 0.37
    assert result['acc_val'] == accuracy_score(labels, called_fake)
    assert result['bacc_val'] == balanced_accuracy_score(labels, called_fake)
    del result['acc_val'], result['bacc_val']
    assert result == forgery_scores(labels, scores)


def test_a_score_at_the_threshold_is_called_fake():
    result = forgery_scores([0, 1], [0.2, 0.3], 0.3)
    assert result['acc_val'] == 1


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
    assert threshold == pytest.approx(0.55), 'the middle of the gap'


# scores of the reals, of the fakes, the rate and the threshold, by hand
TIES = [
    # From 0.9 on alarms are 1/2 and misses 1/1, from 0.5 on 1/2 and 0/1:
    # as far apart, the rates 3/4 and 1/4.
    ([0.1, 0.9], [0.5], 1 / 4, 0.3),
    # From 0.9 on 0/1 and 2/3, from 0.6 on 1/1 and 1/3; and the other way
    # round. In binary fractions 1 - 1/3 is more than 2/3.
    ([0.6], [0.9, 0.6, 0.4], 1 / 3, 0.75),
    ([0.4, 0.6, 1.0], [0.6], 1 / 3, 0.5),
    # From 0.9 on 0/2 and 1/2, from 0.5 on 1/2 and 0/2: the strictest.
    ([0.5, 0.1], [0.9, 0.5], 1 / 4, 0.7),
    # Nothing tells them apart: none is called fake, or all are.
    ([0.5, 0.5], [0.5, 0.5, 0.5], 1 / 2, 0.75),
]


@pytest.mark.parametrize(('reals', 'fakes', 'rate', 'threshold'), TIES)
def test_ties_of_the_equal_error_rate_are_decided_in_counts(
    reals, fakes, rate, threshold
):
    labels = np.repeat([0, 1], [len(reals), len(fakes)])
    result = equal_error_rate(labels, np.array(reals + fakes))
    assert result == (pytest.approx(rate, abs=1e-15), threshold)


def exact_rate(labels, scores):
    """The rule in fractions, threshold by threshold."""
    real, fake = scores[labels == 0], scores[labels == 1]
    places = []
    for place, least in enumerate([np.inf, *np.unique(scores)[::-1]]):
        alarms = Fraction(int((real >= least).sum()), len(real))
        misses = Fraction(int((fake < least).sum()), len(fake))
        rate = (alarms + misses) / 2
        places.append((abs(alarms - misses), rate, place))
    return float(min(places)[1])


def test_the_equal_error_rate_is_that_of_fractions_and_has_no_side():
    """Real for fake and 1 - s for s: the same question."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        reals, fakes = rng.integers(1, 9, 2)
        labels = np.repeat([0, 1], [reals, fakes])
        scores = rng.integers(0, 9, reals + fakes) / 8
        rate = equal_error_rate(labels, scores)[0]
        assert rate == exact_rate(labels, scores)
        assert rate == equal_error_rate(1 - labels, 1 - scores)[0]


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


@pytest.mark.parametrize('rule', ['mean', 'median', 'max'])
def test_a_video_has_the_score_of_its_most_forged_track(rule):
    clips = random_clips(tracks=3)
    by_video = {}
    for clip in clips:
        tracks = by_video.setdefault(clip['video_id'], {})
        score = clip['pred_score'][1].item()
        tracks.setdefault(clip['track'], []).append(score)
    label_of = {c['video_id']: c['gt_label'].item() for c in clips}
    scores = [
        max(getattr(np, rule)(values) for values in tracks.values())
        for tracks in by_video.values()
    ]
    assert max(map(len, by_video.values())) == 3
    result = evaluate(clips, video_rule=rule)
    auc = roc_auc_score([label_of[video] for video in by_video], scores)
    assert result['video/auc'] == pytest.approx(auc)


def test_samples_without_a_track_are_of_track_0():
    clips = random_clips()
    assert evaluate(clips) == evaluate([dict(c, track=0) for c in clips])


def test_merging_leaves_the_clips_as_they_are():
    facts = dict(video_id='a', clip_index=0, method='real', label=0)
    clip = ClipScore(**facts, track=2, score=0.25)
    other = ClipScore(**facts, track=1, score=0.5)
    assert merge_clips([clip, other], 'mean') == [
        VideoScore(
            video_id='a',
            method='real',
            label=0,
            score=0.5,
            tracks=[
                TrackScore(track=1, score=0.5, clips=1),
                TrackScore(track=2, score=0.25, clips=1),
            ],
        )
    ]
    assert clip == ClipScore(**facts, track=2, score=0.25)


def test_thresholds_count_on_their_own_level():
    clips = random_clips()
    result = evaluate(clips, thresholds=dict(video=0.55, clip=0.4))
    labels, scores = columns(clips)
    assert result['clip/acc_val'] == accuracy_score(labels, scores >= 0.4)
    videos = merge_clips(
        [
            ClipScore(
                video_id=c['video_id'],
                track=0,
                clip_index=k,
                method='',
                label=c['gt_label'].item(),
                score=c['pred_score'][1].item(),
            )
            for k, c in enumerate(clips)
        ],
        'mean',
    )
    hits = [(v.score >= 0.55) == v.label for v in videos]
    assert result['video/acc_val'] == pytest.approx(np.mean(hits))
    assert 'video/bacc_val/FaceSwap' in result
    alone = evaluate(clips, thresholds=dict(clip=0.4))
    assert {k: v for k, v in result.items() if 'video/' not in k} == {
        k: v for k, v in alone.items() if 'video/' not in k
    }
    assert not any(key.startswith('video/') and '_val' in key for key in alone)


@pytest.mark.parametrize('thresholds', [{'frame': 0.5}, {'clip': 1.5}])
def test_thresholds_of_no_level_or_no_probability_are_refused(thresholds):
    with pytest.raises(ValueError, match=r'thresholds=.*give numbers'):
        ForgeryMetric(thresholds=thresholds)


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


def test_clips_of_one_place_in_two_tracks_are_two():
    clips = [
        sample('a', 0, 0, 0.1, track=0),
        sample('a', 0, 0, 0.9, track=1),
        sample('b', 0, 1, 0.5),
    ]
    assert evaluate(clips)['clip/acc'] == pytest.approx(2 / 3)


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


def test_samples_without_a_video_are_one_each():
    clips = [sample('', 0, label, score) for label, score in LABELLED]
    for clip in clips:
        for key in ('video_id', 'clip_index', 'method'):
            del clip[key]
    metrics = evaluate(clips)
    labels, scores = zip(*LABELLED)
    assert metrics['video/auc'] == roc_auc_score(labels, scores)
    assert metrics['video/auc'] == metrics['clip/auc']


LABELLED = [(0, 0.2), (0, 0.6), (1, 0.4), (1, 0.9)]


def test_samples_go_by_their_file_where_they_name_it():
    clips = [sample('', i, label, score) for i, (label, score) in NAMED]
    for clip, (name, _) in zip(clips, NAMED):
        del clip['video_id'], clip['clip_index']
        clip['filename'] = f'{name}.mp4'
    metrics = evaluate(clips)
    assert metrics['video/acc'] == 1  # means of 0.3 and 0.7
    assert metrics['clip/acc'] == 0.5


NAMED = [(0, (0, 0.0)), (0, (0, 0.6)), (1, (1, 0.4)), (1, (1, 1.0))]


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="video_rule='best': use"):
        ForgeryMetric(video_rule='best')


def test_frames_with_scores_of_their_own_are_a_level_of_their_own():
    clips = random_clips()
    rng = np.random.default_rng(1)
    for clip in clips:
        clip['frame_scores'] = torch.tensor(rng.random(8))
    metrics = evaluate(clips)
    labels = [c['gt_label'].item() for c in clips for _ in range(8)]
    scores = np.concatenate([c['frame_scores'].numpy() for c in clips])
    assert metrics['frame/auc'] == pytest.approx(roc_auc_score(labels, scores))
    assert metrics['frame/acc'] == accuracy_score(labels, scores >= 0.5)
    without = {k: v for k, v in metrics.items() if 'frame' not in k}
    assert without == evaluate(random_clips())


def test_the_scores_file_names_the_checkpoint_by_its_hash(tmp_path):
    checkpoint = tmp_path / 'best.pth'
    checkpoint.write_bytes(b'weights')
    path = tmp_path / 'scores.json'
    for given in (checkpoint, 'https://example.org/best.pth', None):
        metric = ForgeryMetric(scores_file=path, checkpoint=given)
        checkpoint.write_bytes(b'of a training that goes on')
        clips = random_clips()
        metric.process(None, clips)
        metric.evaluate(len(clips))
        written = json.loads(path.read_text())
        if given is checkpoint:
            digest = hashlib.sha256(b'weights').hexdigest()
            expected = dict(name='best.pth', sha256=digest)
            assert written['checkpoint'] == expected
        else:
            assert 'checkpoint' not in written


def test_the_scores_file_holds_what_the_numbers_are_made_of(tmp_path):
    clips = random_clips(tracks=2)
    metric = ForgeryMetric(
        thresholds=dict(video=0.4), scores_file=tmp_path / 'new/scores.json'
    )
    metric.dataset_meta = dict(source='cdf', manifest='12ab', classes=())
    metric.process(None, clips)
    result = metric.evaluate(len(clips))
    written = json.loads((tmp_path / 'new/scores.json').read_text())
    assert {k: written[k] for k in list(written)[:4]} == dict(
        source='cdf',
        manifest='12ab',
        video_rule='mean',
        thresholds=dict(video=0.4),
    )
    for level in ('video', 'clip'):
        rows = written[f'{level}s']
        auc = roc_auc_score(*zip(*[(r['label'], r['score']) for r in rows]))
        assert result[f'{level}/auc'] == pytest.approx(auc)
    places = [
        (c['video_id'], c['track'], c['clip_index']) for c in written['clips']
    ]
    assert places == sorted(
        (c['video_id'], c['track'], c['clip_index']) for c in clips
    )
    assert sum(t['clips'] for v in written['videos'] for t in v['tracks']) == (
        len(clips)
    )
