"""Videos written: H.264 by x264, the same bytes on every machine; Motion JPEG.

Motion JPEG sees one frame at a time.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from gml_mmaction.errors import SettingError
from gml_mmaction.stack import require

__all__ = ['write_h264', 'write_motion_jpeg']

# x264's output depends on the number of threads, on the processor and on the
# address of a buffer: its fast sums of block costs round differently.
_REPRODUCIBLE = {'threads': '1', 'x264-params': 'cpu-independent=1'}
_TICK = Fraction(1, 90_000)  # seconds


def write_h264(
    target: str | BinaryIO,
    frames: Iterable[np.ndarray],
    *,
    fps: float,
    crf: int,
    container: str = 'mp4',
    comment: str = '',
    preset: str = 'medium',
    seconds_at: Callable[[int], float] | None = None,
) -> None:
    """Encode a video with x264; other settings are ffmpeg's defaults.

    The same frames give the same bytes on every machine. Color is 4:2:0;
    4:4:4 where a side is odd, which 4:2:0 cannot have.

    Args:
        target: Path or open file to write.
        frames: (H, W, 3) each, all of one size.
        fps: Frames per second; 0 where unknown, which means 25.
        crf: x264's constant rate factor, 0 (lossless) to 51.
        container: FFmpeg's name of the file format.
        comment: Text for the file's header.
        preset: x264's; ``'veryfast'`` where size matters less than time.
        seconds_at: When frame i is shown, ascending; by ``fps`` without.

    Raises:
        SettingError: No frames, or frames of several sizes.
        ImportError: PyAV is missing.
    """
    av = require('av')
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise SettingError('no frames to encode. Remedy: one frame or more')
    with av.open(target, 'w', format=container) as file:
        file.metadata['comment'] = comment
        # 1001: 30000/1001 and its like
        rate = Fraction(fps or 25).limit_denominator(1001)
        stream = file.add_stream('libx264', rate)
        stream.height, stream.width = first.shape[:2]
        odd = stream.height % 2 or stream.width % 2
        stream.pix_fmt = 'yuv444p' if odd else 'yuv420p'
        stream.options = {
            'crf': str(crf),
            'preset': preset,
            **_REPRODUCIBLE,
        }
        if seconds_at:
            stream.codec_context.time_base = _TICK
        tick = -1
        for index, frame in enumerate(itertools.chain([first], frames)):
            if frame.shape != first.shape:
                raise SettingError(
                    f'a frame of {frame.shape} follows one of {first.shape}. '
                    'Remedy: frames of one size'
                )
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            picture = picture.reformat(format=stream.pix_fmt)
            if seconds_at:
                # two frames of one time are shown one after the other
                tick = max(tick + 1, round(seconds_at(index) / _TICK))
                picture.pts, picture.time_base = tick, _TICK
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


def write_motion_jpeg(
    path: str | Path, frames: Iterable[np.ndarray], fps: float = 25
) -> None:
    """Write RGB uint8 frames as Motion JPEG in mp4; all or nothing.

    Raises:
        OSError: This build of OpenCV cannot write it.
        SettingError: There are no frames.
    """
    path = Path(path)
    part = path.with_name(f'.part-{path.name}')
    writer = None
    try:
        for frame in frames:
            if writer is None:
                writer = _open_writer(part, frame, fps)
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if writer is None:
            raise SettingError(
                f'{path}: no frames to write. Remedy: one frame or more'
            )
        writer.release()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _open_writer(path: Path, frame: np.ndarray, fps: float) -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    with _quiet_stderr():
        writer = cv2.VideoWriter(
            str(path),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter.fourcc(*'MJPG'),
            fps,
            (width, height),
        )
    if not writer.isOpened():
        raise OSError(
            f'{path}: this OpenCV writes no Motion JPEG. Remedy: '
            'opencv-python or opencv-python-headless from PyPI'
        )
    return writer


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what C libraries print on stderr.

    OpenCV warns on every file that MJPG is not the tag of Motion JPEG in mp4
    before it takes the right one ('mp4v').
    """
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
