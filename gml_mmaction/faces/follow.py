"""From frames to followed faces: decode, find cuts, detect, follow.

Preparation and prediction share this code. What they do with a frame and its
tracks is in their own modules.
"""

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from gml_mmaction.video import Frames, Taken, VideoError, prefetch
from gml_mmaction.video.limits import frames_ahead

from .options import CropOptions
from .shots import mark_cuts
from .track import Choice, Follower, Track

__all__ = [
    'Walk',
    'broken_note',
    'decoded_ahead',
    'reading',
    'short_note',
    'without_track',
]

T = TypeVar('T')


@contextmanager
def reading() -> Iterator[None]:
    """Turn errors of reading into VideoErrors; errors of writing end a run.

    Raises:
        VideoError: In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        name = os.path.basename(str(error.filename or ''))
        why = error.strerror or type(error).__name__
        detail = f'{name}: {why}' if name else why
        raise VideoError('unreadable', detail) from error


def decoded_ahead(
    reader: Frames, frames: Iterable[T], most: int
) -> Generator[T, None, None]:
    """Decode frames while earlier ones are processed.

    Args:
        reader: For the size of a frame; fewer are held if they are large.
        frames: The frames that it decodes, or what is made of them.
        most: How many frames are held, if they are small.
    """
    return prefetch(frames, frames_ahead(reader.width, reader.height, most))


class Walk:
    """Faces followed through the frames that are taken of a video.

    Args:
        taken: The frames; positions are counted in it.
        options: When to detect, and which tracks count.
        choose: Which faces of a frame to follow.
        moving: See :class:`~gml_mmaction.faces.track.Follower`.

    Attributes:
        position: Of the last frame that was seen.
        seconds: Time spent on face detection.
    """

    def __init__(
        self,
        taken: Taken,
        options: CropOptions,
        choose: Choice,
        moving: int = 0,
    ) -> None:
        self._taken = taken
        self._stride = options.stride
        self._follower = Follower(options, choose, moving)
        self.position = 0
        self.seconds = 0.0

    @property
    def done(self) -> bool:
        """Whether the rest of the video can add nothing."""
        return self._follower.done

    @property
    def tracks(self) -> list[Track]:
        """All tracks so far, short ones too, by their start."""
        return self._follower.tracks

    def over(
        self, items: Iterable[T], image: Callable[[T], np.ndarray]
    ) -> Iterator[tuple[T, list[Track]]]:
        """Yield each frame with the tracks that it is in, until it is done.

        Args:
            items: The taken frames from the first on, with any data that
                belongs to them.
            image: Returns the frame of an item, (H, W, 3), uint8, RGB.
        """
        shots = mark_cuts(enumerate(items), lambda pair: image(pair[1]))
        for (number, item), cut in shots:
            self.position = number * self._stride
            began = time.perf_counter()
            tracks = self._follower.update(
                self.position,
                image(item),
                cut=cut,
                gap=number in self._taken.gaps,
            )
            self.seconds += time.perf_counter() - began
            if self.done:
                return
            yield item, tracks

    def finish(self, stop: int) -> list[Track]:
        """End all tracks before position ``stop``; return those that count."""
        return self._follower.finish(stop)


def short_note(tracks: Iterable[Track], options: CropOptions) -> str | None:
    """Note how many of the tracks that have ended have too few frames."""
    short = sum(
        track.num_frames(options.stride) < options.min_frames
        for track in tracks
    )
    if not short:
        return None
    return (
        f'tracks of fewer than {options.min_frames} frames, left out: {short}'
    )


def without_track(
    tracks: Sequence[Track], last: int, options: CropOptions
) -> VideoError:
    """Why no track of a video counts.

    Args:
        tracks: All that have ended.
        last: The last frame in which a face was looked for.
        options: What a track needs.
    """
    if not tracks:
        return VideoError('no face', f'none was found in frames 0 to {last}')
    longest = max(track.num_frames(options.stride) for track in tracks)
    return VideoError(
        'too short',
        f'no face is seen in more than {longest} of the frames taken; at '
        f'least {options.min_frames} are needed',
    )


def broken_note(reader: Frames | None, reached: int) -> str | None:
    """Note that a file is broken, if that is why no more frames were seen.

    Args:
        reader: What was read.
        reached: The frame after the last one seen. How many more were decoded
            ahead is random.
    """
    broken_at = reader.broken_at if reader is not None else None
    if broken_at is None or broken_at > reached:
        return None
    return f'the file is broken from frame {broken_at}'
