"""What the reader makes of each container, codec and flaw: a table.

    PYTHONPATH=.:tests python tests/video/formats.py

makes a small file of each kind (the program ``ffmpeg`` encodes), reads it, and
prints the table of docs/formats.md, which ``test_formats.py`` holds. Truth is
what ``ffmpeg`` itself decodes and ``ffprobe`` says of the times.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from videos import (
    damage,
    numbered,
    rotate,
    textured,
    truncate,
    write,
    write_sound,
)

from gml_mmaction.errors import VideoError
from gml_mmaction.video import open_video

NUM_FRAMES = 40
NEAR = 3  # of 255, mean of a frame: colours are converted another way
SAME_TIME = 0.0015  # seconds; containers round to milliseconds
INTERLACED = ('-vf', 'fps=50,tinterlace=4', '-flags', '+ilme+ildct')
QUIET = ('-x265-params', 'log-level=none')
STALLS = (
    *('-vf', "setpts='(N/25+if(gt(N,15),4,0))/TB'"),
    *('-fps_mode', 'passthrough'),
)
UNEVEN = ('-vf', "select='not(between(n,10,24)*mod(n,2))'", '-fps_mode', 'vfr')


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        suffix: Of its name.
        codec: In words.
        options: Of ``ffmpeg`` between input and output.
        flaw: What is special about it, in words.
        spoil: What then is done to the file.
    """

    suffix: str
    codec: str
    options: tuple[str, ...]
    flaw: str = ''
    spoil: Callable[[Path], object] | None = None

    @property
    def row(self) -> tuple[str, str, str]:
        """The first cells of its row."""
        return self.suffix, self.codec, self.flaw


def ffmpeg(*arguments: object) -> bytes:
    """Run the program; return what it writes to its output."""
    command = [shutil.which('ffmpeg'), '-nostdin', '-v', 'error', '-y']
    command += map(str, arguments)
    return subprocess.run(command, check=True, capture_output=True).stdout


def decoded_by_ffmpeg(path: Path) -> list[np.ndarray]:
    """The frames of the first video stream as stored, in RGB."""
    show = 'stream=width,height'
    command = ['ffprobe', '-v', 'error', '-select_streams', 'v:0']
    command += ['-show_entries', show, '-of', 'csv=p=0', str(path)]
    size = subprocess.run(command, check=True, capture_output=True, text=True)
    width, height = map(int, size.stdout.split()[0].strip(',').split(','))
    data = ffmpeg(
        # with more threads it decodes Theora's last frame now and then wrongly
        *('-threads', '1', '-noautorotate', '-i', path, '-map', '0:v:0'),
        *('-fps_mode', 'passthrough', '-f', 'rawvideo', '-pix_fmt', 'rgb24'),
        *('-s', f'{width}x{height}', '-'),
    )
    return [*np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)]


def times_by_ffprobe(path: Path) -> list[float] | None:
    """Seconds after the start of the file; None where it has no times."""
    command = ['ffprobe', '-v', 'error', '-select_streams', 'v:0', '-of']
    command += ['json', '-show_entries']
    command += ['frame=best_effort_timestamp_time:format=start_time']
    done = subprocess.run([*command, str(path)], capture_output=True)
    found = json.loads(done.stdout)
    stamps = [
        frame.get('best_effort_timestamp_time') for frame in found['frames']
    ]
    if not stamps or None in stamps:
        return None
    start = float(found['format'].get('start_time', 0))
    return [float(stamp) - start for stamp in stamps]


def cut_start(path: Path) -> None:
    """Leave out the first 0.6 s without encoding anew: an edit list."""
    whole = path.with_stem('whole')
    path.rename(whole)
    ffmpeg('-ss', '0.6', '-i', whole, '-c', 'copy', path)


def append_other_size(path: Path) -> None:
    """Let the second half of a transport stream be of another size."""
    other = path.with_stem('other')
    ffmpeg('-i', path, '-vf', 'scale=80:64', '-c:v', 'libx264', other)
    ffmpeg('-i', f'concat:{path}|{other}', '-c', 'copy', path.with_stem('two'))
    path.with_stem('two').rename(path)


def twice(path: Path) -> None:
    """Append a recording to itself, as the shell's cat does."""
    path.write_bytes(path.read_bytes() * 2)


def replaced(old: bytes, new: bytes) -> Callable[[Path], object]:
    """Write other bytes in the place of these."""
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new))


def content(data: bytes) -> Callable[[Path], object]:
    """Let a file hold these bytes alone."""
    return lambda path: path.write_bytes(data)


def playlist(head: bytes) -> Callable[[Path], object]:
    """Let a file be a playlist of another video, behind a header."""

    def spoil(path: Path) -> None:
        other = path.with_name('other.ts')
        ffmpeg('-i', path, other)
        text = f'#EXTM3U\n#EXTINF:2,\n{other}\n#EXT-X-ENDLIST\n'
        path.write_bytes(head + text.encode())

    return spoil


def still(path: Path) -> None:
    """Let a file be a JPEG."""
    cv2.imwrite(str(path.with_suffix('.jpg')), numbered(1)[0])
    path.with_suffix('.jpg').rename(path)


ID3 = b'ID3\x04' + bytes(5) + b'\x0a' + bytes(10)
X264 = ('-c:v', 'libx264', '-bf', '2')
FAST_START = (*X264, '-movflags', 'faststart')
MPEG2 = ('-c:v', 'mpeg2video', '-q:v', '3')
VP8 = ('-c:v', 'libvpx', '-b:v', '2M')
VP9 = ('-c:v', 'libvpx-vp9', '-crf', '20', '-b:v', '0', '-cpu-used', '5')
TEN = ('-pix_fmt', 'yuv422p10le')
FORMATS = (
    Format('.mp4', 'H.264', X264),
    Format('.mp4', 'H.264', ('-c:v', 'libx264', '-g', '12'), 'short groups'),
    Format(
        *('.mp4', 'H.264'),
        (*X264, '-x264-params', 'open-gop=1:keyint=12:log-level=-1'),
        'open groups',
    ),
    Format(
        *('.mp4', 'H.264', (*X264, '-movflags', 'frag_keyframe+empty_moov')),
        'fragments',
    ),
    Format('.mp4', 'H.264', (*X264, *TEN), '4:2:2, 10 bit'),
    Format(
        '.mp4', 'H.264', (*INTERLACED, *X264, *TEN), 'the same, interlaced'
    ),
    Format('.mp4', 'H.264', (*X264, *UNEVEN), 'uneven times'),
    Format('.mp4', 'H.264', X264, 'edit list', cut_start),
    Format('.mp4', 'H.264', X264, 'turned', lambda path: rotate(path, 90)),
    Format(
        '.mp4', 'H.264', ('-vf', 'setsar=16/9', *X264), 'pixels not square'
    ),
    Format('.mp4', 'H.264', FAST_START, 'cut at 60 %', truncate),
    Format('.mp4', 'H.264', FAST_START, 'noise in its middle', damage),
    Format('.mp4', 'H.264', X264, 'cut before its index', truncate),
    Format('.mp4', 'HEVC', ('-c:v', 'libx265', *QUIET)),
    Format('.mp4', 'AV1', ('-c:v', 'libsvtav1', '-preset', '12')),
    Format('.mp4', 'VP9', VP9),
    Format('.mp4', 'MPEG-4', ('-c:v', 'mpeg4', '-q:v', '3', '-bf', '2')),
    Format('.mov', 'H.264', X264),
    Format('.mov', 'ProRes', ('-c:v', 'prores_ks', '-pix_fmt', TEN[1])),
    Format('.3gp', 'H.263', ('-c:v', 'h263', '-vf', 'scale=176:144')),
    Format('.mkv', 'H.264', X264),
    Format('.mkv', 'H.264', X264, 'cut at 60 %', truncate),
    Format('.mkv', 'H.264', (*X264, *STALLS), 'a gap of 4 s'),
    Format('.mkv', 'FFV1', ('-c:v', 'ffv1')),
    Format('.webm', 'VP8', VP8),
    Format('.webm', 'VP8', (*VP8, '-live', '1', *STALLS), 'the same, live'),
    Format('.webm', 'VP9', VP9),
    Format('.webm', 'AV1', ('-c:v', 'libsvtav1', '-preset', '12')),
    Format('.ogv', 'Theora', ('-c:v', 'libtheora', '-q:v', '8')),
    Format('.avi', 'H.264', X264),
    Format('.avi', 'MPEG-4', ('-c:v', 'mpeg4', '-q:v', '3', '-bf', '2')),
    Format('.avi', 'MJPEG', ('-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p')),
    Format('.wmv', 'WMV 2', ('-c:v', 'wmv2', '-q:v', '3')),
    Format('.flv', 'H.264', X264),
    Format('.ts', 'H.264', X264),
    Format('.ts', 'MPEG-2', (*INTERLACED, *MPEG2), 'interlaced'),
    Format('.ts', 'H.264', X264, 'two recordings joined', twice),
    Format('.ts', 'H.264', X264, 'another size midway', append_other_size),
    Format(
        '.mts', 'H.264', (*INTERLACED, *X264, '-f', 'mpegts'), 'interlaced'
    ),
    Format('.mpg', 'MPEG-2', (*MPEG2, '-pix_fmt', 'yuv422p'), '4:2:2'),
    Format('.vob', 'MPEG-2', (*INTERLACED, *MPEG2), 'interlaced'),
    Format('.dv', 'DV', ('-s', '720x576', '-pix_fmt', 'yuv420p')),
    Format(
        '.gif',
        'GIF',
        (
            '-vf',
            'fps=10',
        ),
    ),
    Format('.h264', 'H.264', X264, 'no container'),
    Format('.hevc', 'HEVC', ('-c:v', 'libx265', *QUIET), 'no container'),
    Format('.mp4', 'VP8 in WebM', (*VP8, '-f', 'webm'), 'wrong suffix'),
    Format('.mp4', 'unknown', X264, '', replaced(b'avc1', b'evc1')),
    Format('.mkv', 'unknown', X264, '', replaced(b'V_MPEG4', b'V_MPEG9')),
    Format('.mp4', 'none', X264, 'sound alone', write_sound),
    Format('.mp4', 'none', X264, 'no bytes', content(b'')),
    Format('.mp4', 'none', X264, 'a JPEG', still),
    Format('.mp4', 'none', X264, 'a playlist', playlist(b'')),
    Format('.mp4', 'none', X264, 'a playlist behind ID3', playlist(ID3)),
)


def make_source(folder: Path) -> Path:
    """Write the frames that all files are encoded from, without loss."""
    path = folder / 'source.mkv'
    frames = textured(NUM_FRAMES)
    return write(path, frames, codec='ffv1', pix_fmt='yuv420p')


def result(source: Path, kind: Format) -> str:
    """Make a file of a kind; say what the reader makes of it."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        path = Path(folder, f'a{kind.suffix}')
        ffmpeg('-i', source, *kind.options, path)
        whole = path
        if kind.spoil in (truncate, damage, twice):  # what is left is judged
            whole = Path(shutil.copy(path, path.with_stem('whole')))
        if kind.spoil:
            kind.spoil(path)
        try:
            return compare(path, whole)
        except VideoError as error:
            return f'refused: {error}'


def compare(path: Path, whole: Path) -> str:
    """Say how the frames of a file are those that ``ffmpeg`` decodes."""
    with open_video(path) as reader:
        frames = list(reader.frames())
        times = [reader.seconds_at(index) for index in range(len(frames))]
    truth = decoded_by_ffmpeg(whole)
    far = max(map(distance, frames, truth))
    words = ['exact' if far == 0 else 'exact but for colour conversion']
    if far >= NEAR:
        words = [f'WRONG by {far:.1f}']
    if reader.broken_at is not None:
        words[0] += ' up to where it breaks, which is noted'
    elif len(frames) < len(truth) and path != whole:
        words[0] += ' up to where it ends'
    elif len(frames) != len(truth):
        words.append(f'WRONG number: {len(frames)} of {len(truth)}')
    right = times_by_ffprobe(whole)
    if right and not np.allclose(times, right[: len(times)], 0, SAME_TIME):
        words.append('WRONG times')
    return '; '.join([*words, *(f'note: {note}' for note in reader.notes)])


def distance(frame: np.ndarray, truth: np.ndarray) -> float:
    """Mean difference; where the reader stretches or turns, this does."""
    if frame.shape != truth.shape and frame.shape[::-1][1:] == truth.shape[:2]:
        truth = np.rot90(truth, -1)
    if frame.shape != truth.shape:
        truth = cv2.resize(truth, frame.shape[1::-1])
    return np.abs(frame.astype(int) - truth).mean()


def main() -> int:
    """Print the table, in Markdown."""
    print('| file | codec | flaw | result |\n|---|---|---|---|')
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder))
        for kind in FORMATS:
            found = result(source, kind)
            wrong |= 'WRONG' in found
            print(f'| {" | ".join((*kind.row, found))} |', flush=True)
    return int(wrong)


if __name__ == '__main__':
    sys.exit(main())
