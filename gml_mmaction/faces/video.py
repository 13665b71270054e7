"""Frames of a video file, decoded in order by decord."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gml_mmaction import host

__all__ = ['VideoError', 'VideoReader']


class VideoError(ValueError):
    """A video that gives no crops.

    Attributes:
        reason: One of ``'empty'``, ``'unreadable'``, ``'too short'``,
            ``'no face'``, ``'error'`` and ``'crashed'``.
        detail: The particulars, one line.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f'{reason}: {detail}')
        self.reason = reason
        self.detail = detail


class VideoReader:
    """A video file, open for reading; use it in a ``with`` statement.

    One frame is held at a time, whatever the length of the video.

    Attributes:
        num_frames: Number of frames, as the container's index has it.
        fps: Mean frames per second.

    Raises:
        VideoError: The file has no bytes (``'empty'``) or is no video that
            can be decoded (``'unreadable'``).
        ImportError: decord is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        decord = host.require('decord')
        if self.path.stat().st_size == 0:
            raise VideoError('empty', 'the file has no bytes')
        self._errors = (decord.DECORDError, RuntimeError, StopIteration)
        self._open()
        try:
            self.num_frames = len(self._reader)
            self.fps = float(self._reader.get_avg_fps())
        except self._errors as error:
            raise VideoError('unreadable', self._clean(error)) from error
        if self.num_frames == 0:
            raise VideoError('unreadable', 'no frames')

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *_: object) -> None:
        self._reader = None

    def frames(
        self, *, start: int = 0, stride: int = 1, stop: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yield frames start, start + stride, ... below ``stop``.

        Reads on from where the video stands; if that is behind ``start``, the
        file is opened anew. Frames in between are decoded, not converted.

        Yields:
            (H, W, 3), RGB, uint8.

        Raises:
            VideoError: The decoder gave up (``'unreadable'``).
        """
        stop = self.num_frames if stop is None else min(self.num_frames, stop)
        if start < self._position:
            self._open()
        for index in range(start, stop, stride):
            yield self._read(index)

    def _open(self) -> None:
        decord = host.require('decord')
        try:
            # one thread: the work is spread over videos, not inside one
            self._reader = decord.VideoReader(str(self.path), num_threads=1)
        except self._errors as error:
            raise VideoError('unreadable', self._clean(error)) from error
        self._position = 0

    def _read(self, index: int) -> np.ndarray:
        try:
            if index > self._position:
                self._reader.skip_frames(index - self._position)
            frame = self._reader.next().asnumpy()
        except self._errors as error:
            raise VideoError(
                'unreadable', f'frame {index}: {self._clean(error)}'
            ) from error
        self._position = index + 1
        return _unpadded(frame)

    def _clean(self, error: Exception) -> str:
        """Drop clock, source line and folder from the decoder's message."""
        line = str(error).strip().split('\n')[0]
        line = re.sub(r'^\[[\d:]+\] \S+:\d+: ', '', line)
        return line.replace(str(self.path), self.path.name)


def _unpadded(frame: np.ndarray) -> np.ndarray:
    """Cut off the bytes that decord has at the end of a narrow frame's rows.

    FFmpeg aligns rows; decord 0.6 takes bytes per row // width for the number
    of channels, which gives 4 for a video that is 48 or 72 pixels wide.
    """
    height, width, channels = frame.shape
    if channels == 3:
        return frame
    rows = frame.reshape(height, width * channels)[:, : width * 3]
    return rows.reshape(height, width, 3)
