"""One video: find the face, cut the same square out of every 2nd frame.

The frames appear on disk all at once or not at all.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .detect import Face, detect_faces
from .square import Square, crop, padding, square_around
from .video import VideoError, VideoReader

__all__ = ['FRAME_NAME', 'CropOptions', 'extract_video']

FRAME_NAME = '{:06}.jpg'


@dataclass(frozen=True)
class CropOptions:
    """How a video becomes crops; the same for a whole data set.

    Attributes:
        size: Side of a saved crop in pixels (paper: 224).
        stride: Every ``stride``-th frame is saved (paper: 2).
        quality: Of the JPEG files, 1 to 100.
        min_frames: A video with fewer saved frames is too short (paper: a
            clip has 8).
        search_frames: The face is looked for in frames 0 to
            ``search_frames - 1``, one by one.
        upsample: See :func:`~gml_mmaction.faces.detect_faces`.

    Raises:
        ValueError: A value is out of its range.

    Paper: silent on a first frame without a face. We take the first frame
    that has one; its square holds for the whole video, from frame 0 on. JPEG
    quality 95 is ours, too.
    """

    size: int = 224
    stride: int = 2
    quality: int = 95
    min_frames: int = 8
    search_frames: int = 100
    upsample: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (
            ('size', 1, 4096),
            ('stride', 1, 1000),
            ('quality', 1, 100),
            ('min_frames', 1, 10**6),
            ('search_frames', 1, 10**6),
            ('upsample', 0, 4),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f'{name} is {getattr(self, name)}; '
                    f'it must be {low} to {high}'
                )


def extract_video(
    path: str | Path,
    frame_dir: str | Path,
    *,
    options: CropOptions,
    scratch: str | Path,
    max_frames: int | None = None,
) -> dict:
    """Save the face crops of a video as ``frame_dir/000000.jpg``, ...

    Crop i is source frame ``i * options.stride``. A ``frame_dir`` that
    exists is replaced; it appears complete or, after an error, not at all.

    Args:
        path: The video.
        frame_dir: The folder to make.
        options: How to crop.
        scratch: Folder for unfinished work, on ``frame_dir``'s file system.
        max_frames: Use only so many source frames from the start.

    Returns:
        What the manifest says of the video: ``fps``, ``width``, ``height``,
        ``total_frames`` of the file; ``face_frame`` where the face was found
        and ``n_faces`` there; ``face_box`` (left, top, width, height) and
        ``face_score``; ``square`` (left, top, side) and ``padding`` (left,
        top, right, bottom), in source pixels; ``num_frames`` saved and the
        ``stride`` between them.

    Raises:
        VideoError: The video gives no crops; it tells why.
        OSError: The crops cannot be written.
    """
    frame_dir = Path(frame_dir)
    if frame_dir.exists():
        shutil.rmtree(frame_dir)
    with VideoReader(path) as reader:
        stop = min(reader.num_frames, max_frames or reader.num_frames)
        _check_length(stop, options)
        first, face_frame, faces = _find_face(reader, stop, options)
        height, width = first.shape[:2]
        square = square_around(faces[0].box)
        crops = _crops(reader, first, square, stop=stop, options=options)
        num_frames = _save(crops, frame_dir, scratch=scratch, options=options)
        return {
            'fps': round(reader.fps, 6),
            'width': width,
            'height': height,
            'total_frames': reader.num_frames,
            'face_frame': face_frame,
            'n_faces': len(faces),
            'face_box': list(faces[0].box),
            'face_score': round(faces[0].score, 6),
            'square': list(square),
            'padding': list(padding(square, width=width, height=height)),
            'stride': options.stride,
            'num_frames': num_frames,
        }


def _check_length(used: int, options: CropOptions) -> None:
    to_save = -(-used // options.stride)
    if to_save < options.min_frames:
        raise VideoError(
            'too short',
            f'{used} frames give {to_save} to save; '
            f'{options.min_frames} needed',
        )


def _find_face(
    reader: VideoReader, stop: int, options: CropOptions
) -> tuple[np.ndarray, int, list[Face]]:
    """Return frame 0, the index of the first frame with a face, its faces."""
    stop = min(stop, options.search_frames)
    for index, frame in enumerate(reader.frames(stop=stop)):
        if index == 0:
            first = frame
        faces = detect_faces(frame, upsample=options.upsample)
        if faces:
            return first, index, faces
    raise VideoError('no face', f'none in frames 0 to {stop - 1}')


def _crops(
    reader: VideoReader,
    first: np.ndarray,
    square: Square,
    *,
    stop: int,
    options: CropOptions,
) -> Iterator[np.ndarray]:
    stride = options.stride
    rest = reader.frames(start=stride, stride=stride, stop=stop)
    for frame in itertools.chain([first], rest):
        yield crop(frame, square, options.size)


def _save(
    crops: Iterable[np.ndarray],
    frame_dir: Path,
    *,
    scratch: str | Path,
    options: CropOptions,
) -> int:
    count = 0
    with tempfile.TemporaryDirectory(dir=scratch) as partial:
        folder = Path(partial) / 'frames'  # with the user's own permissions
        folder.mkdir()
        for count, image in enumerate(crops, start=1):
            _write_jpeg(
                folder / FRAME_NAME.format(count - 1), image, options.quality
            )
        frame_dir.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder, frame_dir)
    return count


def _write_jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    path.write_bytes(data)
