"""Limits on the memory that an untrusted file may take.

A frame: 36 million pixels (8K). The images of an archive: 1 GB. Frames
decoded ahead: 64 MB. The environment variables ``GML_MAX_MEGAPIXELS``,
``GML_MAX_UNPACKED_MB`` and ``GML_MAX_AHEAD_MB`` change these.
"""

import os

from gml_mmaction.errors import SettingError, VideoError

__all__ = [
    'Budget',
    'check_limits',
    'check_pixels',
    'frames_ahead',
    'most_pixels',
]

DEFAULTS = {
    'GML_MAX_MEGAPIXELS': 36,
    'GML_MAX_UNPACKED_MB': 1000,
    'GML_MAX_AHEAD_MB': 64,
}


def check_limits() -> None:
    """Refuse environment variables that are not numbers.

    Raises:
        SettingError: One is not.
    """
    for name in DEFAULTS:
        _setting(name)


def _setting(name: str) -> int:
    """A number of millions from the environment."""
    text = os.environ.get(name) or str(DEFAULTS[name])
    if not text.isdecimal() or int(text) == 0:
        raise SettingError(
            f'{name}={text!r} in the environment. Remedy: set a whole number '
            'above 0, or nothing'
        )
    return int(text) * 10**6


def most_pixels() -> int:
    """How many pixels a frame may have."""
    return _setting('GML_MAX_MEGAPIXELS')


def check_pixels(name: str, width: int, height: int) -> None:
    """Refuse a frame that is too large.

    Raises:
        VideoError: It is.
    """
    limit = most_pixels()
    if width * height > limit:
        raise VideoError(
            'unreadable',
            f'{name} has more than {limit // 10**6} million pixels. '
            'Remedy: make it smaller, or set GML_MAX_MEGAPIXELS',
        )


def frames_ahead(width: int, height: int, most: int) -> int:
    """How many frames of a size may be decoded ahead, up to ``most``."""
    depth = _setting('GML_MAX_AHEAD_MB') // (3 * width * height)
    return min(max(depth, 1), most)


class Budget:
    """How many bytes an archive may still unpack to."""

    def __init__(self) -> None:
        self.left = self.limit = _setting('GML_MAX_UNPACKED_MB')

    def take(self, num_bytes: int) -> None:
        """Count the bytes of an image, before it is read.

        Raises:
            VideoError: They are more than are left.
        """
        self.left -= num_bytes
        if self.left < 0:
            raise VideoError(
                'unreadable',
                f'its images unpack to more than {self.limit // 10**6} MB. '
                'Remedy: set GML_MAX_UNPACKED_MB, or unpack it to a folder',
            )
