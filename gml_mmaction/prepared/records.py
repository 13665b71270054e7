"""Records that a run writes for each video, so that the next can go on.

    OUT/parameters.json                      what all videos have in common
    OUT/records/<video_id>.json              what became of one video
    OUT/frames/<video_id>/<track>/000000.jpg its crops, written before that
    OUT/frames/<video_id>/<track>.landmarks.npy, with --landmarks, likewise
    OUT/.partial/<run>/                      unfinished work of a run

A record holds the facts that it depends on: where the video is, its size,
when it was changed, its distortions. While these hold, and all its crops are
there, the video is not done again. Every file appears whole or not at all.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gml_mmaction.errors import SettingError
from gml_mmaction.faces.options import CropOptions
from gml_mmaction.io.files import write_json
from gml_mmaction.io.records import (
    UNSET,
    Record,
    UnsetType,
    as_json,
    read_record,
)
from gml_mmaction.sources import Video
from gml_mmaction.video import VideoError
from gml_mmaction.video.distortions import format_distortions

from .extract import extract_video
from .manifest import Outcome, Parameters, TrackRecord

__all__ = [
    'Facts',
    'PrepareJob',
    'VideoRecord',
    'begin',
    'facts',
    'prepare_video',
    'record_crash',
    'record_if_done',
    'relative',
]

# a run may be continued with another version of these
_EXCHANGEABLE = ('opencv', 'numpy', 'gml_mmaction')
# these may be due to the machine, not the video: tried again at a restart
_CIRCUMSTANTIAL = ('error', 'crashed', 'unreadable', 'no boxes')


def begin(out: Path, parameters: Parameters) -> tuple[Path, Parameters]:
    """Make ``out``, or check that it was begun with these parameters.

    Args:
        out: Folder to write.
        parameters: Of this run.

    Returns:
        A folder for unfinished work, a new one for each run, and the
        parameters. If a restart has another version of a package than earlier
        runs, ``versions`` lists them all: '2.4.6, 2.5.0'.

    Raises:
        SettingError: It was begun with other parameters.
    """
    path = out / 'parameters.json'
    if path.exists() and (out / 'records').is_dir():
        before = read_record(
            path,
            Parameters,
            what='record of a preparation',
            remedy='use another folder',
        )
        _check_same(out, _flat(as_json(before)), _flat(as_json(parameters)))
        parameters = _add_versions(before, parameters)
    partial = out / '.partial'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=partial))
    write_json(path, as_json(parameters), scratch=scratch)
    return scratch, parameters


class PrepareJob(NamedTuple):
    """What a process needs to know to prepare one video.

    Attributes:
        video: With absolute paths.
        out: Folder to write.
        root: Folder to which paths in the record are relative.
        scratch: The run's folder for unfinished work, on the file system of
            ``out``. If it is gone, the run is over: the job does nothing.
        options: How to crop.
        max_frames: Use only so many source frames.
        tracks: Of an earlier record, to be cut out again; None: search for
            faces.
    """

    video: Video
    out: Path
    root: Path
    scratch: Path
    options: CropOptions
    max_frames: int | None = None
    tracks: Sequence[TrackRecord] | None = None

    @property
    def frame_dir(self) -> Path:
        """Folder of the crops, one folder a track."""
        return self.out / 'frames' / self.video.video_id

    @property
    def record_path(self) -> Path:
        """The file of the video's record."""
        return self.out / 'records' / f'{self.video.video_id}.json'


class Facts(Record, frozen=True, kw_only=True):
    """What a record depends on, besides the parameters of all videos.

    Fields that a video does not have are unset.

    Attributes:
        path: Of the file, relative to the root, like the two below.
        boxes_from: The file in which faces were searched.
        mask: The mask that chose the face.
        member: Folder in an archive.
        cropped: Whether it came as face crops.
        distortions: To be applied.
        tracks_given: SHA-256 of tracks that were given, not searched.
        stamps: Size in bytes and modification time in ns of these files; None
            if they cannot be read.
    """

    path: str
    boxes_from: str | UnsetType = UNSET
    mask: str | UnsetType = UNSET
    member: str | UnsetType = UNSET
    cropped: bool | UnsetType = UNSET
    distortions: str | UnsetType = UNSET
    tracks_given: str | UnsetType = UNSET
    stamps: dict[str, list[int] | None]


class VideoRecord(Record, frozen=True, kw_only=True):
    """``records/<video_id>.json``: the result for one video."""

    facts: Facts
    result: Outcome


def prepare_video(job: PrepareJob) -> tuple[str, VideoRecord]:
    """Prepare one video and write its record; runs in a worker process.

    Returns:
        The video's id and its record.

    Raises:
        OSError: The disk is full, or the run that made the job is over.
    """
    # a worker of a cluster may outlive a run, and must not disturb the next
    os.stat(job.scratch)
    known = facts(job)
    # if a kill came between crops and record and the video changed back, an
    # older record would seem to hold for these crops
    job.record_path.unlink(missing_ok=True)
    try:
        result = extract_video(
            job.video,
            job.frame_dir,
            options=job.options,
            scratch=job.scratch,
            max_frames=job.max_frames,
            tracks=job.tracks,
        )
    except VideoError as error:
        result = Outcome(reason=error.reason, detail=error.detail)
    except OSError:
        raise  # of writing only; a full disk is not the video's fault
    except Exception as error:
        # a decoder may raise anything; one video must not end the run
        detail = f'{type(error).__name__}: {error}'.split('\n')[0]
        result = Outcome(reason='error', detail=detail)
    return _write_record(job, known, result)


def record_crash(job: PrepareJob) -> tuple[str, VideoRecord]:
    """Return the same for a video that killed the process that read it."""
    shutil.rmtree(job.frame_dir, ignore_errors=True)
    detail = 'the process that read it crashed'
    result = Outcome(reason='crashed', detail=detail)
    return _write_record(job, facts(job), result)


def record_if_done(job: PrepareJob) -> VideoRecord | None:
    """Return the record of an earlier run if it still holds."""
    try:
        record = read_record(
            job.record_path, VideoRecord, what='record', remedy='remove it'
        )
    except (OSError, ValueError):
        return None
    if record.facts != facts(job):
        return None
    result = record.result
    if result.is_prepared:
        return record if _has_crops(job, result.tracks or []) else None
    return record if result.reason not in _CIRCUMSTANTIAL else None


def facts(job: PrepareJob) -> Facts:
    """Collect what the record of a video depends on."""
    video = job.video
    files = {
        name: getattr(video, name) for name in ('path', 'boxes_from', 'mask')
    }
    places = {
        name: relative(path, job.root) for name, path in files.items() if path
    }
    given = job.tracks and json.dumps(as_json(job.tracks)).encode()
    return Facts(
        **places,
        member=video.member or UNSET,
        cropped=video.cropped or UNSET,
        distortions=format_distortions(video.distortions) or UNSET,
        tracks_given=hashlib.sha256(given).hexdigest() if given else UNSET,
        stamps={name: _stamp(path) for name, path in files.items() if path},
    )


def relative(path: Path, root: Path) -> str:
    """Return ``path`` as seen from ``root``, POSIX; both are absolute."""
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    # '..' leads out of what a link points to, not out of the link
    there = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    return Path(there).as_posix()


def _write_record(
    job: PrepareJob, known: Facts, result: Outcome
) -> tuple[str, VideoRecord]:
    record = VideoRecord(facts=known, result=result)
    write_json(job.record_path, as_json(record), scratch=job.scratch)
    return job.video.video_id, record


def _has_crops(job: PrepareJob, tracks: Sequence[TrackRecord]) -> bool:
    pattern = f'*.{job.options.image}'
    for index, track in enumerate(tracks):
        crops = (job.frame_dir / str(index)).glob(pattern)
        sizes = [crop.stat().st_size for crop in crops]
        whole = len(sizes) == track.num_frames and 0 not in sizes
        if job.options.store == 'crops' and not whole:
            return False
        points = job.frame_dir / f'{index}.landmarks.npy'
        if job.options.landmarks != 'none' and not points.is_file():
            return False
    return True


def _stamp(path: Path) -> list[int] | None:
    """Size and modification time of a file, or of a folder's files."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        # a broken link has a modification time as well
        stats = [f.stat() if f.exists() else f.lstat() for f in files]
    except OSError:
        return None
    return [
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    ]


def _add_versions(before: Parameters, now: Parameters) -> Parameters:
    versions = dict(now.versions or {})
    earlier = before.versions or {}
    for name in _EXCHANGEABLE:
        used = earlier[name].split(', ') if name in earlier else []
        if versions[name] not in used:
            used.append(versions[name])
        versions[name] = ', '.join(used)
    return msgspec.structs.replace(now, versions=versions)


def _check_same(out: Path, before: dict, now: dict) -> None:
    may_change = {f'versions.{name}' for name in _EXCHANGEABLE}
    changed = [
        f'{key} was {before.get(key)}, is {now.get(key)}'
        for key in sorted({*before, *now} - may_change)
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise SettingError(
            f'{out} was begun with other parameters '
            f'({"; ".join(changed)}). Remedy: use the same, or another '
            'folder'
        )


def _flat(tree: Mapping, prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f'{prefix}{key}.')
        else:
            flat[prefix + key] = value
    return flat
