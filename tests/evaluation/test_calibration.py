"""Scores become probabilities."""

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from gml_mmaction.evaluation.calibration import (
    METHODS,
    CalibrationError,
    calibrate,
    calibration_path,
    expected_error,
    read_calibration,
    write_calibration,
)
from gml_mmaction.evaluation.scores import ScoresFile, VideoScore
from gml_mmaction.io.records import decode


def scores_of(count, seed=0):
    """Videos whose true log-odds are half of what their score says, plus 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, count)
    labels = rng.random(count) < 1 / (1 + np.exp(-(0.5 * logits + 1)))
    values = 1 / (1 + np.exp(-logits))
    return scores_file(labels, values)


def scores_file(labels, values):
    rows = [
        VideoScore(
            video_id=str(i),
            method='x',
            label=int(label),
            score=float(value),
            tracks=[],
        )
        for i, (label, value) in enumerate(zip(labels, values))
    ]
    return ScoresFile(source='made up', manifest='ab', videos=rows, clips=[])


def test_the_sigmoid_finds_the_slope_and_shift_that_the_scores_have():
    slope, shift = calibrate(scores_of(20000), 'x').parameters
    assert slope == pytest.approx(0.5, abs=0.03)
    assert shift == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize('method', METHODS)
def test_new_videos_of_the_same_kind_are_fakes_as_often_as_is_said(method):
    calibration = calibrate(scores_of(5000), 'x', method)
    rows = scores_of(20000, seed=1).videos
    labels = np.array([row.label for row in rows])
    said = calibration([row.score for row in rows])
    share, mean = calibration_curve(labels, said, n_bins=5)
    assert np.abs(share - mean).max() < 0.06
    assert expected_error(labels, said) < 0.03


@pytest.mark.parametrize('method', METHODS)
def test_a_higher_score_is_never_a_lower_probability(method):
    calibration = calibrate(scores_of(300), 'x', method)
    said = calibration(np.linspace(0, 1, 101))
    assert (np.diff(said) >= 0).all()
    assert said.min() >= 0
    assert said.max() <= 1


def test_the_expected_error_of_three_videos_by_hand():
    # bins [0.2, 0.3): 0.25 x 2 with one fake; [0.9, 1]: 1.0 with one fake
    labels, said = np.array([0, 1, 1]), np.array([0.25, 0.25, 1.0])
    assert expected_error(labels, said) == pytest.approx(0.5 / 3)


def test_the_error_after_is_of_videos_that_were_not_fitted_on():
    """Steps fit any labels; on labels by chance they must not look good."""
    rng = np.random.default_rng(0)
    scores = scores_file(rng.integers(0, 2, 200), rng.random(200))
    assert calibrate(scores, 'x', 'isotonic').brier.after > 0.24


def test_a_side_file_gives_the_same_probabilities_again(tmp_path):
    checkpoint = tmp_path / 'best.pth'
    for method in METHODS:
        written = calibrate(scores_of(100), 'abc', method)
        path = write_calibration(checkpoint, written)
        assert path == tmp_path / 'best.calibration.json'
        read = read_calibration(checkpoint, 'abc')
        scores = np.linspace(0, 1, 11)
        np.testing.assert_array_equal(read(scores), written(scores))


def test_without_a_side_file_there_is_no_calibration(tmp_path):
    assert read_calibration(tmp_path / 'best.pth', 'abc') is None


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (dict(checkpoint_sha256='other'), 'belongs to another checkpoint'),
        (dict(parameters=[-1, 0]), 'not a rising curve'),
        (dict(parameters='x'), 'not a valid calibration'),
        (dict(unknown=1), 'not a valid calibration'),
    ],
    ids=str,
)
def test_a_side_file_that_does_not_fit_is_refused(tmp_path, change, why):
    checkpoint = tmp_path / 'best.pth'
    facts = calibrate(scores_of(100), 'abc').facts
    calibration_path(checkpoint).write_text(json.dumps({**facts, **change}))
    with pytest.raises(CalibrationError, match=why) as caught:
        read_calibration(checkpoint, 'abc')
    assert 'best.calibration.json' in str(caught.value)


def test_too_few_videos_and_turned_round_scores_are_refused():
    with pytest.raises(CalibrationError, match='at least 10 of each'):
        calibrate(scores_of(15), 'x')
    found = scores_of(500).videos
    turned = scores_file(
        [row.label for row in found], [1 - row.score for row in found]
    )
    with pytest.raises(CalibrationError, match='do not score higher'):
        calibrate(turned, 'x')
    with pytest.raises(ValueError, match="'videos' is missing"):
        decode('{"clips": []}', ScoresFile)
