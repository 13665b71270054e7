"""Frames of a video file or of a sequence of images, in order or by index.

decord decodes. It is exact when it reads on from the first frame, with the
exceptions that :class:`VideoReader` names; there OpenCV takes over. decord's
own seeking (``seek_accurate``, ``get_batch``) is exact only where every key
frame is a clean start (see :mod:`~gml_mmaction.faces.mp4`): with an open GOP,
in AVI with B-frames and in ASF it returns other frames than asked for. What
cannot be entered safely is read from the start. ``skip_frames`` seeks, too,
and is wrong even in a clean MP4 without edit list; it is used between the key
frames of clean files only, where it goes on decoding and saves the conversion.
"""

import bisect
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import host
from ..errors import VideoError
from .files import ARCHIVES
from .frames import Frames
from .images import ImageSequence
from .mp4 import is_cut, starts_clean

__all__ = ['VideoReader', 'open_video']

NOTHING = 'no frame can be decoded'
WORTH_A_SEEK = 8  # frames; fewer are decoded sooner than the file is entered


class VideoReader(Frames):
    """A video file, open for reading; use it in a ``with`` statement.

    Frames are as stored and decoded in order of presentation, turned upright
    where the file has a rotation, and not stretched where pixels are not
    square. A variable frame rate gives the frames that are stored. Of several
    video streams FFmpeg's best is read (the largest).

    OpenCV reads what decord does not: files that decord cannot open (gif),
    MPEG transport and program streams, of which it loses the first frames,
    and every file from where decord fails, because decord drops frames that
    were decoded already, as many as chance has it, or repeats the last one.

    Attributes:
        num_frames: Number of frames by the container's index. Fewer can be
            decoded where the file is broken or an edit list trims it;
            where OpenCV reads the file, they have been counted.
        fps: Mean frames per second; 0 where unknown.
        width: Of the upright frame in pixels.
        height: Of the upright frame in pixels.
        broken_at: The first frame that could not be decoded although the
            index has it; ``None`` as long as none was met. An MP4 file that
            ends too soon is known for it at once, perhaps with a number too
            high before the frames have been read. A cut file of another
            kind just has fewer frames.

    Raises:
        VideoError: The file has no bytes (``'empty'``), or no frame can be
            decoded (``'unreadable'``).
        FileNotFoundError: There is no such file.
        ImportError: decord is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.stat().st_size == 0:
            raise VideoError('empty', 'the file has no bytes')
        if _is_text(self.path):
            raise VideoError('unreadable', 'a text, such as a list of files')
        self._decoder, fault = self._open()
        self.num_frames = self._decoder.num_frames
        fps = self._decoder.fps
        self.fps = fps if math.isfinite(fps) else 0.0
        self._first = self._read_first(fault)
        self.height, self.width = self._first.shape[:2]
        if is_cut(self.path):
            self.broken_at = self.num_frames

    def __exit__(self, *_: object) -> None:
        self._decoder = None

    def _open(self) -> tuple['_Decord | _OpenCV', str]:
        """Return the decoder of this file, and why decord cannot be that."""
        if _is_mpeg_stream(self.path):
            return _OpenCV(self.path), NOTHING
        try:
            return _Decord(self.path), NOTHING
        except _DecoderError as error:
            return _OpenCV(self.path), str(error)

    def _read_first(self, fault: str) -> np.ndarray:
        for _ in range(2):
            try:
                return self._decoder.read()
            except _DecoderError:
                self._decoder = _OpenCV(self.path, count=False)
        raise VideoError('unreadable', fault)

    def _read(self, index: int) -> np.ndarray | None:
        """Read on to frame ``index``; start anew if it is behind."""
        if self.broken_at is not None and index >= self.broken_at:
            return None
        if index == 0:
            return self._first.copy()
        if index < self._decoder.position:
            self._decoder = self._decoder.again()
        try:
            self._decoder.skip(index - self._decoder.position)
            return self._decoder.read()
        except _DecoderError:
            return self._hand_over(index)

    def _hand_over(self, index: int) -> np.ndarray | None:
        """Let OpenCV read frame ``index``, or find where the file breaks."""
        try:
            if isinstance(self._decoder, _Decord):
                self._decoder = _OpenCV(self.path, count=False)
                self._decoder.skip(index)
                frame = self._decoder.read()
                if frame.shape == self._first.shape:
                    return frame
        except _DecoderError:
            pass
        # a frame of another size was read, and the position is behind it
        self.broken_at = min(index, self._decoder.position)
        return None

    def _enter(self, index: int) -> np.ndarray | None:
        """Read frame ``index``, from the last key frame where that is safe."""
        keys = self._decoder.clean_keys()
        if keys and index < self.num_frames:
            key = keys[bisect.bisect_right(keys, index) - 1]
            position = self._decoder.position
            if index < position or key > position + WORTH_A_SEEK:
                self._seek(index)
        return super()._enter(index)

    def _seek(self, index: int) -> None:
        try:
            self._decoder.seek(index)
        except _DecoderError:
            self._decoder = self._decoder.again()


class _DecoderError(Exception):
    """A decoder gives no more frames; the message is fit for a report."""


class _Decord:
    """decord, frame by frame.

    Attributes:
        position: Index of the frame that is read next.
    """

    def __init__(self, path: Path) -> None:
        decord = host.require('decord')
        decord.logging.set_level(decord.logging.QUIET)
        limit = decord._ffi.base.DECORDLimitReachedError  # exported nowhere
        self._errors = (decord.DECORDError, limit, RuntimeError, StopIteration)
        self._path = path
        self._keys: list[int] | None = None
        try:
            # One thread: the work is spread over videos, not inside one.
            # Without a limit of faults, the last frame would be repeated for
            # each one that is in the index and cannot be decoded.
            self._reader = decord.VideoReader(
                str(path), num_threads=1, fault_tol=1e-9
            )
            self.num_frames = len(self._reader)
            self.fps = float(self._reader.get_avg_fps())
        except (*self._errors, AssertionError) as error:
            raise _DecoderError(_reason(error)) from error
        self.position = 0

    def again(self) -> '_Decord':
        return _Decord(self._path)

    def skip(self, count: int) -> None:
        if self._may_skip(count):
            self._call(self._reader.skip_frames, count)
            self.position += count
            return
        for _ in range(count):
            self._call(self._reader.next)
            self.position += 1

    def _may_skip(self, count: int) -> bool:
        """Whether ``skip_frames`` is exact, which does not convert to RGB.

        With a key frame on the way it would seek, and not accurately.
        """
        keys = self.clean_keys()
        position = bisect.bisect_right(keys, self.position - 1)
        next_key = keys[position] if position < len(keys) else self.num_frames
        return bool(keys) and 0 < count < next_key - self.position

    def read(self) -> np.ndarray:
        frame = self._call(self._reader.next).asnumpy()
        self.position += 1
        return _unpadded(frame)

    def seek(self, index: int) -> None:
        self._call(self._reader.seek_accurate, index)
        self.position = index

    def clean_keys(self) -> list[int]:
        """Return the key frames if decoding may start at each of them."""
        if self._keys is None:
            clean = starts_clean(self._path)
            self._keys = self._reader.get_key_indices() if clean else []
        return self._keys

    def _call(self, function: Callable, *arguments: int) -> Any:
        if self.position >= self.num_frames:
            raise _DecoderError('no more frames')
        try:
            return function(*arguments)
        except self._errors as error:
            raise _DecoderError(NOTHING) from error


class _OpenCV:
    """OpenCV's decoder, with the interface of :class:`_Decord`."""

    def __init__(self, path: Path, count: bool = True) -> None:
        self._path = path
        self._capture = self._open()
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.position = self.num_frames = 0
        if count:
            while self._capture.grab():
                self.num_frames += 1
            self._capture = self._open()

    def _open(self) -> cv2.VideoCapture:
        # both silence what would be written to stderr
        os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
        logging = cv2.utils.logging
        level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        # more threads would decode damaged frames differently each time
        options = [cv2.CAP_PROP_N_THREADS, 1]
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, options)
        logging.setLogLevel(level)
        return capture

    def again(self) -> '_OpenCV':
        return _OpenCV(self._path, count=False)

    def skip(self, count: int) -> None:
        for _ in range(count):
            self._grab()

    def read(self) -> np.ndarray:
        self._grab()
        return cv2.cvtColor(self._capture.retrieve()[1], cv2.COLOR_BGR2RGB)

    def clean_keys(self) -> list[int]:
        return []  # OpenCV's seeking is not used

    def _grab(self) -> None:
        if not self._capture.grab():
            raise _DecoderError(NOTHING)
        self.position += 1


def _is_mpeg_stream(path: Path) -> bool:
    """Whether a file is an MPEG transport or program stream."""
    with path.open('rb') as file:
        head = file.read(200)
    if head.startswith(b'\x00\x00\x01\xba'):
        return True
    # packets of 188 bytes, or of 192 with a time stamp before each (.m2ts)
    return any(
        head[at : at + 1] == b'\x47' == head[at + step : at + step + 1]
        for at, step in ((0, 188), (4, 192))
    )


LISTS = (b'#EXTM3U', b'ffconcat', b'<')


def _is_text(path: Path) -> bool:
    """Whether a file is a text, as lists that send FFmpeg elsewhere are.

    A playlist (m3u8), a list of files to be joined or a DASH manifest would
    make it open whatever it names. No video begins with two hundred letters.
    """
    with path.open('rb') as file:
        head = file.read(200)
    if head.lstrip(b'\xef\xbb\xbf\t\r\n ').startswith(LISTS):
        return True
    return not any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in head)


def _reason(error: Exception) -> str:
    """Say in one line why decord cannot open a file."""
    if 'video stream' in str(error):
        return 'no video stream that can be decoded'
    if re.search('Error reading', str(error)):
        return 'no video file, or its index is missing'
    return NOTHING


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


def open_video(path: str | Path, member: str = '') -> Frames:
    """Open a video file, a folder of images or an archive of images.

    Args:
        path: A folder or an archive, by its suffix, is an
            :class:`ImageSequence`; all else is a :class:`VideoReader`.
        member: Folder inside an archive or folder.

    Raises:
        VideoError: As the two classes.
    """
    path = Path(path)
    if path.is_dir() or path.name.lower().endswith(ARCHIVES):
        return ImageSequence(path, member)
    return VideoReader(path)
