"""Follow the faces of one video and score their clips, decoding it once.

Only the clips that wait for the network are kept, so that an hour needs no
more memory than a minute. Of a scored clip its place, its score and a small
map remain.
"""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from gml_mmaction.engine.reference import Look, bits_per_pixel
from gml_mmaction.evaluation.forgery_metric import VIDEO_RULES
from gml_mmaction.evaluation.prediction import (
    Clip,
    Prediction,
    ScoredTrack,
    VideoFacts,
)
from gml_mmaction.evaluation.reference import Unlike
from gml_mmaction.faces import CropOptions, Track, crop
from gml_mmaction.faces.follow import (
    Walk,
    broken_note,
    decoded_ahead,
    reading,
    short_note,
)
from gml_mmaction.faces.spread import Sample, samples, spread
from gml_mmaction.faces.square import Square
from gml_mmaction.faces.track import all_faces
from gml_mmaction.io.files import file_sha256, folder_sha256
from gml_mmaction.io.records import UNSET, UnsetType
from gml_mmaction.io.text import counted
from gml_mmaction.video import (
    ArrayFrames,
    Frames,
    Taken,
    VideoError,
    open_video,
)
from gml_mmaction.video.files import ARCHIVES
from gml_mmaction.visualization.overlay import (
    Heat,
    Moment,
    moment_at,
    write_overlay,
)
from gml_mmaction.visualization.summary import draw_face
from gml_mmaction.visualization.timeline import draw_timeline, faceless

from .detector import Detector

__all__ = ['Analysis', 'Progress', 'analyse']

Source = str | Path | np.ndarray
Progress = Callable[[int, int], Any]
Span = Callable[[int, int], dict[str, Any]]

AHEAD_FRAMES = 32  # decoded ahead of face detection
# dlib's search takes 0.7 GB and 2.5 s for a doubled frame of this size.
DOUBLED_PIXELS = 3840 * 2160
HEAT_SCALES = ('relative', 'absolute')
UNSEEN = 1.0  # seconds without a face from which there is a note
SEEN = 0.8  # share of a track's time in which its face is seen; less is noted
VERDICTS = ('suspicious', 'not suspicious', 'no face', 'no verdict')


@dataclass
class Analysis:
    """What was found in one video.

    Attributes:
        source: The file, or the frames.
        prediction: What a report says of the video.
        detector: What a report says of the detector, its ``facts``.
        options: With which it was analysed, as a report says them.
        heat: By track, maps of its clips, ``(clips, T, h, w)``, float16, not
            negative; empty if none were asked for.
        ends: Where heat begins to show and where it is full; None: by the
            video's own range.
    """

    source: Source
    prediction: Prediction
    detector: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    heat: dict[int, np.ndarray] = field(default_factory=dict)
    ends: tuple[float, float] | None = None

    def draw_timeline(self, out: str | Path) -> Path:
        """Draw the scores over time; returns ``out``."""
        return draw_timeline(self.prediction, self.detector, out)

    def draw_face(self) -> bytes | None:
        """The face at the most suspicious moment, as a small JPEG.

        None without a score, or if the video has changed since.
        """
        clip = self.prediction.most_suspicious
        if clip is None:
            return None
        square = clip.square
        if square is UNSET:
            square = self.prediction.tracks[int(clip.track or 0)].square
        try:
            with open_source(self.source) as reader:
                middle = (clip.start + clip.stop) // 2
                last = min(middle, reader.num_frames - 1)
                (frame,) = reader.frames_at([last])
        except VideoError:
            return None
        return draw_face(frame, square)

    def write_overlay(
        self, out: str | Path, progress: Progress | None = None
    ) -> Path:
        """Write the video with boxes, scores and heat maps; returns ``out``.

        The video is decoded once more. It has no sound.
        """
        with open_source(self.source) as reader:
            return write_overlay(
                reader,
                self.prediction,
                Heat(self.heat, self.ends),
                out,
                progress,
            )

    def moment(self, seconds: float) -> Moment | None:
        """The frame at a time, what was seen there, and its optical flow.

        None if the video has no such frame.
        """
        with open_source(self.source) as reader:
            heat = Heat(self.heat, self.ends)
            return moment_at(reader, self.prediction, heat, seconds)


def open_source(source: Source) -> Frames:
    """Open a video, a folder or archive of images, or an array of frames.

    Raises:
        VideoError: It cannot be read.
    """
    if isinstance(source, np.ndarray):
        return ArrayFrames(source)
    try:
        return open_video(source)
    except FileNotFoundError:
        raise VideoError('missing', 'there is no such file') from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise VideoError('unreadable', why) from error


def analyse(
    detector: Detector,
    source: Source,
    *,
    name: str | None = None,
    heat: str = 'none',
    batch_size: int = 4,
    clips: int | None = None,
    even_if_unlike: bool = False,
    relative_heat: bool = False,
    progress: Progress | None = None,
) -> Analysis:
    """Follow the faces of a video and score them.

    A video that cannot be read gives a result too: its ``status`` says why.

    Args:
        detector: Scores the clips.
        source: A file, a folder or archive of images, or frames (T, H, W, 3),
            RGB, uint8.
        name: Of the video in the result; by default the file's name.
        heat: See :meth:`Detector.score`.
        batch_size: Clips that the network takes at once.
        clips: Score the clips of so many moments, spread over the video (see
            :mod:`~gml_mmaction.faces.spread`); by default all clips.
        even_if_unlike: Whether there is a verdict on a video, too, that is
            unlike the training data.
        relative_heat: Whether heat is drawn by the video's own range, not by
            that of genuine validation videos.
        progress: Called with the number of frames done and of all frames; may
            raise, to stop.

    Returns:
        The prediction and, if asked for, heat maps.
    """
    kind = detector.heat_kind(heat)
    ends = None if relative_heat else detector.heat_ends(kind)
    run = _Run(detector, kind, batch_size, clips, progress)
    found: dict[str, Any] = dict(sha256=sha256_of(source))  # up to an error
    began = time.perf_counter()
    try:
        with open_source(source) as reader:
            found['video'] = _facts(reader, source)
            taken = detector.take(reader)
            found['video'] = structs.replace(found['video'], rate=taken.rate)
            tracks = run.over(reader, taken)
            found['notes'] = [*reader.notes, *taken.notes, *run.notes]
            span = functools.partial(_span, reader, taken)
            found.update(
                _judge(detector, tracks, span, found['video'], even_if_unlike)
            )
    except VideoError as error:
        found.update(status=error.reason, detail=error.detail)
        if error.reason == 'no face':
            found['verdict'] = 'no face'
    run.timing['total'] = time.perf_counter() - began
    prediction = Prediction(
        input=name or name_of(source),
        threshold=detector.threshold.value,
        rule=detector.video_rule,
        timing={key: round(value, 3) for key, value in run.timing.items()},
        **found,
    )
    maps = {i: found.maps() for i, found in enumerate(run.kept)}
    return Analysis(
        source,
        prediction,
        detector.facts,
        dict(
            clips=clips or 'all',
            heat=kind,
            heat_scale=None if kind == 'none' else HEAT_SCALES[bool(ends)],
            batch_size=batch_size,
            device=detector.device.type,
            even_if_unlike=even_if_unlike,
        ),
        {i: m for i, m in maps.items() if m is not None},
        ends,
    )


@dataclass(eq=False)
class _Scored:
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


class _Run:
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
        self._scored: dict[Track, _Scored] = {}
        self._waiting: list[tuple[_Scored, list[np.ndarray]]] = []
        self.kept: list[_Scored] = []
        self.notes: list[str] = []
        self.timing = dict.fromkeys(('decoding', 'detection', 'network'), 0.0)

    def over(self, reader: Frames, taken: Taken) -> list[_Scored]:
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
    ) -> list[_Scored]:
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
            raise _failure(walk.tracks, taken, end, options)
        if note := short_note(walk.tracks, options):
            self.notes.append(note)
        return self.kept

    def _over_some(
        self, reader: Frames, taken: Taken, options: CropOptions, count: int
    ) -> list[_Scored]:
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
                scored = self._scored.setdefault(track, _Scored(track))
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
            scored = self._scored.setdefault(track, _Scored(track))
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
    ) -> list[_Scored]:
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


def _joined(parts: Sequence[_Scored]) -> list[_Scored]:
    """Make one track of those of a face that moved."""
    faces: dict[Track, list[_Scored]] = {}
    for part in parts:
        first = part.track
        while first.before is not None:
            first = first.before
        faces.setdefault(first, []).append(part)
    return [_one_of(own) if len(own) > 1 else own[0] for own in faces.values()]


def _one_of(parts: Sequence[_Scored]) -> _Scored:
    first, last = parts[0].track, parts[-1].track
    assert last.stop is not None  # it has ended
    frames = [part.track.num_frames(1) for part in parts]
    seen = [part.track.seen or 0.0 for part in parts]
    track = replace(
        first,
        stop=last.stop,
        seen=round(float(np.average(seen, weights=frames)), 4),
    )
    whole = _Scored(track)
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
    kept: Sequence[_Scored], reader: Frames, taken: Taken, end: int
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


def _failure(
    tracks: Sequence[Track], taken: Taken, end: int, options: CropOptions
) -> VideoError:
    if not tracks:
        last = taken.source(end - options.stride)
        return VideoError('no face', f'none was found in frames 0 to {last}')
    longest = max(track.num_frames(options.stride) for track in tracks)
    return VideoError(
        'too short',
        f'no face is seen in more than {longest} of the frames taken; at '
        f'least {options.min_frames} are needed',
    )


def _facts(reader: Frames, source: Source) -> VideoFacts:
    size = None
    if not isinstance(source, np.ndarray) and _is_video_file(source):
        size = os.stat(source).st_size
    bits = bits_per_pixel(size, reader.width, reader.height, reader.num_frames)
    return VideoFacts(
        fps=round(reader.fps, 6) or None,
        width=reader.width,
        height=reader.height,
        num_frames=reader.num_frames,
        seconds=_rounded(reader.seconds_at(reader.num_frames)),
        bits=bits and round(bits, 5),
    )


def _is_video_file(source: str | Path) -> bool:
    """Whether it is a file, and no archive of images."""
    path = Path(source)
    return path.is_file() and not path.name.lower().endswith(ARCHIVES)


def _judge(
    detector: Detector,
    tracks: Sequence[_Scored],
    span: Span,
    video: VideoFacts,
    even_if_unlike: bool,
) -> dict[str, Any]:
    """Return tracks, score and verdict of a video with scored clips."""
    rows = [
        _scored_track(detector, index, scored, span)
        for index, scored in enumerate(tracks)
    ]
    score = max(row.score for row in rows)
    if not np.isfinite(score):
        raise VideoError('error', 'the network gives no finite score')
    worst = max(
        ((row, clip) for row in rows for clip in row.clips),
        key=lambda pair: pair[1].score,
    )
    if detector.genuine is None:
        corrected = None
        decides = max(rows, key=lambda row: row.score)
    else:
        corrected = detector.genuine.correct(
            [[clip.score for clip in row.clips] for row in rows]
        )
        decides = rows[corrected.track]
    compared = score if corrected is None else corrected.score
    calibrated = detector.calibration
    unlike = _unlike(detector, video, decides)
    withheld = any(one.withholds for one in unlike) and not even_if_unlike
    suspicious = compared >= detector.threshold.value
    return dict(
        verdict='no verdict' if withheld else VERDICTS[0 if suspicious else 1],
        score=score,
        corrected=corrected and corrected.score,
        chance=corrected and corrected.chance,
        probability=calibrated and float(calibrated([compared])[0]),
        unlike=[one.text for one in unlike],
        most_suspicious=structs.replace(worst[1], track=worst[0].track),
        tracks=rows,
    )


def _unlike(
    detector: Detector, video: VideoFacts, track: ScoredTrack
) -> list[Unlike]:
    """In which a video and its face are unlike the training data."""
    if detector.reference is None:
        return []
    return detector.reference.unlike(
        dict(
            rate=video.rate or None,
            face=_side(track) / 2,
            bits=video.bits or None,
            length=video.seconds,
            brightness=track.brightness,
            sharpness=track.sharpness,
        )
    )


def _side(track: ScoredTrack) -> float:
    """The median over the clips of the side of what was cut out."""
    squares = [
        track.square if clip.square is UNSET else clip.square
        for clip in track.clips
    ]
    return float(np.median([side for _, _, side in squares]))


def _scored_track(
    detector: Detector, index: int, scored: _Scored, span: Span
) -> ScoredTrack:
    track = scored.track
    length = detector.clip_len * detector.crop_options.stride
    squares: Iterable[Square | UnsetType] = scored.squares or repeat(UNSET)
    clips = [
        Clip(
            **span(first, first + length),
            score=score,
            square=UNSET if square is UNSET else list(square),
        )
        for first, score, square in zip(scored.starts, scored.scores, squares)
    ]
    merge = VIDEO_RULES[detector.video_rule]
    assert track.stop is not None  # it has ended
    assert track.square is not None
    return ScoredTrack(
        track=index,
        **span(track.start, track.stop),
        square=list(track.square),
        seen=track.seen,
        score=float(merge(scored.scores)),
        brightness=scored.look('brightness'),
        sharpness=scored.look('sharpness'),
        clips=clips,
    )


def _span(
    reader: Frames, taken: Taken, start: int, stop: int
) -> dict[str, Any]:
    """Where something begins and ends in the video, from its positions."""
    first, end = taken.source(start), taken.source(stop)
    seconds = [_rounded(reader.seconds_at(index)) for index in (first, end)]
    known = seconds if None not in seconds else None
    return dict(start=first, stop=end, seconds=known)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def name_of(source: Source) -> str:
    return 'array' if isinstance(source, np.ndarray) else str(source)


def sha256_of(source: Source) -> str | None:
    """Of a file, or of a folder's files; None if it cannot be read."""
    if isinstance(source, np.ndarray):
        return None
    try:
        if Path(source).is_dir():
            return folder_sha256(source)
        return file_sha256(source)
    except (OSError, ValueError):  # opening it says what is wrong
        return None
