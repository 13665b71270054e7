"""The interface that video files and sequences of images share: frames."""

import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from gml_mmaction.errors import VideoError

__all__ = ['ArrayFrames', 'Frames', 'prefetch']

Item = TypeVar('Item')
SIZES_DIFFER = 'the size of frames changes; all brought to the first'


class Frames:
    """The common base of video files and sequences of images.

    A subclass defines ``_read(index)``. It returns ``None`` where the decoder
    has no more frames, and has set ``broken_at`` by then.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    broken_at: int | None = None
    notes: Sequence[str] = ()

    def __enter__(self) -> 'Frames':
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def frames(
        self, start: int = 0, stride: int = 1, stop: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yield frames start, start + stride, ... below ``stop``.

        Ends early if the file is broken; ``broken_at`` is then set.

        Yields:
            (H, W, 3), RGB, uint8.
        """
        stop = self.num_frames if stop is None else min(self.num_frames, stop)
        return self.take(range(start, stop, stride))

    def take(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the frames at ascending ``indices``; ends early as above."""
        for index in indices:
            frame = self._read(index)
            if frame is None:
                return
            yield frame

    def frames_at(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Return the frames that :meth:`frames` yields at ``indices``.

        Args:
            indices: Ascending; an index may be repeated.

        Raises:
            VideoError: A frame does not exist, or the file is broken before
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

    def seconds_at(self, index: int) -> float | None:
        """When frame ``index`` is shown, in seconds; None if unknown.

        Args:
            index: Of a frame, or ``num_frames`` for the end of the last one.
        """
        return index / self.fps if self.fps else None

    def index_at(self, seconds: float) -> int:
        """The frame nearest to a time; without a rate, the time is an index.

        Returns:
            -1 and ``num_frames + 1`` beyond the first and the last frame.
        """
        count, end = self.num_frames, self.seconds_at(self.num_frames)
        if end is None:
            return int(seconds + 0.5)
        slack = end / count / 2
        if not -slack <= seconds <= end + slack:
            return -1 if seconds < 0 else count + 1

        def distance(index: int) -> float:
            at = self.seconds_at(index)
            assert at is not None  # since the end's time is known
            return abs(at - seconds)

        return min(range(count), key=distance)

    def entry_near(self, index: int) -> int:
        """The frame near ``index`` at which it costs least to begin."""
        return index

    def _enter(self, index: int) -> np.ndarray | None:
        return self._read(index) if index < self.num_frames else None

    def _read(self, index: int) -> np.ndarray | None:
        raise NotImplementedError


class ArrayFrames(Frames):
    """Frames in memory, read like those of a video.

    Args:
        frames: (T, H, W, 3), uint8, RGB.
        fps: Frames per second; 0 if unknown.

    Raises:
        VideoError: There are no frames (``'empty'``), or the array has
            another shape or type (``'unreadable'``).
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


def prefetch(
    iterator: Iterable[Item], depth: int = 4
) -> Generator[Item, None, None]:
    """Yield what ``iterator`` yields; a thread works up to ``depth`` ahead.

    This helps if the iterator waits or releases Python's lock, as decord and
    OpenCV do. An exception of the iterator is raised at its place in the
    order of items. The thread starts when the first item is asked for. It
    ends, and a generator is closed, when the items are used up or the
    consumer stops: by ``close()``, an exception or garbage collection.
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
