"""A picture of a few real and fake videos: a strip of frames for each."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from gml_mmaction.errors import SettingError
from gml_mmaction.sources import Video
from gml_mmaction.video import VideoReader

_CAPTION_HEIGHT = 20
_COLOURS = {0: (120, 220, 120), 1: (255, 130, 110)}  # RGB


def spread(videos: Sequence[Video], count: int) -> list[Video]:
    """At most ``count`` videos, evenly spread from the first to the last."""
    count = min(count, len(videos))
    at = np.linspace(0, len(videos) - 1, count).round().astype(int)
    return [videos[index] for index in at]


def strip(
    video: Video, *, num_frames: int, stride: int, height: int
) -> np.ndarray:
    """The first frames of a video side by side, under a caption.

    Frame 0 and every ``stride``-th after it, at most ``num_frames``, each
    scaled to ``height`` pixels.

    Returns:
        ``(20 + height, W, 3)`` RGB uint8.
    """
    with VideoReader(video.path) as reader:
        frames = reader.frames(stride=stride, stop=num_frames * stride)
        return captioned(
            [_scaled(frame, height) for frame in frames],
            f'{"fake" if video.label else "real"}: {video.video_id}',
            video.label,
        )


def captioned(
    frames: Sequence[np.ndarray], caption: str, label: int
) -> np.ndarray:
    """Frames of one height side by side, under a line of text.

    Args:
        frames: ``(H, W, 3)`` RGB uint8.
        caption: The line.
        label: 0 (real) or 1 (fake), by colour.

    Returns:
        ``(20 + H, W, 3)`` RGB uint8.
    """
    row = np.hstack([*frames])
    line = np.zeros((_CAPTION_HEIGHT, row.shape[1], 3), np.uint8)
    cv2.putText(
        line,
        caption,
        (4, _CAPTION_HEIGHT - 6),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.45,
        _COLOURS[label],
        1,
        cv2.LINE_AA,
    )
    return np.vstack([line, row])


def contact_sheet(
    videos: Sequence[Video],
    out: str | Path,
    *,
    per_label: int = 4,
    num_frames: int = 8,
    stride: int = 2,
    height: int = 160,
) -> Path:
    """Write a PNG with strips of real videos, each above a fake one.

    Args:
        videos: To choose from; those shown are spread over the whole list.
        out: The image to write.
        per_label: Videos of each label.
        num_frames: Frames a video: one clip by default.
        stride: Source frames from one to the next, 2 as in the crops.
        height: Of a frame, in pixels.

    Returns:
        ``out``.

    Raises:
        SettingError: No video to show, or ``out`` is not an image format.
    """
    by_label = [
        spread([video for video in videos if video.label == label], per_label)
        for label in (0, 1)
    ]
    shown = [video for pair in zip(*by_label, strict=False) for video in pair]
    shown = shown or [video for group in by_label for video in group]
    if not shown:
        raise SettingError(f'{out}: no videos to show. Remedy: one or more')
    strips = [
        strip(video, num_frames=num_frames, stride=stride, height=height)
        for video in shown
    ]
    return write_sheet(strips, out)


def write_sheet(strips: Sequence[np.ndarray], out: str | Path) -> Path:
    """Write strips, one below the other, as an image; return ``out``.

    Raises:
        ValueError: ``out`` is not an image format.
    """
    width = max(row.shape[1] for row in strips)
    sheet = np.vstack([_widened(row, width) for row in strips])
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_image(out, sheet)
    return out


def _scaled(frame: np.ndarray, height: int) -> np.ndarray:
    width = round(frame.shape[1] * height / frame.shape[0])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _widened(row: np.ndarray, width: int) -> np.ndarray:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)))


def _write_image(path: Path, image: np.ndarray) -> None:
    try:
        done = cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        raise SettingError(
            f'{path}: cannot be written. Remedy: a name that ends in .png'
        )
