"""Videos read frame by frame: files, folders and archives of images.

Frames are RGB, uint8, of shape (H, W, 3).
"""

from ..errors import VideoError
from .files import is_video
from .frames import ArrayFrames, Frames, prefetch
from .images import ImageSequence
from .reader import VideoReader, open_video

__all__ = [
    'ArrayFrames',
    'Frames',
    'ImageSequence',
    'VideoError',
    'VideoReader',
    'is_video',
    'open_video',
    'prefetch',
]
