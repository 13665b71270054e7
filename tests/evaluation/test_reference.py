"""Chances of scores among genuine videos, and what is unlike the training."""

import numpy as np
import pytest

from gml_mmaction.evaluation.reference import (
    LEVELS,
    GenuineScores,
    HeatScale,
    Reference,
    quantiles_of,
)
from gml_mmaction.io.records import as_json, to_record

MERGE = dict(mean=np.mean, max=np.max, median=np.median)


def genuine_tracks(rng, count, clips):
    """Clips' scores of genuine tracks, each at a level of its own."""
    logits = rng.normal(-2, 1, (count, 1)) + rng.normal(0, 1, (count, clips))
    return (1 / (1 + np.exp(-logits))).tolist()


@pytest.mark.parametrize('rule', ['mean', 'max'])
def test_false_alarms_grow_neither_with_tracks_nor_with_clips(rule):
    """Where the highest track alone decides, they do both.

    Ten validation sets of 100 genuine tracks of 10 clips; the threshold is
    that of 10 per cent false alarms there. 60 genuine videos of each kind.
    """
    rng = np.random.default_rng(0)
    merge = MERGE[rule]
    kinds = ((1, 10), (1, 1), (1, 40), (8, 10), (8, 2), (30, 5))
    plain, corrected = (dict.fromkeys(kinds, 0.0) for _ in range(2))
    for _ in range(10):
        known = genuine_tracks(rng, 100, 10)
        genuine = GenuineScores(known, rule)
        threshold = np.quantile([merge(clips) for clips in known], 0.9)
        for tracks, clips in kinds:
            for _ in range(60):
                video = genuine_tracks(rng, tracks, clips)
                score = genuine.correct(video).score
                corrected[tracks, clips] += (score >= threshold) / 600
                highest = max(map(merge, video))
                plain[tracks, clips] += (highest >= threshold) / 600
    assert 0.07 < plain[1, 10] < 0.14
    assert max(corrected.values()) < 0.15
    assert plain[8, 10] > 0.4
    assert plain[30, 5] > 0.8


def test_a_video_like_those_of_the_validation_keeps_its_score():
    known = genuine_tracks(np.random.default_rng(1), 20, 6)
    genuine = GenuineScores(known, 'mean')
    found = genuine.correct([[0.4, 0.6] * 3])
    assert found.score == pytest.approx(0.5)
    assert found.track == 0


def test_more_tracks_lower_the_score_and_its_chance_is_sidak_s():
    rng = np.random.default_rng(2)
    genuine = GenuineScores(genuine_tracks(rng, 50, 6), 'mean')
    high, low = [0.8] * 6, [0.1] * 6
    one = genuine.correct([high])
    many = genuine.correct([low] * 6 + [high] + [low] * 3)
    assert many.track == 6
    assert many.chance == pytest.approx(1 - (1 - one.chance) ** 10)
    assert many.score < one.score
    # a single genuine track exceeds the corrected score as rarely
    assert genuine.chance(many.score, 6) == pytest.approx(many.chance)


def test_a_forgery_far_above_all_genuine_tracks_stays_there_among_many():
    rng = np.random.default_rng(3)
    genuine = GenuineScores((0.05 * rng.random((20, 6))).tolist(), 'mean')
    tracks = [[0.02] * 6] * 20 + [[0.97] * 6]
    assert genuine.correct(tracks).score > 0.5


@pytest.mark.parametrize('score', [0.0, 1.0])
def test_scores_at_the_ends_and_equal_ones_have_chances(score):
    genuine = GenuineScores([[score] * 3] * 12, 'mean')
    for value in (0.0, 0.3, 1.0):
        found = genuine.correct([[value] * 3, [value] * 2])
        assert 0 < found.chance <= 1
        assert 0 <= found.score <= 1


def test_a_property_beyond_those_of_the_training_is_said_and_how_far():
    reference = Reference(
        inputs=dict(
            face=quantiles_of(np.linspace(80, 160, 101)),
            brightness=quantiles_of(np.linspace(60, 180, 101)),
            rate=quantiles_of([12.5] * 9),
            length=quantiles_of([8.0, 10.0]),
        )
    )
    alike = dict(face=60, brightness=210, rate=12, length=13, bits=0.1)
    assert reference.unlike(alike) == []
    assert reference.unlike(dict(face=None)) == []
    small, dark, slow, long = reference.unlike(
        dict(face=20.2, brightness=11.2, rate=6.25, length=80)
    )
    assert small.text == (
        'size of the face 20.2 pixels, in the training 80.8 to 159 (1/4 of '
        'the lowest)'
    )
    assert dark.text == (
        'brightness 11.2 grey levels, in the training 61.2 to 179 (50 below '
        'that)'
    )
    assert 'frame rate 6.25 frames taken a second' in slow.text
    assert long.text.endswith('8 to 10 (8 times the highest); a note only')
    held = [one.withholds for one in (small, dark, slow, long)]
    assert held == [True, True, True, False]


def test_heat_begins_where_95_of_100_genuine_frames_end():
    rng = np.random.default_rng(4)
    maps = rng.random((100, 7, 7))
    peaks = maps.max(axis=(1, 2))
    scale = HeatScale(
        kind='clue',
        values=quantiles_of(maps.ravel()),
        peaks=quantiles_of(peaks),
        frames=100,
    )
    begin, full = scale.ends
    assert (peaks <= begin).mean() == pytest.approx(0.95, abs=0.011)
    assert full - begin == pytest.approx(begin - np.median(maps), abs=0.01)


@pytest.mark.parametrize(
    'change',
    [
        dict(tracks=[[]]),
        dict(tracks=[[1.5]]),
        dict(tracks=[['high']]),
        dict(inputs=dict(face=[1.0, 2.0])),
        dict(inputs=dict(face=[float('nan')] * len(LEVELS))),
        dict(inputs=dict(face=list(range(len(LEVELS), 0, -1)))),
        dict(heat=dict(kind='magic', values=[0] * 9, peaks=[0] * 9, frames=1)),
    ],
    ids=str,
)
def test_a_reference_that_cannot_be_is_refused(change):
    good = as_json(Reference(tracks=[[0.1, 0.2]]))
    assert to_record(good, Reference).tracks == [[0.1, 0.2]]
    with pytest.raises(ValueError, match=r'\w'):
        to_record({**good, **change}, Reference)
