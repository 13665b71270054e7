"""A video with what was found in it: boxes, scores, heat maps."""

import os
import tempfile
from bisect import bisect_right
from collections.abc import (
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from gml_mmaction.evaluation.prediction import Prediction, known
from gml_mmaction.explain.flow import draw_flow
from gml_mmaction.video import Frames
from gml_mmaction.video.writer import write_h264

from .timeline import made_line, unlike_lines, verdict_line

__all__ = ['Moment', 'draw_overlay', 'moment_at', 'write_overlay']

WIDEST, NARROWEST = 1920, 480  # pixels of the longer side of the picture
CRF = 23  # x264's own default
# RGB; a box's text has the score, too, for those who do not see colours
SUSPICIOUS, OTHER = (213, 94, 0), (86, 180, 233)
BOXES = (
    'a box has the score of the clip that is shown; orange: it reaches the '
    'threshold'
)
BAND = (32, 32, 32)
FONT = cv2.FONT_HERSHEY_SIMPLEX


class Heat(NamedTuple):
    """Heat maps of a video and their scale.

    Attributes:
        maps: By track, those of its clips, ``(clips, T, h, w)``, 0 or above.
        ends: Where heat begins to show and where it is full, as genuine
            videos have it (see
            :class:`~gml_mmaction.evaluation.reference.HeatScale`). None: by
            the video's own range; heat of two videos cannot be compared then,
            and the hottest place of a genuine video glows too.
    """

    maps: Mapping[int, np.ndarray] = {}
    ends: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame of a video and what was found there.

    Attributes:
        index: Of the frame in the video.
        seconds: Its time; None where the frame rate is not known.
        frame: (H, W, 3), RGB, uint8, as decoded.
        overlay: The frame with boxes, scores and heat, as in the overlay
            video; its size may be another.
        flow: The frame with its optical flow, an arrow every 20 pixels.
        track: The most suspicious face there; None without one.
        score: Of that face's clip there, P(fake).
    """

    index: int
    seconds: float | None
    frame: np.ndarray
    overlay: np.ndarray
    flow: np.ndarray
    track: int | None
    score: float | None


class Found(NamedTuple):
    """A face that was scored in a frame.

    Attributes:
        track: Its number.
        square: Left, top, side, in pixels of the video.
        score: Of the clip that the frame is in.
        heat: (h, w), 0 to 1 (see :class:`Heat`), or None.
    """

    track: int
    square: Sequence[int]
    score: float
    heat: np.ndarray | None


class _Finder:
    """Says which faces are in a frame, of an analysed video."""

    def __init__(self, prediction: Prediction, heat: Heat) -> None:
        self._tracks = prediction.tracks
        self._heat = heat.maps
        self._low, high = heat.ends or _own_range(heat.maps.values())
        self._scale = 1 / (high - self._low) if high > self._low else 0.0

    def at(self, index: int) -> list[Found]:
        """Faces in a frame, the most suspicious first."""
        found = []
        for track in self._tracks:
            clips = track.clips
            place = bisect_right(clips, index, key=attrgetter('start')) - 1
            if place >= 0 and index < clips[place].stop:
                clip = clips[place]
                span = clip.stop - clip.start
                part = (index - clip.start) / span
                heat = self._map(track.track, place, part)
                square = clip.square or track.square
                found.append(Found(track.track, square, clip.score, heat))
        return sorted(found, key=lambda face: -face.score)

    def _map(self, track: int, clip: int, part: float) -> np.ndarray | None:
        if track not in self._heat:
            return None
        maps = self._heat[track][clip]
        heat = maps[int(part * len(maps))].astype(np.float32)
        return ((heat - self._low) * self._scale).clip(0, 1)


def _own_range(maps: Collection[np.ndarray]) -> tuple[float, float]:
    # the middle 98 per cent, as a few clips are enough for an outlier
    ends = [np.quantile(one, (0.01, 0.99)) for one in maps]
    low = min((float(low) for low, _ in ends), default=0.0)
    return low, max((float(high) for _, high in ends), default=0.0)


def write_overlay(
    reader: Frames,
    prediction: Prediction,
    heat: Heat,
    out: str | Path,
    progress: Callable[[int, int], Any] | None = None,
) -> Path:
    """Write an H.264 file with the frames of a video and what was found.

    Every frame is there, at its own time, at most 1920 pixels long. The
    file has no sound. It appears whole or not at all.

    Args:
        reader: The video, open.
        prediction: Of the video.
        heat: Maps of the tracks' clips.
        out: File to write, ``.mp4``.
        progress: Called with the number of frames that are done and that
            there are.

    Raises:
        ImportError: PyAV is missing.
        OSError: The file cannot be written.
    """
    out = Path(out)
    finder = _Finder(prediction, heat)

    def pictures() -> Iterator[np.ndarray]:
        size = None
        for index, frame in enumerate(reader.frames()):
            picture = draw_overlay(frame, finder.at(index), prediction)
            size = size or (picture.shape[1], picture.shape[0])
            if size != (picture.shape[1], picture.shape[0]):  # of images
                picture = cv2.resize(picture, size)
            yield picture
            if progress:
                progress(index + 1, reader.num_frames)

    def shown_at(index: int) -> float:
        seconds = reader.seconds_at(index)
        assert seconds is not None  # the rate is known
        return seconds

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        partial = Path(folder, out.name)
        write_h264(
            str(partial),
            pictures(),
            fps=reader.fps,
            crf=CRF,
            preset='veryfast',
            seconds_at=shown_at if reader.fps else None,
            comment=verdict_line(prediction).replace('≥', '>='),
        )
        os.replace(partial, out)
    return out


def moment_at(
    reader: Frames,
    prediction: Prediction,
    heat: Heat,
    seconds: float,
) -> Moment | None:
    """One frame, what was found there, and the motion to the next taken.

    Args:
        reader: The video, open.
        prediction: Of the video.
        heat: As in :func:`write_overlay`.
        seconds: Where; a number of a frame where the rate is not known.

    Returns:
        None if there is no such frame.
    """
    index = reader.index_at(seconds)
    end = reader.num_frames if reader.broken_at is None else reader.broken_at
    if not 0 <= index <= reader.num_frames:
        return None
    index = min(index, end - 1)
    rate = prediction.video and prediction.video.rate
    after = index + 2
    if rate:
        after = reader.index_at(known(reader.seconds_at(index)) + 1 / rate)
    after = min(max(after, index + 1), end - 1)
    frame, later = reader.frames_at([index, max(after, index)])
    if later.shape != frame.shape:  # of images
        later = frame
    faces = _Finder(prediction, heat).at(index)
    return Moment(
        index=index,
        seconds=reader.seconds_at(index),
        frame=frame,
        overlay=draw_overlay(frame, faces, prediction),
        flow=draw_flow(frame, later),
        track=faces[0].track if faces else None,
        score=faces[0].score if faces else None,
    )


def draw_overlay(
    frame: np.ndarray, faces: Sequence[Found], prediction: Prediction
) -> np.ndarray:
    """Draw faces into a frame, and the verdict below it.

    Args:
        frame: (H, W, 3), RGB, uint8.
        faces: What is in it.
        prediction: Of the whole video.

    Returns:
        (H', W', 3), RGB, uint8, of even sides.
    """
    scale = _scale(frame)
    height, width = (2 * round(s * scale / 2) for s in frame.shape[:2])
    fit = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(frame, (width, height), interpolation=fit)
    for face in faces:
        if face.heat is not None:
            _blend(picture, face.heat, face.square, scale)
    for face in reversed(faces):
        _draw_box(picture, face, scale, prediction.threshold)
    lines = footer_lines(faces, prediction)
    return np.vstack([picture, _band(lines, width)])


def footer_lines(faces: Sequence[Found], prediction: Prediction) -> list[str]:
    """What is below a frame: the verdict, what makes it, and its limits."""
    lines = [
        verdict_line(prediction),
        *([made_line(prediction)] if prediction.tracks else []),
        *unlike_lines(prediction),
        f'{BOXES if faces else "no face scored here"}; a score is not a proof',
    ]
    return [line.replace('≥', '>=') for line in lines]


def box_text(face: Found) -> str:
    """What is written on a face's box."""
    return f'face {face.track}, this clip: {face.score:.2f}'


def _scale(frame: np.ndarray) -> float:
    longer = max(frame.shape[:2])
    return min(max(longer, NARROWEST), WIDEST) / longer


def _blend(
    picture: np.ndarray, heat: np.ndarray, square: Sequence[int], scale: float
) -> None:
    """Lay the heat map over the face, the more the hotter, in place."""
    x0, y0, side = (round(value * scale) for value in square)
    side = max(1, side)
    heat = cv2.resize(heat, (side, side), interpolation=cv2.INTER_LINEAR)
    height, width = picture.shape[:2]
    left, top = max(0, x0), max(0, y0)
    right, bottom = min(width, x0 + side), min(height, y0 + side)
    if right <= left or bottom <= top:
        return
    heat = heat[top - y0 : bottom - y0, left - x0 : right - x0]
    levels = (255 * heat).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    share = (0.65 * heat)[..., None]
    part = picture[top:bottom, left:right]
    part[:] = (part * (1 - share) + colours * share).astype(np.uint8)


def _draw_box(
    picture: np.ndarray, face: Found, scale: float, threshold: float
) -> None:
    x0, y0, side = (round(value * scale) for value in face.square)
    colour = SUSPICIOUS if face.score >= threshold else OTHER
    thick = max(2, picture.shape[1] // 400)
    corners = (x0, y0), (x0 + side, y0 + side)
    cv2.rectangle(picture, *corners, colour, thick, cv2.LINE_AA)
    _label(picture, box_text(face), x0, y0, colour)


def _label(
    picture: np.ndarray, text: str, x0: int, y0: int, colour: tuple
) -> None:
    """Write on a band at the top of the box, wholly inside the picture."""
    height, width = picture.shape[:2]
    size, thick = _text_size(width)
    (w, h), base = cv2.getTextSize(text, FONT, size, thick)
    pad = max(3, h // 2)
    left = min(max(0, x0), max(0, width - w - 2 * pad))
    bottom = min(max(y0, h + base + 2 * pad), height)
    top = bottom - h - base - 2 * pad
    cv2.rectangle(
        picture, (left, top), (left + w + 2 * pad, bottom), colour, cv2.FILLED
    )
    cv2.putText(
        picture,
        text,
        (left + pad, top + pad + h),
        FONT,
        size,
        (0, 0, 0),
        thick,
        cv2.LINE_AA,
    )


def _band(lines: Sequence[str], width: int) -> np.ndarray:
    """Lines of text under the picture, each as small as it must be."""
    size, thick = _text_size(width)
    pitch = 2 * round(22 * size)
    band = np.full((2 * (pitch * len(lines) // 2 + 4), width, 3), BAND, 'u1')
    for i, line in enumerate(lines):
        fitted = size
        # letters do not shrink evenly
        while cv2.getTextSize(line, FONT, fitted, thick)[0][0] > width - 12:
            fitted *= 0.97
        place = (6, round(pitch * (i + 0.75)))
        cv2.putText(
            band, line, place, FONT, fitted, (255,) * 3, thick, cv2.LINE_AA
        )
    return band


def _text_size(width: int) -> tuple[float, int]:
    size = max(0.42, width / 1800)
    return size, max(1, round(1.6 * size))
