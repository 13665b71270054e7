"""Frames of a video file, in order or by index.

PyAV (FFmpeg) decodes. Frame i is the i-th that the decoder shows. The reader
seeks only in files whose key frames are all clean starts (see
:mod:`~gml_mmaction.video.mp4`); other files are read from the first frame.
FFmpeg opens this one file and nothing else: the name is never taken for an
address, and formats that point to other files are not allowed.
"""

import bisect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gml_mmaction.errors import VideoError
from gml_mmaction.io.text import printable
from gml_mmaction.stack import require

from . import mp4
from .files import ARCHIVES, unread_format
from .frames import SIZES_DIFFER, Frames
from .images import ImageSequence
from .limits import check_pixels, most_pixels

__all__ = ['VideoReader', 'open_video']

NOTHING = 'no frame can be decoded'
WORTH_A_SEEK = 8  # frames; to decode fewer is faster than to seek
# Demuxers that read one video file: no playlists, lists, devices, scripts.
FORMATS = (
    *('3g2', '3gp', 'asf', 'av1', 'avi', 'dv', 'flv', 'gif', 'h263', 'h264'),
    *('hevc', 'ivf', 'live_flv', 'm4v', 'matroska', 'mjpeg', 'mov', 'mp4'),
    *('mpeg', 'mpegts', 'mpegvideo', 'mxf', 'nut', 'obu', 'ogg', 'rm'),
    *('webm', 'wtv', 'yuv4mpegpipe'),
)
# In these a packet may be half a frame: frames are counted by decoding.
COUNTED = ('h263', 'h264', 'hevc', 'm4v', 'mpeg', 'mpegts', 'mpegvideo')
OPTIONS = {'format_whitelist': ','.join(FORMATS), 'protocol_whitelist': 'file'}
COVER = 0x400  # AV_DISPOSITION_ATTACHED_PIC
MAX_RATIO = 100  # of a rate to the mean; screen recordings have long pauses
MAX_UNLIKE = 1.1  # of a mean step to the median one
MAX_STRETCH = 4  # width to height of a pixel; larger ratios are ignored


class VideoReader(Frames):
    """A video file, open for reading; use it in a ``with`` statement.

    Frames come in the order of presentation. A rotation in the file is
    applied, and pixels are made square by stretching the shorter side. With a
    variable frame rate the frames are those stored, with their times. Of
    several video streams, the one that FFmpeg rates best is read.

    Attributes:
        num_frames: Number of frames that the file states; once it was read
            to its end, the true number.
        fps: Frames per second that the file states, else the mean; 0 if
            unknown.
        width: Of the upright frame in pixels.
        height: Of the upright frame in pixels.
        broken_at: The first frame that could not be decoded although the
            file states it; ``None`` until one is met. An MP4 file that ends
            too soon is recognised when it is opened.
        notes: What was changed, one line each.

    Raises:
        VideoError: The file has no bytes (``'empty'``), or no frame can be
            decoded (``'unreadable'``).
        FileNotFoundError: The file does not exist.
        ImportError: PyAV is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.stat().st_size == 0:
            raise VideoError('empty', 'the file has no bytes')
        if _is_text(self.path):
            raise VideoError(
                'unreadable', 'a text file, such as a list of files'
            )
        self.notes: list[str] = []
        self._clean: bool | None = None
        self._decoder = _Decoder(self.path, counting=True)
        self.fps = self._decoder.fps
        self._scan()
        self._decoder = _Decoder(self.path)
        first = self._decoder.next()
        if first is None:
            why = NOTHING
            if self._decoder.refused:
                limit = most_pixels() // 10**6
                why += f', or it has more than {limit} million pixels'
                why += ' (GML_MAX_MEGAPIXELS sets the limit)'
            raise VideoError('unreadable', why)
        self._size = self._square_size(first)
        self._first = self._convert(first)
        self.height, self.width = self._first.shape[:2]
        if mp4.is_cut(self.path):
            self.broken_at = self.num_frames

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    def seconds_at(self, index: int) -> float | None:
        """When frame ``index`` is shown, by the file's own times."""
        if self._times is None:
            return super().seconds_at(index)
        if index < len(self._times):
            return self._times[index]
        return self._times[-1] + (index - len(self._times) + 1) * self._step

    def entry_near(self, index: int) -> int:
        """The nearest key frame, if reading may begin there."""
        if not self._may_enter():
            return index
        places = [bisect.bisect_left(self._stamps, key) for key in self._keys]
        return min(places, key=lambda place: abs(place - index))

    def _scan(self) -> None:
        """Count the frames and record their times."""
        decoder = self._decoder
        found = decoder.promised()
        decoder.close()
        self.num_frames = max(len(found), 1)
        if decoder.failed:  # they were counted by decoding
            self.broken_at = len(found)
        self._times: list[float] | None = None
        known = [(stamp, key) for stamp, key in found if stamp is not None]
        if not found or len(known) < len(found) or not decoder.base:
            return
        stamps = [stamp for stamp, _ in known]
        if decoder.counts and stamps != sorted(stamps):
            self.notes.append(
                'its frame times run backwards; frames are taken by its '
                'frame rate instead'
            )
            return
        self._stamps = sorted(stamps)
        self._keys = sorted(stamp for stamp, key in known if key)
        start = self._stamps[0]
        if decoder.start is not None:
            start = min(decoder.start, start)
        times = [
            float((stamp - start) * decoder.base) for stamp in self._stamps
        ]
        self._times = times
        self._set_rate(times)
        self._step = 1 / self.fps if self.fps else 0.0
        if len(times) > 1:  # gaps lower the mean, not the median
            usual = float(np.median(np.diff(times)))
            if not usual / MAX_UNLIKE <= self._step <= usual * MAX_UNLIKE:
                self._step = usual

    def _set_rate(self, times: list[float]) -> None:
        """Take the mean rate if the container's is missing or absurd."""
        span = times[-1] - times[0]
        mean = (len(times) - 1) / span if span > 0 else 0.0
        if mean and not 0.5 <= self.fps / mean <= MAX_RATIO:
            self.fps = mean

    def _square_size(self, frame: Any) -> tuple[int, int]:
        """Width and height of a stored frame once its pixels are square."""
        width, height = frame.width, frame.height
        ratio = self._decoder.pixel_ratio
        if ratio == 1 or not 1 / MAX_STRETCH <= ratio <= MAX_STRETCH:
            return width, height
        if ratio > 1:
            width = round(width * ratio)
        else:
            height = round(height / ratio)
        check_pixels(f'a frame of {width}x{height}', width, height)
        self.notes.append(
            f'pixels are not square: {frame.width}x{frame.height} '
            f'stretched to {width}x{height}'
        )
        return width, height

    def _convert(self, frame: Any) -> np.ndarray:
        # with more threads, a process that was forked meanwhile would crash
        image = frame.to_ndarray(format='rgb24', threads=1)
        if image.shape[1::-1] != self._size:
            image = self._fit(image)
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def _fit(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        stored = self._decoder.size
        changed = stored and (width, height) != stored
        if changed and SIZES_DIFFER not in self.notes:
            self.notes.append(SIZES_DIFFER)
        return cv2.resize(image, self._size, interpolation=cv2.INTER_LINEAR)

    def _read(self, index: int) -> np.ndarray | None:
        """Read on to frame ``index``; if it was passed, start anew."""
        if self.broken_at is not None and index >= self.broken_at:
            return None
        if index == 0:
            return self._first.copy()
        if index < self._decoder.position:
            self._restart()
        while self._decoder.position <= index:
            frame = self._decoder.next()
            if frame is None:
                self._end()
                return None
        return self._convert(frame)

    def _end(self) -> None:
        """Record where the frames end: as the file states, or too soon."""
        reached = self._decoder.position
        if self._decoder.failed or self.broken_at is not None:
            self.broken_at = reached
        else:
            self.num_frames = reached

    def _restart(self) -> None:
        self._decoder.close()
        self._decoder = _Decoder(self.path)

    def _enter(self, index: int) -> np.ndarray | None:
        """Read frame ``index``, from the last key frame where that is safe."""
        if index < self.num_frames and self._may_enter():
            stamp = self._stamps[index]
            key = self._keys[bisect.bisect_right(self._keys, stamp) - 1]
            place = bisect.bisect_left(self._stamps, key)
            position = self._decoder.position
            if index < position or place > position + WORTH_A_SEEK:
                self._seek(key, place)
        end = self.num_frames, self.broken_at
        frame = super()._enter(index)
        if frame is None and self._decoder.sought:
            # let reading on from the start say where it ends
            self.num_frames, self.broken_at = end
            self._restart()
            frame = super()._enter(index)
        return frame

    def _seek(self, key: int, place: int) -> None:
        try:
            self._decoder.seek(key, place)
        except _DecoderError:
            self._restart()

    def _may_enter(self) -> bool:
        if self._clean is None:
            self._clean = (
                self._times is not None
                and bool(self._keys)
                and self._keys[0] == self._stamps[0]
                and mp4.starts_clean(self.path)
            )
        return self._clean


class _DecoderError(Exception):
    """Decoding cannot start there."""


class _Decoder:
    """FFmpeg's decoder of the best video stream of a file.

    Args:
        path: The file.
        counting: Frames are only counted; their pixels are not used.

    Attributes:
        position: Index of the frame that is read next.
        failed: Whether it met an error, so that frames are missing.
        counts: Whether frames are counted by decoding.
        sought: Whether decoding started elsewhere than at the first frame.
        size: Width and height of the first frame as stored.
        base: Seconds per tick of its times.
        start: Start of the file in ticks; None if unknown.
        fps: Mean frames per second that the container states; 0 if unknown.
        pixel_ratio: Width to height of a pixel.
        refused: Whether it met a frame that may be too large.
    """

    refused = False

    def __init__(self, path: Path, counting: bool = False) -> None:
        self._path = path
        self._av = av = require('av')
        av.logging.set_level(None)
        self.position = 0
        self.failed = self.sought = False
        self.size: tuple[int, int] | None = None
        # FFmpeg too decodes a frame, to learn its format
        self._limit = {'max_pixels': str(most_pixels())}
        try:
            # absolute and marked as a file: no name is an address
            self._container = av.open(
                f'file:{path.absolute()}', options={**OPTIONS, **self._limit}
            )
        except FileNotFoundError:
            raise
        except (av.FFmpegError, ValueError) as error:
            known = unread_format(path)
            raise VideoError(
                'unreadable',
                f'{known}, which is not read. Remedy: convert it to a video'
                if known
                else 'not a video, or its index is missing',
            ) from error
        self.counts = self._container.format.name in COUNTED
        try:
            self._stream = self._open_stream(counting)
        except BaseException:
            self._container.close()
            raise
        self._note_times()
        self._frames = self._decode()

    def _note_times(self) -> None:
        stream, start = self._stream, self._container.start_time
        self.base = stream.time_base
        rate = stream.average_rate or stream.base_rate
        self.fps = float(rate) if rate else 0.0
        self.pixel_ratio = float(stream.sample_aspect_ratio or 1)
        self.start = None
        if start is not None and self.base:
            self.start = start / self._av.time_base / self.base

    def _open_stream(self, counting: bool) -> Any:
        stream = self._container.streams.best('video')
        if stream is not None and int(stream.disposition) & COVER:
            videos = self._container.streams.video
            moving = (s for s in videos if not int(s.disposition) & COVER)
            stream = next(moving, None)
        if stream is None:
            raise VideoError(
                'unreadable', 'no video stream that can be decoded'
            )
        if stream.codec_context is None:
            raise VideoError(
                'unreadable',
                f'no decoder for its codec{_codec(self._path)}. Remedy: '
                'convert it: ffmpeg -i IN -c:v libx264 -crf 12 OUT.mp4',
            )
        codec = stream.codec_context
        size = codec.width or 0, codec.height or 0
        check_pixels(f'a frame of {size[0]}x{size[1]}', *size)
        # more threads would decode damaged frames differently each time
        codec.thread_count = 1
        options = {'err_detect': 'explode', **self._limit}
        if counting:  # a fifth of the time
            options['skip_loop_filter'] = 'all'
        codec.options = options
        return stream

    def promised(self) -> list[tuple[int | None, bool]]:
        """Time stamp of each frame, and whether it is a key frame."""
        if self.counts:
            return [(f.pts, bool(f.key_frame)) for f in self._frames]
        try:
            return [
                (packet.pts, packet.is_keyframe)
                for packet in self._container.demux(self._stream)
                if packet.size and not packet.is_discard
            ]
        except self._av.FFmpegError:
            return [(f.pts, bool(f.key_frame)) for f in self._frames]

    def next(self) -> Any:
        """Decode one frame; None at the end."""
        frame = next(self._frames, None)
        if frame is not None:
            self.position += 1
            self.size = self.size or (frame.width, frame.height)
        return frame

    def seek(self, key: int, place: int) -> None:
        """Seek to the key frame with time stamp ``key``, frame ``place``."""
        try:
            self._container.seek(key, stream=self._stream, backward=True)
        except self._av.FFmpegError as error:
            raise _DecoderError from error
        self._frames = (f for f in self._decode() if f.pts >= key)
        self.position = place
        self.sought = True

    def _decode(self) -> Iterator[Any]:
        begun = self.sought
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt and begun:
                    self.failed = True
                    return
                if not packet.size and packet.pts is not None:
                    continue  # Theora: the frame before is shown on
                try:
                    frames = packet.decode()
                except self._av.FFmpegError as error:
                    self.refused |= isinstance(error, self._av.ArgumentError)
                    # a recording may begin in the middle of a picture
                    self.failed = begun
                    if begun:
                        return
                    continue
                for frame in frames:
                    if frame.is_corrupt and begun:
                        self.failed = True
                        return
                    begun = True
                    yield frame
        except self._av.FFmpegError:
            self.failed = True

    def close(self) -> None:
        self._frames = iter(())
        self._container.close()


def _codec(path: Path) -> str:
    """' NAME', the file's name of a codec that FFmpeg does not know; or ''.

    MP4 has it in the index; Matroska and AVI have it at the start.
    """
    name = mp4.codec(path)
    if not name:
        with path.open('rb') as file:
            head = file.read(1 << 16)
        found = re.search(rb'V_[A-Z0-9/_.]{2,}|(?<=vids).{4}', head)
        name = found[0].decode('latin-1') if found else ''
    return f' {printable(name):.40}' if name else ''


RAW = b'YUV4MPEG2 '
LISTS = (b'#EXTM3U', b'ffconcat', b'<')


def _is_text(path: Path) -> bool:
    """Whether a file is text, as lists are that point FFmpeg to other files.

    A playlist (m3u8), a list of files to join or a DASH manifest would make
    it open whatever it names. No video begins with two hundred letters.
    """
    with path.open('rb') as file:
        head = file.read(200)
    if head.startswith(RAW):  # its pixels may be letters
        return False
    if head.lstrip(b'\xef\xbb\xbf\t\r\n ').startswith(LISTS):
        return True
    return not any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in head)


def open_video(
    path: str | Path, member: str = '', *, one_size: bool = True
) -> Frames:
    """Open a video file, a folder of images or an archive of images.

    Args:
        path: A folder or an archive (by its suffix) gives an
            :class:`ImageSequence`; anything else a :class:`VideoReader`.
        member: Folder inside an archive or folder.
        one_size: See :class:`ImageSequence`; a video has one size anyway.

    Raises:
        VideoError: As the two classes.
    """
    path = Path(path)
    if path.is_dir() or path.name.lower().endswith(ARCHIVES):
        return ImageSequence(path, member, one_size=one_size)
    return VideoReader(path)
