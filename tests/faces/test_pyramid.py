"""What dlib finds in a whole frame is the reference."""

import functools

import cv2
import dlib
import numpy as np
import pytest

from gml_mmaction.faces import detect_faces, pyramid
from gml_mmaction.faces.detect import detect_large_faces
from gml_mmaction.faces.pyramid import Seen, find, look
from gml_mmaction.video import VideoReader


def whole(frame, doublings):
    """Boxes and scores of dlib's own search, the highest score first."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return searched(gray.tobytes(), gray.shape, doublings)


@functools.cache  # tests look at the same frames
def searched(pixels, shape, doublings):
    gray = np.frombuffer(pixels, np.uint8).reshape(shape)
    detector = dlib.get_frontal_face_detector()
    boxes, scores, _ = detector.run(gray, doublings, 0.0)
    return [
        ((b.left(), b.top(), b.width(), b.height()), score)
        for b, score in zip(boxes, scores, strict=True)
    ]


def without_a_rough_look(frame):
    """What the whole search makes of a frame, as it was before."""
    large = [box for box, _ in whole(frame, 0) if box[2] >= 80]
    return large + [
        box
        for box, _ in whole(frame, 1)
        if not any(centre_in(box, other) for other in large)
    ]


def centre_in(a, b):
    def holds(box, other):
        x, y = other[0] + other[2] / 2, other[1] + other[3] / 2
        return 0 <= x - box[0] < box[2] and 0 <= y - box[1] < box[3]

    return holds(a, b) or holds(b, a)


@pytest.fixture(scope='module')
def crowds(draw_faces):
    """Frames with faces of 37 to 170 pixels on a wall with a pattern."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(6):
        places = []
        for row, size in enumerate((110, 160, 240)):
            sizes = rng.uniform(0.9, 1.6, 4) * size
            left = 10
            for side in sizes.astype(int):
                places.append((left, [5, 150, 380][row], side))
                left += side + int(rng.integers(5, 40))
        frame = draw_faces(*places, width=1700, height=780, shade=0)
        wall = rng.integers(60, 120, (39, 85), dtype=np.uint8)
        wall = wall.repeat(20, 0).repeat(20, 1)[..., None]
        frames.append(np.where(frame == 0, wall, frame))
    return frames


@pytest.mark.slow
def test_of_the_faces_of_crowds_99_in_100_have_the_box_of_a_whole_search(
    crowds,
):
    wanted = found = 0
    for frame in crowds:
        boxes = [face.box for face in detect_faces(frame)]
        before = without_a_rough_look(frame)
        assert len(boxes) <= len(before)
        wanted += len(before)
        found += sum(
            any(np.abs(np.subtract(a, b)).max() <= 2 for b in boxes)
            for a in before
        )
    assert wanted > 50
    assert found >= 0.99 * wanted


@pytest.mark.slow
def test_the_largest_face_is_that_of_a_whole_search(crowds, draw_faces):
    alone = [draw_faces((30, 20, size), width=400) for size in (110, 240)]
    for frame in [*crowds, *alone]:
        large = [f for f in whole(frame, 0) if f[0][2] >= 80]
        boxes = large or whole(frame, 1)
        area = max(box[2] * box[3] for box, _ in boxes)
        left, top, width, height = detect_large_faces(frame)[0].box
        assert width * height == area
        assert (left, top, width, height) in [box for box, _ in boxes]


@pytest.mark.slow
@pytest.mark.parametrize('doublings', [0, 1])
def test_a_face_has_its_box_and_score_whatever_else_is_searched(
    crowds, doublings
):
    frame = crowds[0]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    for (left, top, width, height), score in whole(frame, doublings):
        place = Seen(left + width / 2, top + height / 2, width)
        boxes = [
            ((b.left(), b.top(), b.width(), b.height()), s)
            for b, s in find(gray, doublings, [place])
        ]
        assert ((left, top, width, height), score) in boxes
    assert find(gray, doublings, []) == []


def test_a_rough_look_sees_little_where_nobody_is(draw_faces):
    empty = cv2.cvtColor(draw_faces(width=600), cv2.COLOR_RGB2GRAY)
    assert look(empty, 1) == []


@pytest.mark.slow(8)
def test_real_people_have_the_boxes_of_a_whole_search(real_people):
    for path in real_people[::4]:
        with VideoReader(path) as reader:
            for frame in reader.frames(stride=40):
                boxes = [face.box for face in detect_faces(frame)]
                assert boxes == without_a_rough_look(frame)


@pytest.mark.slow
def test_a_dlib_that_saves_its_detector_otherwise_searches_whole_frames(
    crowds, monkeypatch
):
    monkeypatch.setattr(pyramid, 'CHANGES', ((b'not in it', b''),))
    pyramid._one_size.cache_clear()
    try:
        boxes = [face.box for face in detect_faces(crowds[0])]
    finally:
        pyramid._one_size.cache_clear()
    assert sorted(boxes) == sorted(without_a_rough_look(crowds[0]))
