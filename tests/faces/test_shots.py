import cv2
import numpy as np
import pytest

from gml_mmaction.faces.shots import Cuts, distance, mark_cuts, thumbnail
from gml_mmaction.video import VideoReader


def cuts_in(frames):
    """Return the places of cuts; every frame must come out in its place."""
    marked = list(mark_cuts(enumerate(frames), lambda item: item[1]))
    assert [index for (index, _), _ in marked] == list(range(len(frames)))
    return [index for (index, _), cut in marked if cut]


@pytest.fixture(scope='module')
def people(real_people):
    """Return every 2nd frame of one video of each of two people."""
    shots = {}
    for path in real_people:
        if path.stem in ('again', 'bird'):
            with VideoReader(path) as reader:
                shots[path.stem] = list(reader.frames(stride=2))
    if len(shots) < 2:
        pytest.skip('no videos again and bird')
    return shots['again'], shots['bird']


def noise(frames, std=55):
    rng = np.random.default_rng(0)
    return [
        np.clip(f + rng.normal(0, std, f.shape), 0, 255).astype(np.uint8)
        for f in frames
    ]


def blocks(frames):
    rng = np.random.default_rng(0)
    frames = [frame.copy() for frame in frames]
    for frame in frames:
        height, width = frame.shape[:2]
        for _ in range(80):
            y, x = rng.integers(height - 8), rng.integers(width - 8)
            frame[y : y + 8, x : x + 8] = 128
    return frames


def exposure(frames):
    rng = np.random.default_rng(0)
    return [
        np.clip(f * rng.uniform(0.6, 1.5), 0, 255).astype(np.uint8)
        for f in frames
    ]


def lamp(frame):
    """Light a frame from its upper left corner."""
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]] / len(frame)
    light = 220 * np.clip(1.2 - np.hypot(x - 0.3, y - 0.3), 0.1, 1)
    return np.clip(frame + light[..., None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    'change', [list, noise, blocks, exposure], ids=lambda f: f.__name__
)
def test_a_cut_between_two_people_is_found_and_nothing_else(people, change):
    first, second = people
    frames = change([*first[:20], *second[:20]])
    assert cuts_in(frames) == [20]


@pytest.mark.parametrize('speed', [1, 2, 3])
def test_gestures_are_no_cuts(people, speed):
    for frames in people:
        assert cuts_in(frames[::speed]) == []


@pytest.mark.parametrize('length', [1, 2])
def test_a_flash_is_no_cut(people, length):
    frames = people[0][:16]
    lit = [*frames]
    lit[8 : 8 + length] = map(lamp, frames[8 : 8 + length])
    assert distance(thumbnail(lit[7]), thumbnail(lit[8])) > 0.13
    assert cuts_in(lit) == []


def test_a_pan_is_no_cut(people):
    wide = np.concatenate([people[0][0], people[1][0]], axis=1)
    frames = [wide[:, x : x + 640] for x in range(0, 640, 16)]
    assert cuts_in(frames) == []


def test_a_camera_that_trembles_makes_no_cut(people):
    rng = np.random.default_rng(0)
    frames = [
        frame[12 + dy : 468 + dy, 12 + dx : 628 + dx]
        for frame, (dx, dy) in zip(
            people[1], rng.integers(-12, 13, (len(people[1]), 2))
        )
    ]
    assert cuts_in(frames) == []


def test_cuts_in_quick_succession_are_all_found(people):
    first, second = people
    third = [frame[::-1] for frame in first]
    frames = [*first[:9], *second[:3], *third[:9]]
    assert cuts_in(frames) == [9, 12]


@pytest.mark.parametrize('num_frames', [0, 1, 2, 3])
def test_few_frames_come_out_as_they_went_in(num_frames):
    frames = [np.full((48, 64, 3), 7, np.uint8)] * num_frames
    assert cuts_in(frames) == []


def test_a_cut_to_black_and_back_is_found(people):
    black = [np.zeros_like(people[0][0])] * 6
    frames = [*people[0][:6], *noise(black, 2), *people[0][6:12]]
    assert cuts_in(frames) == [6, 12]


def test_no_more_than_two_frames_are_read_ahead():
    read = []
    items = (read.append(k) or k for k in range(9))
    image = np.zeros((48, 64, 3), np.uint8)
    for index, _ in mark_cuts(items, lambda item: image):
        assert len(read) <= index + 3


def test_the_distance_is_one_minus_the_correlation_of_means():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 24, 32, 3)).astype(np.uint8)
    large = [
        cv2.resize(x, (640, 480), interpolation=cv2.INTER_NEAREST)
        for x in (a, b)
    ]
    centred = [(x - x.mean((0, 1))).ravel() for x in (a, b)]
    expected = 1 - np.corrcoef(*centred)[0, 1]
    assert distance(*map(thumbnail, large)) == pytest.approx(
        expected, abs=0.01
    )


@pytest.mark.parametrize('change', [list, noise, exposure])
def test_a_cut_that_is_seen_frame_by_frame_is_told_two_frames_later(
    people, change
):
    frames = change([*people[0][:20], *people[1][:20]])
    cuts = Cuts()
    told, pending = {}, []
    for index, frame in enumerate(frames):
        told[index] = cuts.see(index, frame)
        pending += [index] if cuts.pending else []
    assert {k: v for k, v in told.items() if v is not None} == {22: 20}
    assert pending == [20, 21]
