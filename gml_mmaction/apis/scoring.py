"""One video's way through decoder, search and network: its scored clips.

Only the clips that wait for the network are kept, so that an hour needs no
more memory than a minute. Of a scored clip its place, its score and a small
map remain.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gml_mmaction.engine.reference import Look
from gml_mmaction.faces import CropOptions, Track, crop
from gml_mmaction.faces.follow import (
    Walk,
    broken_note,
    decoded_ahead,
    reading,
    short_note,
    without_track,
)
from gml_mmaction.faces.spread import Sample, samples, spread
from gml_mmaction.faces.square import Square
from gml_mmaction.faces.track import all_faces
from gml_mmaction.io.text import counted
from gml_mmaction.video import Frames, Taken, VideoError
from gml_mmaction.visualization.timeline import faceless

from .detector import Detector

__all__ = ['Progress', 'Scored', 'Scoring']

Progress = Callable[[int, int], Any]

AHEAD_FRAMES = 32  # decoded ahead of face detection
# dlib's search takes 0.7 GB and 2.5 s for a doubled frame of this size.
DOUBLED_PIXELS = 3840 * 2160
UNSEEN = 1.0  # seconds without a face from which there is a note
SEEN = 0.8  # share of a track's time in which its face is seen; less is noted


@dataclass(eq=False)
class Scored:
    """A track, crops that are not yet a clip, and its scored clips.

    Where its face moved, each clip has a square of its own.
    """

    track: Track
    crops: list[np.ndarray] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    heat: list[np.ndarray] = field(default_factory=list)
    looks: list[Look | None] = field(default_factory=list)
    squares: list[Square] = field(default_factory=list)

    def look(self, name: str) -> float | None:
        """The median over the clips of one of the fields of ``Look``."""
        looks = [getattr(one, name) for one in self.looks if one]
        return round(float(np.median(looks)), 3) if looks else None

    def maps(self) -> np.ndarray | None:
        count = len(self.scores)
        return np.stack(self.heat[:count]) if self.heat else None


class Scoring:
    """One video's way through decoder, search and network."""

    def __init__(
        self,
        detector: Detector,
        heat: str,
        batch_size: int,
        clips: int | None,
        progress: Progress | None,
    ) -> None:
        self._detector = detector
        self._clips = clips
        self._heat = heat
        self._batch_size = max(1, batch_size)
        self._progress = progress or (lambda done, total: None)
        self._scored: dict[Track, Scored] = {}
        self._waiting: list[tuple[Scored, list[np.ndarray]]] = []
        self.kept: list[Scored] = []
        self.notes: list[str] = []
        self.timing = dict.fromkeys(('decoding', 'detection', 'network'), 0.0)

    def over(self, reader: Frames, taken: Taken) -> list[Scored]:
        """Return the tracks with at least one clip, in order of time.

        Raises:
            VideoError: There is no such track.
        """
        options = self._options(reader, taken)
        length = self._detector.clip_len
        if self._clips and self._clips < len(taken.indices) // length:
            return self._over_some(reader, taken, options, self._clips)
        return self._over_all(reader, taken, options)

    def _over_all(
        self, reader: Frames, taken: Taken, options: CropOptions
    ) -> list[Scored]:
        # a square follows its face from clip to clip, never within one
        moving = self._detector.clip_len * options.stride
        walk = Walk(taken, options, all_faces, moving)
        frames = decoded_ahead(
            reader, self._timed(reader.take(taken.indices)), AHEAD_FRAMES
        )
        with closing(frames):
            for frame, tracks in walk.over(frames, lambda frame: frame):
                self.timing['detection'] = walk.seconds
                self._keep(tracks, frame, options.size)
                done = taken.source(walk.position) + 1
                self._progress(done, reader.num_frames)
        end = walk.position + options.stride
        if note := broken_note(reader, taken.source(end)):
            self.notes.append(note)
        tracks = walk.finish(end)
        self._score(everything=True)
        self._progress(reader.num_frames, reader.num_frames)
        self.kept = _joined(self._with_clips(tracks, options.stride))
        self.notes += _unseen_notes(self.kept, reader, taken, end)
        if not self.kept:
            last = taken.source(end - options.stride)
            raise without_track(walk.tracks, last, options)
        if note := short_note(walk.tracks, options):
            self.notes.append(note)
        return self.kept

    def _over_some(
        self, reader: Frames, taken: Taken, options: CropOptions, count: int
    ) -> list[Scored]:
        length = self._detector.clip_len
        starts = spread(reader, taken, count, length)
        seconds = self.timing
        self.notes.append(
            f'{counted(len(starts), "moment")} of the video scored, not all: '
            'a face that is seen only between them is missed'
        )
        found: list[Track] = []
        many = samples(
            reader, taken, starts, length=length, upsample=options.upsample
        )
        while True:
            began = time.perf_counter()
            sample = next(many, None)
            seconds['detection'] += time.perf_counter() - began
            if sample is None:
                break
            found += [t for t in sample.tracks if t not in found]
            self._keep_sample(sample, options.size)
            done = taken.source(sample.position + length * options.stride)
            self._progress(done, reader.num_frames)
        self._score(everything=True)
        self._progress(reader.num_frames, reader.num_frames)
        if note := broken_note(reader, reader.num_frames):
            self.notes.append(note)
        self.kept = [
            self._scored[track]
            for track in found
            if track in self._scored and self._scored[track].scores
        ]
        if not self.kept:
            raise VideoError(
                'too short' if found else 'no face',
                f'none was found at {counted(len(starts), "moment")} '
                f'of {counted(reader.num_frames, "frame")}',
            )
        return self.kept

    def _keep_sample(self, sample: Sample, size: int) -> None:
        """Cut the faces out; score the clips, if there are whole ones."""
        crops: dict[Track, list[np.ndarray]] = {t: [] for t in sample.tracks}
        if not crops:
            return
        for frame in self._timed(sample.frames):
            for track in sample.tracks:
                assert track.square is not None  # it was found in a frame
                image = crop(frame, track.square, size)
                crops[track].append(self._detector.encode(image))
        for track, images in crops.items():
            if len(images) == self._detector.clip_len:
                scored = self._scored.setdefault(track, Scored(track))
                scored.starts.append(sample.position)
                self._waiting.append((scored, images))
        self._score()

    def _options(self, reader: Frames, taken: Taken) -> CropOptions:
        options = self._detector.crop_options
        if len(taken.indices) < options.min_frames:
            raise VideoError(
                'too short',
                f'{len(taken.indices)} of '
                f'{counted(reader.num_frames, "frame")} can be scored; at '
                f'least {options.min_frames} are needed',
            )
        doublings = _doublings(reader.width * reader.height, options.upsample)
        if doublings < options.upsample:
            self.notes.append(
                f'{reader.width}x{reader.height}: faces below '
                f'{80 // 2**doublings} pixels are not searched for'
            )
            return replace(options, upsample=doublings)
        return options

    def _timed(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        while True:
            began = time.perf_counter()
            with reading():
                frame = next(frames, None)
            self.timing['decoding'] += time.perf_counter() - began
            if frame is None:
                return
            yield frame

    def _keep(
        self, tracks: Sequence[Track], frame: np.ndarray, size: int
    ) -> None:
        """Cut the faces out; score clips that are now complete."""
        for track in tracks:
            scored = self._scored.setdefault(track, Scored(track))
            assert track.square is not None  # it was found in a frame
            image = crop(frame, track.square, size)
            scored.crops.append(self._detector.encode(image))
            if len(scored.crops) == self._detector.clip_len:
                clips = len(scored.starts) * len(scored.crops)
                start = (
                    track.start + clips * self._detector.crop_options.stride
                )
                scored.starts.append(start)
                self._waiting.append((scored, scored.crops))
                scored.crops = []
        self._score()

    def _score(self, everything: bool = False) -> None:
        while len(self._waiting) >= (1 if everything else self._batch_size):
            batch = self._waiting[: self._batch_size]
            del self._waiting[: self._batch_size]
            began = time.perf_counter()
            scores, maps, looks = self._detector.examine(
                [crops for _, crops in batch], self._heat
            )
            self.timing['network'] += time.perf_counter() - began
            for i, (scored, _) in enumerate(batch):
                scored.scores.append(float(scores[i]))
                scored.looks.append(looks[i])
                if maps is not None:
                    limit = np.finfo(np.float16).max
                    heat = maps[i].clip(0, limit).astype(np.float16)
                    scored.heat.append(heat)

    def _with_clips(
        self, tracks: Sequence[Track], stride: int
    ) -> list[Scored]:
        """Leave out clips after a face was gone, and tracks without clips."""
        kept = []
        for track in tracks:
            scored = self._scored.get(track)
            whole = track.num_frames(stride) // self._detector.clip_len
            if scored and whole and scored.scores:
                del scored.scores[whole:], scored.heat[whole:]
                del scored.looks[whole:]
                kept.append(scored)
        return kept


def _joined(parts: Sequence[Scored]) -> list[Scored]:
    """Make one track of those of a face that moved."""
    faces: dict[Track, list[Scored]] = {}
    for part in parts:
        first = part.track
        while first.before is not None:
            first = first.before
        faces.setdefault(first, []).append(part)
    return [_one_of(own) if len(own) > 1 else own[0] for own in faces.values()]


def _one_of(parts: Sequence[Scored]) -> Scored:
    first, last = parts[0].track, parts[-1].track
    assert last.stop is not None  # it has ended
    frames = [part.track.num_frames(1) for part in parts]
    seen = [part.track.seen or 0.0 for part in parts]
    track = replace(
        first,
        stop=last.stop,
        seen=round(float(np.average(seen, weights=frames)), 4),
    )
    whole = Scored(track)
    for part in parts:
        assert part.track.square is not None  # it was found in a frame
        count = len(part.scores)
        whole.starts += part.starts[:count]
        whole.scores += part.scores
        whole.heat += part.heat
        whole.looks += part.looks
        whole.squares += [part.track.square] * count
    return whole


def _unseen_notes(
    kept: Sequence[Scored], reader: Frames, taken: Taken, end: int
) -> list[str]:
    """Note where no face was seen, as of one in profile."""
    spans = [
        (taken.source(one.track.start), taken.source(one.track.stop or 0))
        for one in kept
    ]
    stop = min(taken.source(end), reader.broken_at or reader.num_frames)
    gaps = [
        (a, b)
        for a, b in faceless(spans, stop)
        if b - a >= UNSEEN * (reader.fps or 25)
    ]
    notes = []
    if gaps:
        frames = sum(b - a for a, b in gaps)
        notes.append(
            f'no face was found in {frames:g} of {counted(stop, "frame")}: '
            'one in profile, turned away or covered is not found'
        )
    for number, one in enumerate(kept):
        seen = one.track.seen
        if seen is not None and seen < SEEN:
            notes.append(
                f'face {number} was seen in {seen:.0%} of its time only, as '
                'one in profile or covered; all of its clips are scored'
            )
    return notes


def _doublings(pixels: int, wanted: int) -> int:
    """How often a frame may be doubled with the memory available."""
    while wanted and pixels * 4 ** (wanted - 1) > DOUBLED_PIXELS:
        wanted -= 1
    return wanted
