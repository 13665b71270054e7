"""Find, follow and cut out the faces of one video, decoding it once.

The frames appear on disk all at once or not at all.
"""

import os
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from gml_mmaction.errors import SettingError
from gml_mmaction.faces.detect import Face
from gml_mmaction.faces.follow import (
    Walk,
    broken_note,
    decoded_ahead,
    reading,
    short_note,
    without_track,
)
from gml_mmaction.faces.landmarks import SIDE, LandmarkFinder
from gml_mmaction.faces.options import CropOptions
from gml_mmaction.faces.square import Square, crop, resize, scaled
from gml_mmaction.faces.track import (
    Choice,
    Track,
    all_faces,
    largest,
    most_covered,
)
from gml_mmaction.io.text import counted
from gml_mmaction.sources import Video
from gml_mmaction.video import (
    Frames,
    Rates,
    Taken,
    VideoError,
    at_rate,
    every,
    open_video,
)
from gml_mmaction.video.distortions import (
    distort_frame,
    distort_frames,
    is_framewise,
    seed_of,
)

from .manifest import UNSET, Outcome, TrackRecord

__all__ = ['CropOptions', 'extract_video']

# Frames decoded ahead, so that decoding goes on during face detection.
_AHEAD_FRAMES = 64
_MASK_UNREADABLE = 'mask unreadable: largest face followed'


def extract_video(
    video: Video,
    frame_dir: str | Path,
    *,
    options: CropOptions,
    scratch: str | Path,
    max_frames: int | None = None,
    tracks: Sequence[TrackRecord] | None = None,
) -> Outcome:
    """Cut the faces of a video out of every ``options.stride``-th frame.

    Crop i of track t is ``frame_dir/t/00000i.jpg`` (or ``.png``). It is cut
    from source frame ``start + i * stride``; ``start`` is a multiple of the
    stride. With ``options.rate``, frames go by time: it is ``frames[i]``. With
    ``options.landmarks``, ``frame_dir/t.landmarks.npy`` has the points of each
    crop, ``(crops, points, 2)`` float32 in sides of the crop. An
    existing ``frame_dir`` is replaced; it appears complete or, after an
    error, not at all. In the boxes store it has landmarks alone, or is only
    removed.

    If there is ``video.boxes_from``, faces are found in it; both files are
    read side by side, and tracks end with the shorter one.
    ``video.distortions`` are applied to full frames before the crop, as in
    :func:`distort_frame` with the seed ``seed_of(video_id)`` and the source
    frame's index; faces are found in the undistorted frames. If there are
    several faces, ``video.mask`` selects the one to follow, unless all are
    followed. ``video.cropped`` images are resized whole: one track whose
    ``square`` is None.

    Args:
        video: What to cut.
        frame_dir: The folder to make.
        options: How to crop.
        scratch: Folder for unfinished work, on ``frame_dir``'s file system.
        max_frames: Use only so many source frames from the start.
        tracks: Tracks of an earlier outcome to cut; no faces are searched.

    Returns:
        What the manifest says of the video.

    Raises:
        VideoError: The video gives no crops; its ``reason`` says why.
        SettingError: ``VC`` is among the distortions and nothing is saved.
        OSError: The crops cannot be written. Errors of reading are
            VideoErrors.
    """
    frame_dir = Path(frame_dir)
    if options.store == 'boxes' and not is_framewise(video.distortions):
        raise SettingError(
            f'{video.video_id}: distortion VC needs the whole video, which '
            "boxes do not have. Remedy: store='crops'"
        )
    if frame_dir.exists():
        shutil.rmtree(frame_dir)
    search = not video.cropped and tracks is None
    with (
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        _Source(
            video,
            options=options,
            max_frames=max_frames,
            search=search,
        ) as source,
    ):
        _check_length(source.taken, options)
        writer = _Writer(Path(folder), options)
        if search:
            kept = _cut_found(source, writer, options)
        else:
            known = _known_tracks(tracks, source.taken, options)
            kept = _cut_known(source, writer, known)
        writer.publish(kept, frame_dir)
        return source.record(kept)


def _check_length(taken: Taken, options: CropOptions) -> None:
    to_save = len(taken.indices)
    if to_save < options.min_frames:
        raise VideoError(
            'too short',
            f'{to_save} of {counted(taken.num_frames, "frame")} would be '
            f'saved; at least {options.min_frames} are needed',
        )


def _read(reader: Frames, indices: Iterable[int]) -> Iterator[np.ndarray]:
    with reading():
        yield from reader.take(indices)


def _select(frames: Iterable, indices: Sequence[int]) -> Iterator:
    """The items at ascending indices; none after the last is requested."""
    wanted = set(indices)
    for index, frame in enumerate(islice(frames, max(wanted, default=-1) + 1)):
        if index in wanted:
            yield frame


class _Item(NamedTuple):
    """A frame to cut, and the frame in which its faces are found.

    Its position is that in :class:`~gml_mmaction.video.Taken`.
    """

    position: int
    source: int
    frame: np.ndarray
    clear: np.ndarray


class _Source(ExitStack):
    """The files that a video is made from, open; use it in a ``with``.

    Args:
        video: What to cut.
        options: Which frames are saved.
        max_frames: Use only so many source frames.
        search: Whether faces must be found; else ``clear`` is ``frame``.

    Attributes:
        taken: The frames that are saved.
        notes: What was odd, one line each.
    """

    def __init__(
        self,
        video: Video,
        *,
        options: CropOptions,
        max_frames: int | None,
        search: bool,
    ) -> None:
        super().__init__()
        self._video = video
        self._by_time = options.rate is not None
        self._framewise = is_framewise(video.distortions)
        self._seed = seed_of(video.video_id)
        self.notes: list[str] = []
        self._reader = self.enter_context(
            _open(video.path, video.member, one_size=not video.cropped)
        )
        self._finder: Frames | None = None
        stop = max_frames or self._reader.num_frames
        if search and (video.boxes_from or not self._framewise):
            self._finder = self.enter_context(_open_finder(video))
            self._compare(self._finder)
            stop = min(stop, self._finder.num_frames)
        if options.rate is None:
            taken = every(self._reader, options.stride)
        else:
            wanted = Rates(*[options.rate] * 3)
            taken = at_rate(self._reader, wanted, options.stride)
        self.taken = taken.until(stop)

    def _compare(self, find: Frames) -> None:
        cut = self._reader
        if find.num_frames != cut.num_frames:
            self.notes.append(
                f'{counted(cut.num_frames, "frame")}, '
                f'{find.num_frames} with boxes'
            )
        if (find.width, find.height) != (cut.width, cut.height):
            self.notes.append(
                f'boxes of {find.width}x{find.height} '
                f'scaled to {cut.width}x{cut.height}'
            )

    def choice(self, options: CropOptions) -> Choice:
        """Return the function that chooses which faces to follow."""
        if options.tracks == 'all':
            return all_faces
        mask = self._video.mask
        if mask is None:
            return largest
        with reading():
            if not mask.exists():
                self.notes.append('no mask: largest face followed')
                return largest
            try:
                masks = self.enter_context(open_video(mask))
            except VideoError:
                self.notes.append(_MASK_UNREADABLE)
                return largest
        return partial(self._most_covered, masks)

    def _most_covered(
        self,
        masks: Frames,
        position: int,
        frame: np.ndarray,
        faces: list[Face],
    ) -> list[Face]:
        index = self.taken.source(position)
        with reading():
            try:
                return most_covered(masks, index, frame, faces)
            except VideoError:
                if _MASK_UNREADABLE not in self.notes:
                    self.notes.append(_MASK_UNREADABLE)
                return faces[:1]

    def items(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[_Item]:
        """Yield the saved frames between two positions, decoded ahead."""
        stride, end = self.taken.stride, len(self.taken.indices)
        first = start // stride
        end = end if stop is None else min(end, -(-stop // stride))
        indices = self.taken.indices[first:end]
        positions = count(first * stride, stride)
        frames = self._frames(self._reader, indices)
        if self._finder is None:
            for position, index, frame in zip(positions, indices, frames):
                yield _Item(position, index, frame, frame)
            return
        clear = self._frames(self._finder, indices)
        yield from map(_Item, positions, indices, frames, clear)

    def _frames(
        self, reader: Frames, indices: Sequence[int]
    ) -> Iterator[np.ndarray]:
        if reader is self._finder or self._framewise:
            frames = _read(reader, indices)
        else:
            # the codec's choices depend on frames after the last one used
            frames = _select(
                distort_frames(
                    _read(reader, range(reader.num_frames)),
                    self._video.distortions,
                    seed=self._seed,
                    fps=reader.fps,
                ),
                indices,
            )
        ahead = decoded_ahead(reader, frames, _AHEAD_FRAMES)
        return self.enter_context(closing(ahead))

    def image(self, item: _Item) -> np.ndarray:
        """Return the frame to cut, distorted as the video says."""
        if not self._framewise or not self._video.distortions:
            return item.frame
        return distort_frame(
            item.frame,
            self._video.distortions,
            seed=self._seed,
            index=item.source,
        )

    def fit(self, square: Square | None) -> Square | None:
        """Convert a square from the searched frames to the frames to cut."""
        if self._finder is None or square is None:
            return square
        return scaled(
            square,
            self._reader.width / self._finder.width,
            self._reader.height / self._finder.height,
        )

    def end_after(self, last: int) -> int:
        """Return the position after the last saved one.

        If no more were saved because the file is broken, note where.
        """
        end = last + self.taken.stride
        after = self.taken.source(end)
        # only the first file that could not go on
        for reader, name in (
            (self._reader, ''),
            (self._finder, ' of the file with the boxes'),
        ):
            if note := broken_note(reader, after):
                self.notes.append(f'{note}{name}')
                break
        return end

    def record(self, tracks: Sequence[Track]) -> Outcome:
        """Return what the manifest says of the video."""
        reader = self._reader
        return Outcome(
            fps=round(reader.fps, 6),
            width=reader.width,
            height=reader.height,
            total_frames=reader.num_frames,
            stride=self.taken.stride,
            rate=self.taken.rate,
            notes=[*self.notes, *reader.notes, *self.taken.notes],
            tracks=[self._track_record(track) for track in tracks],
        )

    def _track_record(self, track: Track) -> TrackRecord:
        assert track.stop is not None  # it has ended
        taken = self.taken
        first = track.start // taken.stride
        number = track.num_frames(taken.stride)
        frames = list(taken.indices[first : first + number])
        return TrackRecord.of(
            track,
            num_frames=number,
            width=self._reader.width,
            height=self._reader.height,
            start=taken.source(track.start),
            stop=taken.source(track.stop),
            frames=frames if self._by_time else UNSET,
        )


def _open(path: Path, member: str = '', *, one_size: bool = True) -> Frames:
    with reading():
        return open_video(path, member, one_size=one_size)


def _open_finder(video: Video) -> Frames:
    """Open the file in which the faces of another are found."""
    if video.boxes_from is None:
        return _open(video.path, video.member)
    name = video.boxes_from.name
    with reading():
        if not video.boxes_from.exists():
            raise VideoError(
                'no boxes', f'{name}, to find faces in, is missing'
            )
    try:
        return _open(video.boxes_from)
    except VideoError as error:
        raise VideoError('no boxes', f'{name}: {error}') from error


def _cut_found(
    source: _Source, writer: '_Writer', options: CropOptions
) -> list[Track]:
    """Find faces, follow them and cut them out; return the tracks to keep."""
    walk = Walk(source.taken, options, source.choice(options))
    for item, tracks in walk.over(source.items(), lambda item: item.clear):
        if tracks and writer.looks:
            image = source.image(item)
            for track in tracks:
                writer.add(track, image, source.fit(track.square))
    last = walk.position
    # an end that was not reached is not reported
    kept = walk.finish(last if walk.done else source.end_after(last))
    if not kept:
        last = source.taken.source(last)
        raise without_track(walk.tracks, last, options)
    if note := short_note(walk.tracks, options):
        source.notes.append(note)
    for track in kept:
        track.square = source.fit(track.square)
    return kept


def _known_tracks(
    records: Sequence[TrackRecord] | None,
    taken: Taken,
    options: CropOptions,
) -> list[Track]:
    """Return the given tracks, or the one track of face crops."""
    if records is None:
        return [Track(0, None, stop=len(taken.indices) * options.stride)]
    if not records:
        raise VideoError('no face', 'the record has no tracks')
    if options.rate is not None:
        return [_track_by_time(record, taken) for record in records]
    for start in (record.start for record in records):
        if start % options.stride:
            raise SettingError(
                f'a track starts at frame {start}, which stride '
                f'{options.stride} does not save. Remedy: the stride of '
                'its record'
            )
    return [record.track for record in records]


def _track_by_time(record: TrackRecord, taken: Taken) -> Track:
    """Return a track, source frames converted to positions."""
    frames = record.frames or []
    first = bisect_left(taken.indices, record.start)
    if frames != list(taken.indices[first : first + len(frames)]):
        raise VideoError(
            'error',
            'its tracks are at frames that this rate does not take. '
            'Remedy: tracks of a run with the same rate',
        )
    track = record.track
    track.start = first * taken.stride
    track.stop = (first + len(frames)) * taken.stride
    return track


def _cut_known(
    source: _Source, writer: '_Writer', tracks: list[Track]
) -> list[Track]:
    """Cut out tracks that are known; return them up to where frames end."""
    stops = {track: track.stop for track in tracks if track.stop is not None}
    start = min(track.start for track in tracks)
    last = None
    for item in source.items(start, max(stops.values())):
        last = item.position
        active = [t for t in tracks if t.start <= last < stops[t]]
        if active and writer.looks:
            image = source.image(item)
            for track in active:
                writer.add(track, image, track.square)
    if last is None:
        raise VideoError('too short', f'ends before frame {start}')
    end = source.end_after(last)
    kept = []
    for track, stop in stops.items():
        track.stop = min(stop, end)
        if track.start < track.stop:
            kept.append(track)
    if not kept:
        raise VideoError('too short', f'ends at frame {end}')
    return kept


class _Writer:
    """Saves crops, one folder per track, until it is known which to keep.

    Args:
        scratch: An empty folder.
        options: How to save.

    Attributes:
        saves: Whether crops are saved; False in the boxes store.
        looks: Whether it needs the frames, to save or to find landmarks.
    """

    def __init__(self, scratch: Path, options: CropOptions) -> None:
        self._scratch = scratch
        self._options = options
        self._counts: dict[Track, int] = {}
        self._folders: dict[Track, Path] = {}
        self._finders: dict[Track, LandmarkFinder] = {}
        self._points: dict[Track, list[np.ndarray]] = {}
        self.saves = options.store == 'crops'
        self.looks = self.saves or options.landmarks != 'none'

    def add(
        self, track: Track, image: np.ndarray, square: Square | None
    ) -> None:
        """Save the next crop of a track; the whole image without a square."""
        if track not in self._counts:
            self._counts[track] = 0
            self._folders[track] = self._scratch / f'track{len(self._folders)}'
            self._folders[track].mkdir()
            if self._options.landmarks != 'none':
                finder = LandmarkFinder(self._options.landmarks)
                self._finders[track], self._points[track] = finder, []
        if self.saves:
            path = self._path(track, self._counts[track])
            path.write_bytes(_encode(self._crop(image, square), self._options))
        self._counts[track] += 1
        if track in self._finders:
            large = crop(image, square, SIDE) if square else image
            self._points[track].append(self._finders[track].find(large))

    def _crop(self, image: np.ndarray, square: Square | None) -> np.ndarray:
        size = self._options.size
        return crop(image, square, size) if square else resize(image, size)

    def publish(self, tracks: Sequence[Track], frame_dir: Path) -> None:
        """Make ``frame_dir`` of these tracks, up to where they ended."""
        if not self.looks:
            return
        whole = self._scratch / 'frames'  # with the user's own permissions
        whole.mkdir()
        for number, track in enumerate(tracks):
            used = track.num_frames(self._options.stride)
            if self.saves:
                for index in range(used, self._counts[track]):
                    self._path(track, index).unlink()
                os.replace(self._folders[track], whole / str(number))
            if track in self._points:
                points = np.stack(self._points[track][:used])
                np.save(whole / f'{number}.landmarks.npy', points)
        frame_dir.parent.mkdir(parents=True, exist_ok=True)
        os.replace(whole, frame_dir)

    def _path(self, track: Track, index: int) -> Path:
        name = self._options.filename_tmpl.format(index)
        return self._folders[track] / name


def _encode(image: np.ndarray, options: CropOptions) -> bytes:
    parameters = []
    if options.image == 'jpg':
        parameters = [cv2.IMWRITE_JPEG_QUALITY, options.quality]
    image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(f'.{options.image}', image, parameters)[1].tobytes()
