"""Output of a program, held back until it is known to be wanted.

Importing this module needs nothing but the standard library.
"""

import os
from typing import Any, TextIO

__all__ = ['HeldOutput']


class HeldOutput:
    """A text stream that keeps what is written to it until it is released.

    Loggers may go on writing to it. Other processes, such as a loader's
    workers that are forked meanwhile, write at once.

    Args:
        stream: Where the text goes in the end.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._process = os.getpid()
        self._texts: list[str] | None = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):  # an unfinished copy has no data of ours
            raise AttributeError(name)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Keep a text, or write it."""
        if self._texts is None or self._process != os.getpid():
            return self._stream.write(text)
        self._texts.append(text)
        return len(text)

    def release(self) -> None:
        """Write what was kept, and from now on at once."""
        texts, self._texts = self._texts, None
        for text in texts or ():
            self._stream.write(text)
        self._stream.flush()
