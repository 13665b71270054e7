"""Errors that a user can mend; a command prints them as one line.

Every error that a user can mend is a :class:`GMLError`. Its message names the
file or the setting and ends in the remedy. Any other exception is a bug of
this project and keeps its traceback.

Importing this module needs nothing but the standard library.
"""

from gml_mmaction.io.text import printable

__all__ = [
    'CheckpointError',
    'DataError',
    'DetectorError',
    'GMLError',
    'SettingError',
    'VideoError',
]


class GMLError(Exception):
    """An error that a user can mend; its message ends in the remedy."""


class CheckpointError(GMLError, ValueError):
    """A checkpoint that cannot be used, or must not be."""


class DetectorError(CheckpointError):
    """A checkpoint that is not a detector of face forgeries."""


class DataError(GMLError, ValueError):
    """Data that cannot be used: a data set, its lists, or prepared files."""


class SettingError(GMLError, ValueError):
    """A setting of a config or a command line that is not valid."""


class VideoError(GMLError, ValueError):
    """A video from which no crops can be made.

    Attributes:
        reason: One of ``'empty'``, ``'unreadable'``, ``'too short'``,
            ``'missing'``, ``'no face'``, ``'no boxes'``, ``'error'`` and
            ``'crashed'``.
        detail: More about it, in one line. File names in it may hold any
            characters.
    """

    def __init__(self, reason: str, detail: str = '') -> None:
        detail = printable(detail)  # may hold names from an archive
        # a loader's process is rebuilt with its message alone
        super().__init__(f'{reason}: {detail}' if detail else reason)
        self.reason = reason
        self.detail = detail
