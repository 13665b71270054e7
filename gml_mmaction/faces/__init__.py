"""A video becomes face crops: detection, the square, extraction to disk.

Boxes are (left, top, width, height) and squares (left, top, side), in whole
pixels of the source frame; both may reach beyond it. Frames are RGB uint8 of
shape (H, W, 3). dlib and PyAV are imported when first used.
"""

from .detect import Face, detect_faces
from .options import CropOptions
from .square import Square, crop, crop_side, padding, square_around
from .track import Track

__all__ = [
    'CropOptions',
    'Face',
    'Square',
    'Track',
    'crop',
    'crop_side',
    'detect_faces',
    'padding',
    'square_around',
]
