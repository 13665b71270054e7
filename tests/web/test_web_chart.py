"""The timeline that can be clicked."""

import numpy as np
import pytest
from msgspec import structs

from gml_mmaction.evaluation.prediction import (
    Clip,
    Prediction,
    ScoredTrack,
    VideoFacts,
)
from gml_mmaction.visualization.timeline import faceless
from gml_mmaction.web.chart import describe, timeline_options


def track(index, start, stop, *scores):
    edges = np.linspace(start, stop, len(scores) + 1)
    spans = zip(edges[:-1].tolist(), edges[1:].tolist())
    clips = [
        Clip(start=0, stop=1, seconds=list(span), score=score)
        for span, score in zip(spans, scores)
    ]
    return ScoredTrack(
        track=index,
        start=0,
        stop=1,
        seconds=[start, stop],
        square=[0, 0, 9],
        seen=1.0,
        score=max(scores),
        clips=clips,
    )


def prediction(*tracks, seconds=10.0):
    return Prediction(
        input='a.mp4',
        video=VideoFacts(
            fps=25.0, width=64, height=48, num_frames=250, seconds=seconds
        ),
        threshold=0.4,
        tracks=[track(i, *one) for i, one in enumerate(tracks)],
    )


@pytest.mark.parametrize(
    'spans',
    [
        [(0, 10)],
        [(2, 5)],
        [(0, 4), (6, 10)],
        [(1, 8), (2, 3), (9, 10)],
        [(5, 6), (1, 5.5)],
    ],
)
def test_faceless_spans_are_where_no_track_is(spans):
    found = faceless(spans, 10.0)
    times = np.arange(0.05, 10, 0.1)
    seen = [any(a <= t <= b for a, b in spans) for t in times]
    grey = [any(a < t < b for a, b in found) for t in times]
    assert grey == [not one for one in seen]


def test_a_line_of_the_chart_is_at_a_clips_score_all_through_it():
    options = timeline_options(prediction((2, 6, 0.1, 0.9)))
    points = [point['value'] for point in options['series'][0]['data']]
    x, y = zip(*points)
    assert list(np.interp([2.5, 3.5, 4.5, 5.5], x, y)) == [0.1, 0.1, 0.9, 0.9]


def test_tracks_differ_in_dash_or_symbol_and_not_in_colour_alone():
    options = timeline_options(prediction(*[(0, 1, 0.5)] * 5))
    signs = {
        (one['lineStyle']['type'], one['symbol'])
        for one in options['series'][:-1]
    }
    assert len(signs) == 5


def test_threshold_and_moment_are_marked():
    options = timeline_options(prediction((0, 1, 0.5)), moment=0.7)
    marks = options['series'][-1]['markLine']['data']
    assert [mark.get('yAxis', mark.get('xAxis')) for mark in marks] == [
        0.4,
        0.7,
    ]


def test_the_chart_is_told_in_words_too():
    words = describe(prediction((2, 6, 0.1, 0.9), (0, 1, 0.25)))
    assert 'threshold 0.40' in words
    assert 'face 0: score 0.90, 2.0 to 6.0 seconds' in words
    assert 'face 1: score 0.25, 0.0 to 1.0 seconds' in words


def test_the_page_says_in_which_a_video_is_unlike_and_what_is_compared():
    pytest.importorskip('nicegui')
    from gml_mmaction.web.result import verdict_lines

    found = structs.replace(
        prediction((0, 4, 0.9, 0.9), (0, 4, 0.1, 0.1)),
        verdict='no verdict',
        score=0.9,
        corrected=0.45,
        unlike=['length 80 s, in the training 8 to 10 (8 times the highest)'],
    )
    assert verdict_lines(found) == [
        'Score of the video: 0.90 of 1, threshold 0.40.',
        'Corrected for 2 faces and 4 clips: 0.45; this is compared with the '
        'threshold.',
        'Unlike the training: length 80 s, in the training 8 to 10 (8 times '
        'the highest).',
        'The video score is the highest of 2 faces: face 0 has 0.900, the '
        'mean of its 2 clips (0.90 to 0.90).',
    ]
