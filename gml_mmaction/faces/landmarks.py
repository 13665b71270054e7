"""Landmarks of a face in its crops: dlib's 5 or 68 points.

The models are files of the package ``face_recognition_models``, an extra:
``pip install "gml-mmaction[landmarks]"``, 100 MB; nothing is loaded from
elsewhere. The files are under CC0. The 68 points were learned from iBUG
300-W, whose images may be used for research alone; whether that binds who
uses the model is for the user to judge. The 5 points were learned from
images that dlib's author labelled.
"""

import importlib.util
from pathlib import Path

import cv2
import numpy as np

from gml_mmaction.stack import StackError, advice

from .detect import detect_faces, points_in
from .square import Box

__all__ = ['LANDMARKS', 'LandmarkFinder']

LANDMARKS = ('none', '5', '68')
PACKAGE = 'face_recognition_models'
SIDE = 192  # pixels of the crop that is searched; its face is 96 wide


class LandmarkFinder:
    """Finds the points of one face, crop after crop of its track.

    In each crop the face is detected anew, since it moves in its square;
    where it is not seen, its last box counts, at first the middle of the
    crop.

    Args:
        points: ``'5'`` or ``'68'``.

    Raises:
        StackError: The model is not installed.
    """

    def __init__(self, points: str) -> None:
        self._model = _model(points)
        self._box = (SIDE // 4, SIDE // 4, SIDE // 2, SIDE // 2)

    def find(self, crop: np.ndarray) -> np.ndarray:
        """Return ``(points, 2)`` float32: x, y in sides of the crop.

        Args:
            crop: (S, S, 3), uint8, RGB, of any size.
        """
        small = cv2.resize(crop, (SIDE, SIDE))
        seen = [face.box for face in detect_faces(small, upsample=0)]
        self._box = min(seen, key=self._away, default=self._box)
        points = points_in(small, self._box, self._model)
        return ((points + 0.5) / SIDE).astype(np.float32)

    def _away(self, box: Box) -> float:
        """How far a box's centre is from that of the last one."""
        (x, y, w, h), (u, v, s, t) = box, self._box
        return abs(2 * x + w - 2 * u - s) + abs(2 * y + h - 2 * v - t)


def _model(points: str) -> str:
    spec = importlib.util.find_spec(PACKAGE)  # importing it needs setuptools
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    path = folder / f'models/shape_predictor_{points}_face_landmarks.dat'
    if spec is None or not path.is_file():
        raise StackError(
            f'the model of the {points} landmarks is not installed. Remedy: '
            f'{advice(PACKAGE)}, or --landmarks none'
        )
    return str(path)
