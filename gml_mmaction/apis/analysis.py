"""The analysis of one video: what a report says, and what is drawn of it.

Its clips are scored by :mod:`.scoring`, its verdict comes from
:mod:`.verdict`.
"""

import functools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from gml_mmaction.engine.reference import bits_per_pixel
from gml_mmaction.evaluation.prediction import Prediction, VideoFacts
from gml_mmaction.io.files import file_sha256, folder_sha256
from gml_mmaction.io.records import UNSET
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
from gml_mmaction.visualization.timeline import draw_timeline

from .detector import Detector
from .scoring import Progress, Scoring
from .verdict import judge

__all__ = ['Analysis', 'Progress', 'analyse']

Source = str | Path | np.ndarray

HEAT_SCALES = ('relative', 'absolute')


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
    run = Scoring(detector, kind, batch_size, clips, progress)
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
                judge(detector, tracks, span, found['video'], even_if_unlike)
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
