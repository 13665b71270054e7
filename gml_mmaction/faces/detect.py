"""Faces in one frame, by dlib's frontal detector (HOG and linear SVM)."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from gml_mmaction.stack import require

from .pyramid import Seen, find, frontal_detector, look
from .square import Box, Square, crop

__all__ = [
    'Face',
    'detect_faces',
    'detect_large_faces',
    'face_in',
    'has_face',
    'offset',
    'points_in',
]

_LARGE = 80  # pixels; the smallest box is 73 wide, the next 88
_CHECKED_SIDE = 192  # a square's face is then 96 wide; dlib sees from 80 on


class Face(NamedTuple):
    """A detected face.

    Attributes:
        box: Left, top, width, height; may reach beyond the frame.
        score: dlib's confidence, above 0, unbounded.
    """

    box: Box
    score: float


def detect_faces(frame: np.ndarray, *, upsample: int = 1) -> list[Face]:
    """Find the faces of an RGB frame; the one to follow comes first.

    A face that is large enough gets its box from the original frame, a
    smaller one from the doubled frame, whichever faces are wanted. So the same
    face has the same box in all videos.

    Args:
        frame: (H, W, 3), uint8.
        upsample: How often the frame is doubled before the search for small
            faces. 0 finds faces from about 80 pixels on, 1 from about 40 on.

    Returns:
        The largest face first; of equals, the one with the higher score.

    Raises:
        ImportError: dlib is missing.

    Paper: "dlib", no settings. We search in gray, doubled once at most, as
    the official crop of FaceForensics++ does always (classification/
    detect_from_video.py), and take the largest of several faces, as that
    script's comment says, not the first of dlib's list, as its code does.
    """
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    seen = look(gray, upsample)
    return _add_small(gray, _find(gray, 0, seen), upsample, seen)


def detect_large_faces(frame: np.ndarray, *, upsample: int = 1) -> list[Face]:
    """Find the largest face of an RGB frame, and other large ones.

    Small faces are searched for only if there is no large one. This takes a
    quarter of the time of :func:`detect_faces`.

    Args:
        frame: (H, W, 3), uint8.
        upsample: How often the frame may be doubled.

    Returns:
        As :func:`detect_faces`. If there is a face of 80 pixels or more,
        faces that only the doubled frame shows are missing.

    Raises:
        ImportError: dlib is missing.
    """
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    found = _find(gray, 0, look(gray, 0))
    if _large(found) or not upsample:
        return _large(found) or found
    return _add_small(gray, found, upsample, look(gray, upsample))


def has_face(frame: np.ndarray, square: Square) -> bool:
    """Whether a face is found in a square made for one of its size.

    Only the square is searched, scaled down, which takes 3 ms; a whole
    640x480 frame takes 70. In 212 frames of 18 videos of people who gesture
    before a camera it found 205 faces, and so did the search of the whole
    frame (the same ones but for 3). It found none in 72 squares beside the
    people.

    Raises:
        ImportError: dlib is missing.
    """
    small = crop(frame, square, _CHECKED_SIDE)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    boxes, _, _ = frontal_detector().run(gray, 0, 0.0)
    return len(boxes) > 0


def face_in(frame: np.ndarray, square: Square) -> Face | None:
    """The face nearest to the centre of a square made for one of its size.

    Searched in as little time as by :func:`has_face`; a square of twice the
    side takes four times as long, and shows a face that has moved.

    Raises:
        ImportError: dlib is missing.
    """
    for reach in (1, 2):
        wide = Square(
            square.x0 - (reach - 1) * square.side // 2,
            square.y0 - (reach - 1) * square.side // 2,
            reach * square.side,
        )
        gray = cv2.cvtColor(
            crop(frame, wide, reach * _CHECKED_SIDE), cv2.COLOR_RGB2GRAY
        )
        boxes, scores, _ = frontal_detector().run(gray, 0, 0.0)
        scale = square.side / _CHECKED_SIDE
        faces = [
            Face(
                (
                    round(wide.x0 + box.left() * scale),
                    round(wide.y0 + box.top() * scale),
                    max(1, round(box.width() * scale)),
                    max(1, round(box.height() * scale)),
                ),
                score,
            )
            for box, score in zip(boxes, scores)
        ]
        if faces:
            return min(faces, key=lambda face: offset(square, face))
    return None


def offset(square: Square, face: Face) -> float:
    """Distance of a face from a square's centre, in sides of the square."""
    x0, y0, side = square
    left, top, w, h = face.box
    dx, dy = left + w / 2 - x0 - side / 2, top + h / 2 - y0 - side / 2
    return max(abs(dx), abs(dy)) / side


def _find(
    gray: np.ndarray, upsample: int, seen: Sequence[Seen] | None
) -> list[Face]:
    faces = [
        Face((b.left(), b.top(), b.width(), b.height()), score)
        for b, score in find(gray, upsample, seen)
    ]
    return sorted(faces, key=_largest_first)


def _add_small(
    gray: np.ndarray,
    found: list[Face],
    upsample: int,
    seen: Sequence[Seen] | None,
) -> list[Face]:
    """Add faces from the doubled frame that the original does not show."""
    if upsample == 0:
        return found
    large = _large(found)
    others = seen and [
        one for one in seen if not any(_in(face.box, one) for face in large)
    ]
    small = [
        face
        for face in _find(gray, upsample, others)
        if not any(_overlap(face.box, known.box) for known in large)
    ]
    return sorted(large + small, key=_largest_first)


def _large(faces: list[Face]) -> list[Face]:
    """Keep those above the smallest size, which is too large for some."""
    return [face for face in faces if face.box[2] >= _LARGE]


def _overlap(a: Box, b: Box) -> bool:
    """Whether two boxes are one face: the centre of each is in both."""
    return _holds(a, b) or _holds(b, a)


def _holds(box: Box, other: Box) -> bool:
    left, top, w, h = other
    return _in(box, Seen(left + w / 2, top + h / 2, w))


def _in(box: Box, seen: Seen) -> bool:
    left, top, w, h = box
    return 0 <= seen.x - left < w and 0 <= seen.y - top < h


def _largest_first(face: Face) -> tuple:
    _, _, w, h = face.box
    return -w * h, -face.score, face.box


def points_in(frame: np.ndarray, box: Box, model: str) -> np.ndarray:
    """Where dlib's landmarks of a face are, ``(points, 2)``, in pixels.

    Args:
        frame: (H, W, 3), uint8, RGB.
        box: Of the face, as :class:`Face` has it.
        model: File of a shape predictor.

    Raises:
        StackError: dlib is missing.
    """
    dlib, (left, top, w, h) = require('dlib'), box
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    shape = _predictor(model)(
        gray, dlib.rectangle(left, top, left + w, top + h)
    )
    return np.array([(part.x, part.y) for part in shape.parts()])


@functools.lru_cache(maxsize=2)
def _predictor(model: str) -> Any:
    return require('dlib').shape_predictor(model)
