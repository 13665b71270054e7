"""Facts about fakes beside the genuine videos that they were made of."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gml_mmaction.evaluation import ForgeryMetric
from gml_mmaction.evaluation.pairs import (
    matched_pairs,
    pairs_by_method,
    pairs_of,
)
from gml_mmaction.evaluation.scores import VideoScore
from gml_mmaction.io.records import UNSET


def video(name, label, score, pair=UNSET, method='swap'):
    return VideoScore(
        video_id=name,
        method=method if label else 'real',
        label=label,
        score=score,
        pair=pair,
        tracks=[],
    )


def test_a_fake_is_compared_with_its_own_original():
    videos = [
        *(video(f'r{i}', 0, score) for i, score in enumerate([0.1, 0.8, 0.5])),
        *(video('f0', 1, 0.2, 'r0'), video('f1', 1, 0.7, 'r1')),
        *(video('f2', 1, 0.5, 'r2'), video('alone', 1, 0.9)),
        video('elsewhere', 1, 0.9, 'r9'),
    ]
    pairs = matched_pairs(videos)
    assert (pairs.fakes, pairs.higher, pairs.ties) == (3, 1, 1)
    assert pairs.originals == 3
    assert pairs.words == '1 of 3, 1 equal (p 1)'
    # One real lies above most fakes: over all pairs of videos it looks worse.
    assert pairs.auc == roc_auc_score(
        [0, 0, 0, 1, 1, 1], [0.1, 0.8, 0.5, 0.2, 0.7, 0.5]
    )


@pytest.mark.parametrize(('won', 'lost'), [(9, 1), (3, 3), (0, 5), (26, 11)])
def test_the_probability_is_that_of_all_orders_as_uneven(won, lost):
    videos = []
    for i in range(won + lost):
        videos += [
            video(f'r{i}', 0, 0.5),
            video(f'f{i}', 1, 0.9 if i < won else 0.1, f'r{i}'),
        ]
    n = won + lost
    as_uneven = (
        math.comb(n, k)
        for k in range(n + 1)
        if abs(2 * k - n) >= abs(won - lost)
    )
    expected = sum(as_uneven) / 2**n
    assert matched_pairs(videos).p == pytest.approx(expected)


def test_several_fakes_of_one_original_are_one_trial():
    videos = []
    for i, method in itertools.product(range(4), range(3)):
        videos.append(video(f'f{i}{method}', 1, 0.9, f'r{i}'))
    videos += [video(f'r{i}', 0, 0.1) for i in range(4)]
    pairs = matched_pairs(videos)
    assert (pairs.fakes, pairs.originals) == (12, 4)
    assert pairs.p == pytest.approx(2 / 2**4)


def test_pairs_are_counted_for_each_of_several_methods():
    videos = [
        *(video('r0', 0, 0.5), video('r1', 0, 0.5)),
        *(video('f0', 1, 0.6, 'r0'), video('f1', 1, 0.7, 'r1')),
        video('l0', 1, 0.4, 'r0', method='lips'),
        video('alone', 1, 0.9, method='whole'),
    ]
    found = pairs_by_method(videos)
    counts = {name: (one.higher, one.fakes) for name, one in found.items()}
    assert counts == {'': (2, 3), 'lips': (0, 1), 'swap': (2, 2)}
    assert list(pairs_by_method(videos[:4])) == ['']
    assert pairs_by_method(videos[:2]) == {}


def test_the_metric_says_nothing_of_pairs_without_originals():
    samples = [
        dict(
            gt_label=label,
            pred_score=np.array([1 - score, score]),
            video_id=name,
        )
        for name, label, score in [('a', 0, 0.2), ('b', 1, 0.6)]
    ]

    def metrics(samples):
        metric = ForgeryMetric()
        metric.process(None, samples)
        return metric.compute_metrics(metric.results)

    assert pairs_of(metrics(samples)) is None
    samples[1]['pair'] = 'a'
    assert pairs_of(metrics(samples)) == (1, 1, 0, 1, 1.0, 1.0)
    assert pairs_of(metrics(samples), 'swap') is None  # the only method
    samples[1]['method'] = 'swap'
    other = dict(samples[1], video_id='c', method='lips')
    found = metrics([*samples, other])
    assert pairs_of(found).fakes == 2
    assert pairs_of(found, 'lips') == (1, 1, 0, 1, 1.0, 1.0)
