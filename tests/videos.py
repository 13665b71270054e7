"""Video files such as turn up in the wild, written with PyAV.

``from videos import numbered, write, ...`` works in every test below this
folder. Frames are RGB, uint8, (H, W, 3). A numbered frame shows its index as
3 x 4 bright or dark blocks, which survive any codec and any scale::

    path = write(tmp_path / 'a.avi', numbered(50), codec='mpeg4')
    assert [read_number(frame) for frame in frames] == [0, 1, 2, ...]

Import this module at the top of a test module: decord and PyAV both bring a
libvpx, and where decord comes first PyAV cannot write VP8 and VP9 any more.
"""

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip('av')

BRIGHT, DARK = (250, 200, 120), (20, 30, 60)
BITS = 1 << np.arange(12)


def numbered(num_frames, *, width=96, height=64, first=0):
    """Return frames that show first, first + 1, ... (below 4096)."""
    rows = np.arange(height) * 3 // height
    columns = np.arange(width) * 4 // width
    cell = rows[:, None] * 4 + columns
    frames = []
    for number in range(first, first + num_frames):
        bits = (number & BITS) > 0
        frames.append(np.where(bits[cell][..., None], BRIGHT, DARK))
    return [frame.astype(np.uint8) for frame in frames]


def textured(num_frames):
    """Yield numbered frames with so much grain that files have some length."""
    rng = np.random.default_rng(0)
    for frame in numbered(num_frames, width=160, height=128):
        grain = rng.integers(-30, 31, frame.shape)
        yield np.clip(frame + grain, 0, 255).astype(np.uint8)


def read_number(frame):
    """Return the index that a numbered frame shows, of whatever size."""
    height, width = frame.shape[:2]
    rows = (np.arange(3) * 2 + 1) * height // 6
    columns = (np.arange(4) * 2 + 1) * width // 8
    bits = frame[rows][:, columns].mean(axis=2).ravel() > 115
    return int(bits @ BITS)


def write(
    path,
    frames,
    *,
    codec='libx264',
    fps=25,
    pix_fmt='yuv420p',
    options=None,
    times=None,
    container_options=None,
    aspect=None,
    sound=False,
):
    """Write frames as one video file; its suffix chooses the container.

    Args:
        path: Of the file; folders are made.
        frames: All of one size; odd sizes need ``pix_fmt='yuv444p'``.
        codec: As FFmpeg calls the encoder.
        fps: Frames per second.
        pix_fmt: As FFmpeg calls it.
        options: Of the encoder (``{'g': '250', 'bf': '3'}``).
        times: Presentation times in ticks of 1 / 1000 s, ascending, for a
            variable frame rate or a late start; ``None`` = by ``fps``.
        container_options: Of the muxer (``{'movflags': 'faststart'}``).
        aspect: Width : height of a pixel.
        sound: Put a silent audio stream before the video stream.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(
        str(path), 'w', container_options=container_options or {}
    ) as container:
        if sound:
            audio = container.add_stream('aac', rate=16000)
        stream = container.add_stream(codec, rate=Fraction(fps))
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.options = options or {}
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
                if aspect is not None:
                    stream.codec_context.sample_aspect_ratio = aspect
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            if times is not None:
                picture.pts = times[index]
                picture.time_base = Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound:
            _write_silence(container, audio)
    return path


def _write_silence(container, stream):
    silence = np.zeros((1, 16000), np.float32)
    frame = av.AudioFrame.from_ndarray(silence, 'fltp', 'mono')
    frame.sample_rate = 16000
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_sound(path):
    """Write a file with an audio stream and no video; return the path."""
    with av.open(str(path), 'w') as container:
        _write_silence(container, container.add_stream('aac', rate=16000))
    return Path(path)


def decode(path):
    """Return all frames by PyAV, the reference (rotation not applied)."""
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format='rgb24')
            for frame in container.decode(video=0)
        ]


def decode_whole(path):
    """Return the frames of the packets that are whole, by PyAV."""
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format='rgb24')
            for packet in container.demux(video=0)
            if not packet.is_corrupt
            for frame in packet.decode()
        ]


def rotate(path, degrees):
    """Make players turn an mp4 clockwise by 90, 180 or 270 degrees.

    The stored frames stay; the matrix in the track's header is replaced.
    """
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(Path(path).read_bytes())
    header = data.index(b'tkhd')
    # version 0: 36 bytes of other fields follow version and flags
    start = header + 4 + (40 if data[header + 4] == 0 else 52)
    matrix = (cos, sin, 0, -sin, cos, 0, 0, 0, 1)
    scales = (1 << 16, 1 << 16, 1 << 30) * 3
    values = [value * scale for value, scale in zip(matrix, scales)]
    data[start : start + 36] = struct.pack('>9i', *values)
    Path(path).write_bytes(data)
    return path


def trim(path, num_frames):
    """Let an mp4 start later, as a cut without re-encoding does.

    The frames stay in the file; its edit list skips them. For constant frame
    rates and files written with an edit list.
    """
    data = bytearray(Path(path).read_bytes())
    times = data.index(b'stts') + 4
    (ticks,) = struct.unpack_from('>I', data, times + 12)
    start = data.index(b'elst') + 16  # after version, count and duration
    (shown,) = struct.unpack_from('>i', data, start)
    struct.pack_into('>i', data, start, shown + num_frames * ticks)
    Path(path).write_bytes(data)
    return path


def truncate(path, keep=0.6):
    """Keep only the first part of a file, as a broken download does."""
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * keep)])
    return path


def damage(path, start=0.5, stop=0.6, seed=0):
    """Overwrite a part of a file with noise."""
    data = bytearray(Path(path).read_bytes())
    first, last = int(len(data) * start), int(len(data) * stop)
    rng = np.random.default_rng(seed)
    data[first:last] = rng.bytes(last - first)
    Path(path).write_bytes(data)
    return path
