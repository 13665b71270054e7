"""The plot of scores over time."""

import warnings

import cv2
import matplotlib
import pytest
from msgspec import structs
from test_overlay import prediction_of

from gml_mmaction.evaluation.prediction import Prediction
from gml_mmaction.visualization.timeline import (
    draw_timeline,
    faceless,
    probability_text,
    verdict_line,
)

DETECTOR = dict(
    checkpoint='best.pth',
    training=dict(source='ffpp'),
    threshold=dict(value=0.5, origin='as given'),
)


def read_image(figure_path):
    image = cv2.imread(str(figure_path))
    assert image is not None
    return image


@pytest.mark.slow
def test_a_timeline_is_drawn_for_one_face_many_and_none(tmp_path):
    for count in (0, 1, 9):
        prediction = prediction_of(
            *(((0, 0, 50), [0.1 * i, 0.5]) for i in range(count))
        )
        out = draw_timeline(prediction, DETECTOR, tmp_path / f'{count}.png')
        assert read_image(out).shape[:2] == (600, 1350)


def test_a_video_without_a_frame_rate_is_drawn_over_its_frames(tmp_path):
    prediction = prediction_of(((0, 0, 50), [0.1, 0.9]))
    prediction = structs.replace(
        prediction,
        video=structs.replace(prediction.video, fps=None, seconds=None),
        tracks=[
            structs.replace(track, seconds=None) for track in prediction.tracks
        ],
    )
    assert draw_timeline(prediction, DETECTOR, tmp_path / 'a.png').exists()


def test_stretches_without_a_face_are_those_that_no_track_covers():
    found = faceless([(1.0, 3.0), (2.0, 4.0), (6.0, 7.0)], 10.0)
    assert found == [(0.0, 1.0), (4.0, 6.0), (7.0, 10.0)]
    assert faceless([], 5.0) == [(0.0, 5.0)]
    assert faceless([(0.0, 5.0)], 5.0) == []


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        ({}, 'suspicious: video score 0.900 ≥ threshold 0.500'),
        (
            dict(probability=0.75),
            'suspicious: video score 0.900 ≥ threshold 0.500, '
            'calibrated probability 0.75',
        ),
        (
            dict(verdict='not suspicious', threshold=0.95),
            'not suspicious: video score 0.900 < threshold 0.950',
        ),
        (
            dict(score=None, status='no face', detail='none in 40 frames'),
            'no face: none in 40 frames',
        ),
    ],
    ids=str,
)
def test_the_verdict_is_one_line_with_score_and_threshold(change, line):
    prediction = prediction_of(((0, 0, 50), [0.9]))
    assert verdict_line(structs.replace(prediction, **change)) == line


def test_a_probability_is_never_shown_as_none_or_certain():
    shown = [probability_text(p) for p in (0.0, 0.004, 0.5, 0.996, 1.0)]
    assert shown == ['below 0.01', 'below 0.01', '0.50', *['above 0.99'] * 2]


@pytest.mark.parametrize('origin', ['', 'made-up videos of one portrait'])
def test_the_caption_says_first_what_the_training_data_are(
    tmp_path, monkeypatch, origin
):
    monkeypatch.setitem(matplotlib.rcParams, 'svg.fonttype', 'none')
    prediction = prediction_of(((0, 0, 50), [0.1, 0.9]))
    detector = {**DETECTOR, 'origin': origin}
    out = draw_timeline(prediction, detector, tmp_path / 'a.svg')
    trained = origin or 'ffpp'
    assert f'>Trained on {trained}. best.pth. Threshold' in out.read_text()


def test_a_name_in_a_script_that_the_font_lacks_is_no_warning(tmp_path):
    prediction = Prediction(input='漢字.mp4', status='no face', threshold=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        draw_timeline(prediction, DETECTOR, tmp_path / 'a.png')
