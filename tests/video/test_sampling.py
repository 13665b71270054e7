"""Frames are taken by time, none twice, and what is missing is said."""

import numpy as np
import pytest
from videos import numbered, read_number, write

from gml_mmaction.io.records import to_record
from gml_mmaction.video import (
    ArrayFrames,
    Rates,
    at_rate,
    every,
    open_video,
    rates_of,
)
from gml_mmaction.video.frames import Frames

TRAINED = Rates(12.5, 12.5, 12.5)


class Film(Frames):
    """Frames of no content at given times, in seconds."""

    def __init__(self, times):
        self.times = list(times)
        self.num_frames = len(self.times)
        self.fps = 1.0

    def seconds_at(self, index):
        if index < self.num_frames:
            return self.times[index]
        return 2 * self.times[-1] - self.times[-2]


def film(fps, seconds=4):
    return Film(np.arange(int(fps * seconds)) / fps)


def nearest_by_loop(times, rate):
    """What is nearest to 0, 1 / rate, 2 / rate, ..., the earlier of two."""
    found, k = [], 0
    end = times[-1] + np.median(np.diff(times)) / 2
    while k / rate <= end + 1e-9:
        distances = [round(abs(t - k / rate), 9) for t in times]
        nearest = distances.index(min(distances))
        if nearest not in found:
            found.append(nearest)
        k += 1
    return found


@pytest.mark.parametrize(
    ('fps', 'step'), [(25, 2), (12.5, 1), (50, 4), (24, 2), (60, 5), (240, 19)]
)
def test_even_steps_are_taken_where_they_are_near_the_rate(fps, step):
    taken = at_rate(film(fps), TRAINED, 2)
    assert list(taken.indices) == list(range(0, int(4 * fps), step))
    assert taken.rate == pytest.approx(fps / step, rel=1e-3)
    assert not taken.notes


@pytest.mark.parametrize('fps', [30, 29.97, 18, 15, 10, 7])
def test_else_the_frame_nearest_to_each_moment_is_taken(fps):
    video = film(fps)
    taken = at_rate(video, TRAINED, 2)
    assert list(taken.indices) == nearest_by_loop(video.times, 12.5)
    assert taken.rate == pytest.approx(min(fps, 12.5), rel=0.03)


@pytest.mark.parametrize('seed', range(5))
def test_uneven_videos_are_taken_by_their_times(seed):
    rng = np.random.default_rng(seed)
    steps = rng.uniform(0.01, 0.06, 200)
    video = Film(np.concatenate([[0.0], np.cumsum(steps)]).round(3))
    taken = at_rate(video, TRAINED, 2)
    assert list(taken.indices) == nearest_by_loop(video.times, 12.5)


def test_every_second_frame_of_thirty_is_within_a_spread_to_fifteen():
    taken = at_rate(film(30), Rates(12.5, 12.5, 15), 2)
    assert list(taken.indices) == list(range(0, 120, 2))


def test_where_there_are_too_few_frames_all_are_taken_once_and_noted():
    taken = at_rate(film(10), TRAINED, 2)
    assert list(taken.indices) == list(range(40))
    (note,) = taken.notes
    assert note.startswith('10 frames a second, fewer than the 12.5 wanted')


def test_a_stretch_without_enough_frames_is_noted():
    times = [*np.arange(0, 2, 0.04), *(2 + 0.13 * np.arange(5))]
    (note,) = at_rate(Film(times), TRAINED, 2).notes
    assert note.startswith('4 of 29 frames come later than at 12.5 frames')


@pytest.mark.parametrize('fps', [13, 15, 18, 30])
def test_an_even_video_with_frames_enough_has_no_note(fps):
    assert not at_rate(film(fps), TRAINED, 2).notes


def test_a_gap_is_noted_and_marked():
    times = np.array([*np.arange(50), *np.arange(150, 200)]) / 25
    taken = at_rate(Film(times), TRAINED, 2)
    (k,) = taken.gaps
    assert taken.indices[k - 1] < 50 <= taken.indices[k]
    assert taken.notes[0].startswith('no frames for up to 4.')
    assert 'in 1 place' in taken.notes[0]
    assert taken.rate == pytest.approx(12.5, abs=0.3)


def test_without_a_rate_every_second_frame_is_taken_and_that_is_said():
    reader = ArrayFrames(np.zeros((9, 4, 4, 3), np.uint8))
    taken = at_rate(reader, TRAINED, 2)
    assert list(taken.indices) == [0, 2, 4, 6, 8]
    assert taken.rate is None
    (note,) = taken.notes
    assert 'frame rate is not known' in note


def test_times_that_jump_by_years_cost_nothing():
    taken = at_rate(Film([0, 0.04, 0.08, 1e9, 1e9 + 0.04]), TRAINED, 2)
    assert set(taken.indices) <= set(range(5))
    assert taken.notes


@pytest.mark.parametrize('times', [[0.0], [0.0, 0.0], [0.0, 0.0, 0.0, 0.04]])
def test_a_few_frames_or_equal_times_are_taken_as_they_are(times):
    taken = at_rate(Film(times), TRAINED, 2)
    assert taken.indices[0] >= 0
    assert len(set(taken.indices)) == len(taken.indices) >= 1


@pytest.mark.parametrize('number', [20, 21, 22])
def test_positions_are_frames_where_every_second_is_taken(number):
    taken = every(film(25, number / 25), 2)
    assert [taken.source(p) for p in range(number)] == list(range(number))
    assert taken.source(number + 1) == number


def test_a_file_is_read_at_the_frames_that_are_taken(tmp_path):
    path = write(tmp_path / 'a.mp4', numbered(60), fps=60)
    with open_video(path) as reader:
        taken = at_rate(reader, TRAINED, 2)
        numbers = [read_number(frame) for frame in reader.take(taken.indices)]
    assert numbers == list(taken.indices)
    assert numbers == list(range(0, 60, 5))


def test_a_spread_is_that_of_all_but_the_outermost_twentieths():
    rates = rates_of([12.5] * 60 + [15.0] * 30 + [1.0] * 3 + [60.0] * 3)
    assert rates == Rates(12.5, 12.5, 15.0)
    assert rates_of([]) is None


@pytest.mark.parametrize(
    'record',
    [
        None,
        {'low': 1, 'median': 2},
        {'low': 2, 'median': 1, 'high': 3},
        {'low': 0, 'median': 1, 'high': 3},
        {'low': 1e-300, 'median': 1, 'high': 3},
        {'low': 1, 'median': float('nan'), 'high': 3},
        {'low': 1, 'median': 2, 'high': float('nan')},
        {'low': 1, 'median': 2, 'high': 1e6},
        {'low': '1', 'median': '2', 'high': '3'},
    ],
)
def test_a_record_that_is_no_spread_is_refused(record):
    with pytest.raises(ValueError, match=r'expected|is missing'):
        to_record(record, Rates)
