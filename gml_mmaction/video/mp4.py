"""MP4 files: are they whole, and may decoding start at each key frame?

Decoding may start at a key frame only if no frame that is decoded after it
is shown before it or needs a frame before it. In H.264 an IDR picture ensures
this (ITU-T H.264, 7.4.1.2.4). Without reordering (no ``ctts`` box) it holds
for the key frames of every codec here. Only the file's index is read, not
its frames (ISO/IEC 14496-12, box names as there).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ['codec', 'is_cut', 'starts_clean']

FIRST = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide')
IDR, LAST_SLICE = 5, 5  # NAL unit types 1 to 5 are slices


def starts_clean(path: str | Path) -> bool:
    """Whether every key frame of a file is a clean start.

    ``False`` also if unknown: not an MP4 or MOV, fragments, more than one
    video track, an edit list that trims, or a damaged index.
    """
    try:
        with Path(path).open('rb') as file:
            tracks = _video_tracks(_movie(file))
            return len(tracks) == 1 and _is_clean(file, tracks[0])
    except (IndexError, KeyError, ValueError, struct.error):
        return False


def codec(path: str | Path) -> str:
    """Return the four letters of the first video track's codec, or ''."""
    try:
        with Path(path).open('rb') as file:
            name = _video_tracks(_movie(file))[0][b'stsd'][12:16]
    except (IndexError, KeyError, ValueError, struct.error):
        return ''
    return name.decode('latin-1').strip()


def is_cut(path: str | Path) -> bool:
    """Whether an MP4 or MOV file ends within its last box."""
    with Path(path).open('rb') as file:
        size = file.seek(0, 2)
        return any(stop > size for _, _, stop in _outer_boxes(file))


def _outer_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield name of each outermost box, start and stop of its contents."""
    size = file.seek(0, 2)
    start = 0
    while start + 16 <= size:
        file.seek(start)
        length, kind, long = struct.unpack('>I4sQ', file.read(16))
        if start == 0 and kind not in FIRST:
            return
        head = 16 if length == 1 else 8
        length = {0: size - start, 1: long}.get(length, length)
        if length < head:
            return
        yield kind, start + head, start + length
        start += length


def _movie(file: BinaryIO) -> bytes:
    """Return the contents of the moov box."""
    for kind, start, stop in _outer_boxes(file):
        if kind == b'moov':
            file.seek(start)
            return file.read(stop - start)
    raise ValueError('no moov box')


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start + 8 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, start)
        if length < 8:
            return
        yield kind, data[start + 8 : start + length]
        start += length


def _video_tracks(movie: bytes) -> list[dict[bytes, bytes]]:
    """Return the boxes needed here, by name, for each video track."""
    tracks = []
    for kind, data in _boxes(movie):
        if kind == b'trak':
            track = dict(_flat(data))
            if track[b'hdlr'][8:12] == b'vide':
                tracks.append(track)
    return tracks


def _flat(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, inner in _boxes(data):
        if kind in (b'edts', b'mdia', b'minf', b'stbl'):
            yield from _flat(inner)
        elif kind != b'hdlr' or inner[8:12] != b'url ':
            yield kind, inner


def _is_clean(file: BinaryIO, track: dict[bytes, bytes]) -> bool:
    if not _starts_at_first_frame(track):
        return False
    entry = track[b'stsd']
    if entry[12:16] not in (b'avc1', b'avc3'):
        return b'ctts' not in track
    prefix = entry[entry.index(b'avcC') + 8] % 4 + 1
    samples = _key_samples(track)
    return all(_is_idr(file, *sample, prefix) for sample in samples)


def _starts_at_first_frame(track: dict[bytes, bytes]) -> bool:
    """Whether the edit list, if any, only shifts time."""
    if b'elst' not in track:
        return True
    edits = track[b'elst']
    form = '>Iii' if edits[0] == 0 else '>Qqi'
    times = [time for _, time, _ in struct.iter_unpack(form, edits[8:])]
    first = 0
    if b'ctts' in track:
        (first,) = struct.unpack_from('>i', track[b'ctts'], 12)
    shown = [time for time in times if time >= 0]  # -1: wait
    return len(shown) == 1 and times[-1] == shown[0] <= first


def _table(box: bytes, columns: int = 1, kind: str = '>u4') -> np.ndarray:
    (count,) = struct.unpack_from('>I', box, 4)
    return np.frombuffer(box, kind, count * columns, 8).reshape(-1, columns)


def _key_samples(track: dict[bytes, bytes]) -> list[tuple[int, int]]:
    """Return (offset in the file, number of bytes) of each key frame."""
    keys = _table(track[b'stss'])[:, 0].astype(int) - 1
    if keys[0] != 0:
        raise ValueError('the first frame is no key frame')
    (same, count) = struct.unpack_from('>II', track[b'stsz'], 4)
    sizes = np.full(count, same)
    if same == 0:
        sizes = np.frombuffer(track[b'stsz'], '>u4', count, 12).astype(int)
    if b'co64' in track:
        chunks = _table(track[b'co64'], kind='>u8')[:, 0].astype(int)
    else:
        chunks = _table(track[b'stco'])[:, 0].astype(int)
    first, per_chunk, _ = _table(track[b'stsc'], 3).astype(int).T
    runs = np.diff(np.append(first - 1, len(chunks)))
    per_chunk = np.repeat(per_chunk, runs)
    chunk_of = np.repeat(np.arange(len(chunks)), per_chunk)[:count]
    before = np.cumsum(sizes) - sizes
    first_of = (np.cumsum(per_chunk) - per_chunk)[chunk_of]
    places = chunks[chunk_of] + before - before[first_of]
    return list(zip(places[keys].tolist(), sizes[keys].tolist()))


def _is_idr(file: BinaryIO, place: int, size: int, prefix: int) -> bool:
    """Whether the first slice of a sample is that of an IDR picture.

    ``prefix`` bytes before each NAL unit hold its length.
    """
    end = place + size
    while place + prefix < end:
        file.seek(place)
        head = file.read(prefix + 1)
        kind = head[prefix] & 31
        if 1 <= kind <= LAST_SLICE:
            return kind == IDR
        place += prefix + int.from_bytes(head[:prefix], 'big')
    return False
