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
import queue
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import cv2
import numpy as np

from gml_mmaction import host
from gml_mmaction.sources.files import VIDEO_SUFFIXES, is_image

from .mp4 import is_cut, starts_clean

__all__ = [
    'ArrayFrames',
    'ImageSequence',
    'VideoError',
    'VideoReader',
    'is_video',
    'open_video',
    'prefetch',
]

ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz', '.tar.bz2', '.tar.xz')
NOTHING = 'no frame can be decoded'
WORTH_A_SEEK = 8  # frames; fewer are decoded sooner than the file is entered
Item = TypeVar('Item')


class VideoError(ValueError):
    """A video that gives no crops.

    Attributes:
        reason: One of ``'empty'``, ``'unreadable'``, ``'too short'``,
            ``'missing'``, ``'no face'``, ``'no boxes'``, ``'error'`` and
            ``'crashed'``.
        detail: The particulars, one line.
    """

    def __init__(self, reason: str, detail: str = '') -> None:
        # a loader's process is rebuilt with its message alone
        super().__init__(f'{reason}: {detail}' if detail else reason)
        self.reason = reason
        self.detail = detail


class _Frames:
    """What a video and a sequence of images have in common.

    A subclass gives ``_read(index)``, which is ``None`` from where the
    decoder gives no more, and has then set ``broken_at``.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    broken_at: int | None = None

    def __enter__(self) -> '_Frames':
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def frames(
        self, start: int = 0, stride: int = 1, stop: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yield frames start, start + stride, ... below ``stop``.

        Ends early where the file is broken; ``broken_at`` says so then.

        Yields:
            (H, W, 3), RGB, uint8.
        """
        stop = self.num_frames if stop is None else min(self.num_frames, stop)
        for index in range(start, stop, stride):
            frame = self._read(index)
            if frame is None:
                return
            yield frame

    def frames_at(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Return the frames that :meth:`frames` yields at ``indices``.

        Args:
            indices: Ascending; an index may be repeated.

        Raises:
            VideoError: There is no such frame, or the file is broken before
                it (``'unreadable'``).
            ValueError: The indices do not ascend.
        """
        found: list[np.ndarray] = []
        last = -1
        for index in map(int, indices):
            if index < max(last, 0):
                raise ValueError(f'index {index} after {last}; sort them')
            if index > last:
                frame = self._enter(index)
            if frame is None:
                end = self.num_frames
                end = end if self.broken_at is None else self.broken_at
                raise VideoError('unreadable', f'frame {index} of {end}')
            found.append(frame)
            last = index
        return found

    def _enter(self, index: int) -> np.ndarray | None:
        return self._read(index) if index < self.num_frames else None

    def _read(self, index: int) -> np.ndarray | None:
        raise NotImplementedError


class VideoReader(_Frames):
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


class ImageSequence(_Frames):
    """Images in a folder or archive, read as the frames of a video.

    Frame i is the i-th image by the numbers in the file names (``2.png``
    before ``10.png``); they may have gaps, see ``names``. Each frame has the
    size of its image. An archive is read once, from front to back, and the
    images asked for are held as the bytes they are stored as.

    Args:
        path: A folder, or an archive (zip, tar, tar.gz, ...).
        member: Folder inside ``path``; ``''`` for the images at its top.

    Attributes:
        names: File names, in the order of the frames.
        num_frames: Number of images.
        fps: 0, since it is not known.
        width: Of the first image in pixels.
        height: Of the first image in pixels.
        broken_at: The first image that could not be decoded.

    Raises:
        VideoError: There are no images (``'empty'``), or the archive or the
            first image cannot be read (``'unreadable'``).
        FileNotFoundError: There is no such file or folder.
    """

    fps = 0.0

    def __init__(self, path: str | Path, member: str = '') -> None:
        self.path = Path(path)
        if self.path.is_dir():
            images = _list_folder(self.path / member)
        else:
            images = _read_archive(self.path, PurePosixPath(member))
        if not images:
            raise VideoError('empty', f'no images in {member or "it"}')
        self.names = sorted(images, key=_natural)
        self._images = [images[name] for name in self.names]
        self.num_frames = len(self.names)
        first = self._read(0)
        if first is None:
            raise VideoError('unreadable', f'{self.names[0]} is no image')
        self.height, self.width = first.shape[:2]

    def _read(self, index: int) -> np.ndarray | None:
        image = self._images[index]
        if isinstance(image, Path):
            image = image.read_bytes()
        if image:
            frame = cv2.imdecode(
                np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR
            )
            if frame is not None:
                return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        self.broken_at = index
        return None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key: numbers in a name count by value."""
    parts = re.findall(r'\d+|\D+', name)
    return [
        (int(part), '') if part.isdecimal() else (-1, part) for part in parts
    ]


def _list_folder(folder: Path) -> dict[str, Path]:
    return {
        path.name: path for path in folder.iterdir() if is_image(path.name)
    }


def _read_archive(path: Path, folder: PurePosixPath) -> dict[str, bytes]:
    """Return the bytes of the images right in a folder of an archive."""

    def wanted(name: str) -> bool:
        inner = PurePosixPath(name)
        return inner.parent == folder and is_image(inner.name)

    images = {}
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in filter(wanted, archive.namelist()):
                    images[PurePosixPath(name).name] = archive.read(name)
            return images
        with tarfile.open(path) as archive:
            for entry in archive:
                if entry.isfile() and wanted(entry.name):
                    image = archive.extractfile(entry).read()
                    images[PurePosixPath(entry.name).name] = image
    except FileNotFoundError:
        raise
    except Exception:  # of a damaged archive, also those of its compression
        raise VideoError('unreadable', 'no archive, or a broken one') from None
    return images


class ArrayFrames(_Frames):
    """Frames in memory, read as those of a video.

    Args:
        frames: (T, H, W, 3), uint8, RGB.
        fps: Frames per second; 0 where unknown.

    Raises:
        VideoError: There are no frames (``'empty'``), or it is another array
            (``'unreadable'``).
    """

    def __init__(self, frames: np.ndarray, fps: float = 0.0) -> None:
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != 'uint8':
            raise VideoError(
                'unreadable',
                f'an array of {frames.dtype}, {frames.shape}; give uint8, '
                '(T, H, W, 3), RGB',
            )
        if not frames.size:
            raise VideoError('empty', 'the array has no frames')
        self._array = frames
        self.fps = fps
        self.num_frames, self.height, self.width = frames.shape[:3]

    def _read(self, index: int) -> np.ndarray:
        return self._array[index]


def is_video(path: str | Path) -> bool:
    """Tell by its suffix whether a file is a video or an archive.

    A folder may be one of images. What is not there is none.
    """
    path = Path(path)
    suffixes = (*VIDEO_SUFFIXES, *ARCHIVES)
    named = path.name.lower().endswith(suffixes)
    return path.is_dir() or (named and path.is_file())


def open_video(path: str | Path, member: str = '') -> _Frames:
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


def prefetch(iterator: Iterable[Item], depth: int = 4) -> Iterator[Item]:
    """Yield what ``iterator`` yields; a thread works up to ``depth`` ahead.

    Of use where the iterator waits or releases Python's lock, as decord and
    OpenCV do. An exception of the iterator is raised where it occurred in
    the order of items. The thread starts with the first item asked for; it
    ends, and a generator is closed, when the items are used up or the
    consumer stops, by ``close()``, an exception or garbage collection.
    """
    items: queue.SimpleQueue = queue.SimpleQueue()
    slots = threading.Semaphore(depth)
    stopped = threading.Event()
    end = object()

    def work() -> None:
        try:
            for item in iterator:
                items.put((item, None))
                slots.acquire()
                if stopped.is_set():
                    break
            items.put((end, None))
        except BaseException as error:  # raised again by the consumer
            items.put((end, error))

    thread = threading.Thread(target=work, daemon=True, name='prefetch')
    thread.start()
    try:
        while (pair := items.get())[0] is not end:
            slots.release()
            yield pair[0]
        if pair[1] is not None:
            raise pair[1]
    finally:
        stopped.set()
        slots.release()
        thread.join()
        if hasattr(iterator, 'close'):
            iterator.close()
