"""Faces at moments spread over a video: a few clips in place of all.

The moments are as far apart as can be; each is moved to a key frame, where
decoding can begin, if there is one within half the way to the next moment.
Only the frames of the clips are decoded, and those that lead to them. Faces
are searched for in the first frame of each. A face that is in the square of
one of an earlier moment is followed as that one, in the same square, unless
its size is another, or both the picture and the face look different.

Paper: silent on how many clips of a video are scored. The protocols of the
field take some 32 frames of a video, four of our clips.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gml_mmaction.video import Frames, Taken, VideoError

from .detect import Face, detect_faces, offset
from .follow import reading
from .shots import distance, mark_cuts, thumbnail
from .square import crop, square_around
from .track import Track

__all__ = ['Sample', 'samples', 'spread']

FACE = 160  # pixels of its crop
HERE = 0.5  # of a square's side, as where a face is followed
ALIKE = 1.5  # the most by which the width of a face may change
# Between thumbnails of frames, and of squares around faces. Measured on 1663
# pairs of frames of two people before the same wall: 0.136 and 0.172 apart or
# more. Of pairs of frames of one shot seven of eight are less.
FAR, FAR_FACES = 0.13, 0.17


class Sample(NamedTuple):
    """A clip's frames, and the faces that are in it.

    Attributes:
        position: Of the first frame.
        frames: (H, W, 3), uint8, RGB, as many as a clip has, less where a cut
            or the end of a broken file comes before.
        tracks: Which faces are there.
    """

    position: int
    frames: Iterator[np.ndarray]
    tracks: list[Track]


def spread(reader: Frames, taken: Taken, count: int, length: int) -> list[int]:
    """Choose where clips begin, as numbers of taken frames.

    Args:
        reader: For its key frames.
        taken: The frames that are taken.
        count: Of clips.
        length: Of a clip, in taken frames.
    """
    last = len(taken.indices) - length
    apart = len(taken.indices) / count
    indices = np.asarray(taken.indices)
    starts: list[int] = []
    for number in range(count):
        start = (number + 0.5) * apart - length / 2
        start = min(max(round(start), 0), last)
        entry = reader.entry_near(int(indices[start]))
        near = int(np.searchsorted(indices, entry))
        if abs(near - start) <= apart / 2 and near <= last:
            start = near
        before = starts[-1] + length if starts else 0
        gaps = [gap for gap in taken.gaps if start < gap < start + length]
        start = max([start, before, *gaps])
        if start <= last:
            starts.append(start)
    return starts


@dataclass
class _Met:
    """A track, its width when last seen, and thumbnails of frame and face."""

    track: Track
    width: int
    views: list[tuple[np.ndarray, np.ndarray]]

    def is_alike(self, view: np.ndarray, face: np.ndarray) -> bool:
        """Whether the frame or the face looks as in an earlier moment."""
        return any(
            distance(view, one) < FAR or distance(face, other) < FAR_FACES
            for one, other in self.views
        )


def samples(
    reader: Frames,
    taken: Taken,
    starts: Sequence[int],
    *,
    length: int,
    upsample: int,
) -> Iterator[Sample]:
    """Yield the moments in order; read each one's frames before the next.

    Tracks begin with the first and end with the last clip in which their face
    was found; ``seen`` is the share of the moments between.

    Args:
        reader: An open video.
        taken: The frames that are taken.
        starts: From :func:`spread`.
        length: Of a clip, in taken frames.
        upsample: How often a frame is doubled to find small faces.
    """
    met: list[_Met] = []
    found: dict[Track, list[int]] = {}
    for number, start in enumerate(starts):
        indices = taken.indices[start : start + length]
        frames = _until_cut(reader, indices)
        first = next(frames, None)
        if first is None:
            continue
        faces = detect_faces(first, upsample=upsample)
        here = _recognise(faces, first, met, start * taken.stride)
        for track in here:
            found.setdefault(track, []).append(number)
            track.stop = (start + length) * taken.stride
            numbers = found[track]
            between = numbers[-1] - numbers[0] + 1
            track.seen = len(numbers) / between
        yield Sample(start * taken.stride, _again(first, frames), here)


def _again(
    first: np.ndarray, rest: Iterator[np.ndarray]
) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _until_cut(reader: Frames, indices: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield frames up to a cut, or to where the file is broken."""

    def read() -> Iterator[np.ndarray]:
        for index in indices:
            try:
                with reading():
                    frame = reader.frames_at([index])[0]
            except VideoError:
                return  # broken from here on, which the reader notes
            yield frame

    for frame, cut in mark_cuts(read(), lambda frame: frame):
        if cut:
            return
        yield frame


def _recognise(
    faces: Sequence[Face], frame: np.ndarray, met: list[_Met], position: int
) -> list[Track]:
    """The tracks of the faces of a frame, the largest face first."""
    view = thumbnail(frame)
    free = [*met]
    here = []
    for face in faces:
        square = square_around(face.box)
        views = view, thumbnail(crop(frame, square, FACE))
        same = [o for o in free if _is(o, face) and o.is_alike(*views)]
        if same:
            one = min(same, key=lambda one: _aside(one, face))
            free.remove(one)
            one.views.append(views)
            one.width = face.box[2]
        else:
            track = Track(
                position,
                square,
                box=face.box,
                score=face.score,
                n_faces=len(faces),
            )
            one = _Met(track, face.box[2], [views])
            met.append(one)
        here.append(one.track)
    return here


def _is(one: _Met, face: Face) -> bool:
    ratio = face.box[2] / one.width
    return _aside(one, face) < HERE and 1 / ALIKE <= ratio <= ALIKE


def _aside(one: _Met, face: Face) -> float:
    assert one.track.square is not None  # it was found
    return offset(one.track.square, face)
