"""Faces followed through a video: for each, a fixed square, a start, an end.

A face is searched for in every 10th source frame (``search_stride``), from
the start of the video or of a shot, until one is found. Its track starts
there, and its square does not move. The square is checked every 50 frames
(``check_stride``; every 10 after a check that found no face). The track ends
with the shot, or, if no face was seen for 100 frames (``lost``), where the
face was last seen. The search then goes on. If all faces are wanted, the
search also goes on during tracks, every 50 frames: a face that comes later in
a shot is found, at about 70 ms per search of a 640x480 frame.

Paper: dlib finds the face in the first frame, and the same region is used in
all following frames (Sec. 3). It is silent on late and several faces, on cuts
and on faces that leave.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from gml_mmaction.video import Frames

from .detect import (
    Face,
    detect_faces,
    detect_large_faces,
    face_in,
    has_face,
    offset,
)
from .options import CropOptions
from .shots import Cuts, distance, thumbnail
from .square import Box, Square, crop, square_around

__all__ = [
    'Follower',
    'Track',
    'all_faces',
    'largest',
    'most_covered',
]

# Where squares follow: how far a face may be from the middle, in sides of its
# square, how much it may grow or shrink, how far it goes between two looks.
MOVED, GROWN, STEP = 0.25, 1.5, 1.5
PART = 120  # pixels of a square's picture, of which thumbnails are made
SAME = 0.05  # distance of thumbnails; cuts between people give 0.14 and more

# Which of the faces in a frame to follow: (index, frame, faces) -> faces.
Choice = Callable[[int, np.ndarray, list[Face]], list[Face]]


@dataclass(eq=False)
class Track:
    """One face in one place of one shot.

    Attributes:
        start: The source frame where the face was found.
        square: What is cut out; None: the whole image.
        stop: The first source frame after the track; None until it ends.
        box: The face in frame ``start``; None: nothing was detected.
        score: dlib's confidence, likewise.
        n_faces: Number of faces in that frame, likewise.
        seen: Share of the track, 0 to 1, in which the face was seen in its
            square; each check speaks for the frames since the one before.
        before: The track of the same face until it moved, if squares follow.
    """

    start: int
    square: Square | None
    stop: int | None = None
    box: Box | None = None
    score: float | None = None
    n_faces: int | None = None
    seen: float | None = None
    before: 'Track | None' = None

    def num_frames(self, stride: int) -> int:
        """Return how many frames are saved of a track that has ended."""
        assert self.stop is not None
        return max(0, -(-(self.stop - self.start) // stride))


@dataclass
class _Watched:
    """A track that has not ended, and when its face was searched for."""

    track: Track
    square: Square
    due: int
    last_seen: int
    checks: list[tuple[int, bool]] = field(default_factory=list)
    cuts: Cuts = field(default_factory=Cuts)

    def end(self, stop: int) -> None:
        self.track.stop = stop
        seen = total = 0
        before = self.track.start
        for index, found in self.checks:
            if index < stop:
                total += index - before
                seen += found * (index - before)
                before = index
        self.track.seen = seen / total if total else 1.0


class Follower:
    """Finds and follows faces in the saved frames, given in order.

    Args:
        options: When to detect, and which tracks count.
        choose: Which faces of a frame to follow: :func:`largest`,
            :func:`all_faces` or :func:`most_covered`.
        moving: Every so many source frames a square follows its face, if that
            has moved: the track ends, one with ``before`` goes on. 0: never.
            A cut beside a face that stays as it is, as of an inset picture,
            then ends no track, and a cut within the square of a face does.

    Attributes:
        tracks: All tracks so far, short ones too, by their start.
    """

    def __init__(
        self, options: CropOptions, choose: Choice, moving: int = 0
    ) -> None:
        self._moving = moving
        self._last: np.ndarray | None = None  # frame, where squares follow
        self._options = options
        self._choose = choose
        self._detect = (
            detect_large_faces if choose is largest else detect_faces
        )
        self._several = options.tracks == 'all'
        self._active: list[_Watched] = []
        self.tracks: list[Track] = []
        self._search_at = 0

    @property
    def _wanted(self) -> bool:
        return self._several or not (self._active or self.done)

    @property
    def done(self) -> bool:
        """Whether the rest of the video can add nothing."""
        return not self._several and not self._active and bool(self._kept())

    def update(
        self, index: int, frame: np.ndarray, *, cut: bool, gap: bool = False
    ) -> list[Track]:
        """Look at the next saved frame; return the tracks that it is in.

        Args:
            index: Of the source frame.
            frame: (H, W, 3), uint8, RGB.
            cut: Whether a new shot begins.
            gap: Whether there is a gap in time before it, which ends all
                tracks.
        """
        if cut or gap:
            self._end_all(index, None if gap else frame)
            self._search_at = index
        if self._moving:
            self._last = frame
            self._end_at_cuts(index, frame)
            self._follow(index, frame)
        # first, as it finds faces that the check of a square can miss
        searched = self._several and index >= self._search_at
        if searched:
            self._search(index, frame)
        for watched in [*self._active]:
            if index >= watched.due:
                self._check(watched, index, frame)
        if searched:
            self._search_at = self._next_search(index)
        elif index >= self._search_at and self._wanted:
            self._search(index, frame)
        return [watched.track for watched in self._active]

    def finish(self, stop: int) -> list[Track]:
        """End all tracks before frame ``stop``; return those that count.

        Those with enough frames; only the first of them, if one is wanted.
        """
        self._end_all(stop)
        return self._kept()

    def _kept(self) -> list[Track]:
        o = self._options
        ended = [track for track in self.tracks if track.stop is not None]
        kept = [t for t in ended if t.num_frames(o.stride) >= o.min_frames]
        return kept if self._several else kept[:1]

    def _check(self, watched: _Watched, index: int, frame: np.ndarray) -> None:
        seen = has_face(frame, watched.square)
        self._note(watched, index, seen)
        if index - watched.last_seen >= self._options.lost:
            self._end(watched, watched.last_seen + 1)
            self._search_at = index

    def _end_at_cuts(self, index: int, frame: np.ndarray) -> None:
        """End tracks at cuts within their squares, as of an inset picture."""
        for watched in [*self._active]:
            cut = watched.cuts.see(index, crop(frame, watched.square, PART))
            if cut is not None:
                self._end(watched, cut)
                self._search_at = index

    def _follow(self, index: int, frame: np.ndarray) -> None:
        """Let the squares of faces that have moved go on where they are."""
        for watched in [*self._active]:
            since = index - watched.track.start
            if since == 0 or since % self._moving:
                continue
            face = face_in(frame, watched.square)
            if face is None:
                if watched.last_seen >= index - self._moving:
                    self._search_at = index  # it may be farther away
                continue
            self._note(watched, index, seen=True)
            if _has_moved(watched.square, face) and not watched.cuts.pending:
                self._go_on(watched, face, index)

    def _go_on(self, watched: _Watched, face: Face, index: int) -> None:
        n_faces = watched.track.n_faces or 1
        self._end(watched, index)
        self._start(face, index, n_faces)
        self.tracks[-1].before = watched.track

    def _note(self, watched: _Watched, index: int, seen: bool) -> None:
        watched.checks.append((index, seen))
        watched.due = index + self._options.search_stride
        if seen:
            watched.last_seen = index
            watched.due = index + self._options.check_stride

    def _search(self, index: int, frame: np.ndarray) -> None:
        faces = self._detect(frame, upsample=self._options.upsample)
        chosen = self._choose(index, frame, faces)
        for face in self._without_known(chosen, index):
            self._start(face, index, len(faces))
        self._search_at = self._next_search(index)

    def _next_search(self, index: int) -> int:
        o = self._options
        return index + (o.check_stride if self._active else o.search_stride)

    def _start(self, face: Face, index: int, n_faces: int) -> None:
        square = square_around(face.box)
        track = Track(
            index,
            square,
            box=face.box,
            score=face.score,
            n_faces=n_faces,
        )
        self.tracks.append(track)
        due = index + self._options.check_stride
        self._active.append(_Watched(track, square, due, last_seen=index))

    def _without_known(self, faces: Sequence[Face], index: int) -> list[Face]:
        """Leave out faces in the squares of tracks, one for each track."""
        free, new = [*self._active], []
        for face in faces:
            holders = [w for w in free if offset(w.square, face) < 0.5]
            if holders:
                nearest = min(holders, key=lambda w: offset(w.square, face))
                free.remove(nearest)
                self._note(nearest, index, seen=True)
                moved = self._moving and _has_moved(nearest.square, face)
                if moved and not nearest.cuts.pending:
                    self._go_on(nearest, face, index)
            else:
                new.append(face)
        return self._without_moved(new, free, index)

    def _without_moved(
        self, faces: list[Face], free: list[_Watched], index: int
    ) -> list[Face]:
        """Leave out faces that an unseen track went to.

        It is a step away, or the only face that is new where only one was
        lost since the last look.
        """
        if not self._moving:
            return faces
        new = []
        for face in faces:
            unseen = [
                watched
                for watched in free
                if watched.last_seen < index and not watched.cuts.pending
            ]
            alone = len(unseen) == len(faces) == 1
            lost = [
                watched
                for watched in unseen
                if _ratio(watched.square, face) < GROWN
                and (
                    offset(watched.square, face) < STEP
                    or (alone and watched.last_seen >= index - self._moving)
                )
            ]
            if lost:
                nearest = min(lost, key=lambda w: offset(w.square, face))
                free.remove(nearest)
                self._go_on(nearest, face, index)
            else:
                new.append(face)
        return new

    def _end(self, watched: _Watched, stop: int) -> None:
        watched.end(stop)
        self._active.remove(watched)

    def _end_all(self, stop: int, frame: np.ndarray | None = None) -> None:
        """End all tracks; at a cut, but those whose square stays the same."""
        before = self._last
        for watched in [*self._active]:
            if (
                before is None
                or frame is None
                or not _same(before, frame, watched.square)
            ):
                self._end(watched, stop)


def _has_moved(square: Square, face: Face) -> bool:
    return offset(square, face) > MOVED or _ratio(square, face) > GROWN


def _ratio(square: Square, face: Face) -> float:
    """The larger of two sides divided by the other: the square's, a face's."""
    side = square_around(face.box).side
    return max(side / square.side, square.side / side)


def _same(before: np.ndarray, after: np.ndarray, square: Square) -> bool:
    """Whether what is in a square is as it was one frame earlier."""
    a, b = (thumbnail(crop(frame, square, PART)) for frame in (before, after))
    return distance(a, b) < SAME


def largest(index: int, frame: np.ndarray, faces: list[Face]) -> list[Face]:
    """Choose the first face, which is the largest."""
    return faces[:1]


def all_faces(index: int, frame: np.ndarray, faces: list[Face]) -> list[Face]:
    """Choose every face."""
    return faces


def most_covered(
    mask: Frames, index: int, frame: np.ndarray, faces: list[Face]
) -> list[Face]:
    """Choose the face that the mask of the same frame covers most.

    No face if the mask has white, but not on any of these faces: the forged
    face was not found here. The largest face if the mask is black or lacks
    this frame.

    Args:
        mask: Of any size, white where the forgery is.
        index: Of the source frame.
        frame: (H, W, 3), for its size.
        faces: The largest first.

    Raises:
        VideoError: The mask cannot be decoded.
    """
    if not faces or index >= mask.num_frames:
        return faces[:1]
    (white,) = mask.frames_at([index])
    height, width = frame.shape[:2]
    white = cv2.resize(white, (width, height)).max(2) > 127
    shares = [_share(white, face.box) for face in faces]
    if max(shares) > 0:
        return [faces[int(np.argmax(shares))]]
    return [] if white.any() else faces[:1]


def _share(white: np.ndarray, box: Box) -> float:
    left, top, w, h = box
    inside = white[max(0, top) : top + h, max(0, left) : left + w]
    return float(inside.mean()) if inside.size else 0.0
