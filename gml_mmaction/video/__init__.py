"""Videos read frame by frame: files, folders and archives of images.

Frames are RGB, uint8, of shape (H, W, 3).
"""

from gml_mmaction.errors import VideoError

from .files import is_video
from .frames import ArrayFrames, Frames, prefetch
from .images import ImageSequence
from .reader import VideoReader, open_video
from .sampling import MAX_RATE, Rates, Taken, at_rate, every, rates_of

__all__ = [
    'MAX_RATE',
    'ArrayFrames',
    'Frames',
    'ImageSequence',
    'Rates',
    'Taken',
    'VideoError',
    'VideoReader',
    'at_rate',
    'every',
    'is_video',
    'open_video',
    'prefetch',
    'rates_of',
]
