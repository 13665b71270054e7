"""What a tool prints as one line: an error of the input, not of ours.

Every error that a user can mend is a :class:`GMLError`. Its message names the
file or the setting and ends in the remedy. All else is a fault of this
project and gets its traceback.

Importing this module needs nothing but the standard library.
"""

from gml_mmaction.io.text import printable

__all__ = [
    'CheckpointError',
    'GMLError',
    'SettingError',
    'VideoError',
]


class GMLError(Exception):
    """What a tool prints as one line; the message ends in the remedy."""


class CheckpointError(GMLError, ValueError):
    """A checkpoint that cannot be used, or must not be."""


class SettingError(GMLError, ValueError):
    """A setting of a config or a command line that cannot be."""


class VideoError(GMLError, ValueError):
    """A video that gives no crops.

    Attributes:
        reason: One of ``'empty'``, ``'unreadable'``, ``'too short'``,
            ``'missing'``, ``'no face'``, ``'no boxes'``, ``'error'`` and
            ``'crashed'``.
        detail: The particulars, one line; a name of a file in it may hold
            anything.
    """

    def __init__(self, reason: str, detail: str = '') -> None:
        detail = printable(detail)  # which may name files of an archive
        # a loader's process is rebuilt with its message alone
        super().__init__(f'{reason}: {detail}' if detail else reason)
        self.reason = reason
        self.detail = detail
