"""The square around a face (paper Sec. 3): side 2*sqrt(w*h), face centred."""

import math
from typing import NamedTuple

import cv2
import numpy as np

__all__ = [
    'Box',
    'Square',
    'crop',
    'crop_side',
    'padding',
    'resize',
    'scaled',
    'square_around',
]

Box = tuple[int, int, int, int]


class Square(NamedTuple):
    """A square region; may reach beyond the frame on any side."""

    x0: int
    y0: int
    side: int


def crop_side(w: int, h: int) -> int:
    """Return 2*sqrt(w*h), the side of the crop of a w x h face, in pixels.

    Raises:
        ValueError: A side of the face is not positive.

    Paper: silent on rounding; we round to the nearest pixel.
    """
    if w <= 0 or h <= 0:
        raise ValueError(f'face of {w}x{h} pixels; both must be positive')
    return round(2 * math.sqrt(w * h))


def square_around(box: Box) -> Square:
    """Centre the square on the face, to within half a pixel."""
    left, top, w, h = box
    side = crop_side(w, h)
    return Square((2 * left + w - side) // 2, (2 * top + h - side) // 2, side)


def padding(square: Square, *, width: int, height: int) -> Box:
    """How far the square is outside a frame: left, top, right, bottom."""
    x0, y0, side = square
    return (
        max(0, -x0),
        max(0, -y0),
        max(0, x0 + side - width),
        max(0, y0 + side - height),
    )


def crop(frame: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Cut the square out of a frame and resize it to (size, size, 3).

    If the square shrinks to less than half, pixels are averaged by area, so
    that each counts. Otherwise they are interpolated linearly, which takes a
    third of the time.

    Paper: silent on a region that leaves the frame; it is padded with black,
    so that the face keeps its place and its shape. The padding does not move;
    replicated borders would add motion.
    """
    height, width = frame.shape[:2]
    left, top, right, bottom = padding(square, width=width, height=height)
    x0, y0, side = square
    region = frame[
        y0 + top : y0 + side - bottom, x0 + left : x0 + side - right
    ]
    if left or top or right or bottom:
        region = cv2.copyMakeBorder(
            region, top, bottom, left, right, cv2.BORDER_CONSTANT
        )
    return resize(region, size)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize an image to (size, size, 3), as :func:`crop` does."""
    small = max(image.shape[:2]) > 2 * size
    return cv2.resize(
        image,
        (size, size),
        interpolation=cv2.INTER_AREA if small else cv2.INTER_LINEAR,
    )


def scaled(square: Square, x: float, y: float) -> Square:
    """The square in a frame that is ``x`` times as wide, ``y`` times as high.

    The centre scales by each factor, the area by their product.
    """
    x0, y0, side = square
    to_side = max(1, round(side * math.sqrt(x * y)))
    return Square(
        math.floor(x * (x0 + side / 2) - to_side / 2 + 0.5),
        math.floor(y * (y0 + side / 2) - to_side / 2 + 0.5),
        to_side,
    )
