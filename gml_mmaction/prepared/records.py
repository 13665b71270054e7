"""What a run leaves on disk of each video, so that the next can go on.

    OUT/parameters.json                      what all videos have in common
    OUT/records/<video_id>.json              what became of one video
    OUT/frames/<video_id>/<track>/000000.jpg its crops, written before that
    OUT/.partial/<run>/                      unfinished work of a run

A record tells the facts that it depends on: where the video is, its size, when
it was changed, what it undergoes. While these hold, and its crops are all
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

from gml_mmaction.faces.options import CropOptions
from gml_mmaction.io.files import read_json, write_json
from gml_mmaction.sources import Video
from gml_mmaction.video import VideoError
from gml_mmaction.video.distortions import format_distortions

from .extract import extract_video

__all__ = [
    'Job',
    'begin',
    'facts',
    'prepare_video',
    'record_crash',
    'record_if_done',
    'relative',
]

# of these, a run may be ended with another version than it was begun with
_EXCHANGEABLE = ('opencv', 'numpy', 'gml_mmaction')
# these tell of the machine as much as of the video: tried again at a restart
_CIRCUMSTANTIAL = ('error', 'crashed', 'unreadable', 'no boxes')


def begin(out: Path, parameters: dict) -> tuple[Path, dict]:
    """Make ``out``, or make sure that it was begun with these parameters.

    Args:
        out: Folder to write.
        parameters: Among them ``versions``, by name of a package.

    Returns:
        A folder for unfinished work, another one for each run, and the
        parameters; where a restart has another version of a package than the
        runs before, ``versions`` lists them all: '2.4.6, 2.5.0'.

    Raises:
        ValueError: It was begun with others.
    """
    path = out / 'parameters.json'
    if path.exists() and (out / 'records').is_dir():
        before = read_json(path)
        _check_same(out, _flat(before), _flat(parameters))
        parameters = _add_versions(before, parameters)
    partial = out / '.partial'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=partial))
    write_json(path, parameters, scratch=scratch)
    return scratch, parameters


class Job(NamedTuple):
    """What a process needs to know to prepare one video.

    Attributes:
        video: With absolute paths.
        out: Folder to write.
        root: Folder to which paths in the record are relative.
        scratch: The run's folder for unfinished work, on the file system of
            ``out``. When it is gone, so is the run: the job does nothing.
        options: How to crop.
        max_frames: Use only so many source frames.
        tracks: Of an earlier record, to be cut out again; None: look for
            faces.
    """

    video: Video
    out: Path
    root: Path
    scratch: Path
    options: CropOptions
    max_frames: int | None = None
    tracks: Sequence[Mapping[str, Any]] | None = None

    @property
    def frame_dir(self) -> Path:
        """Folder of the crops, one folder a track."""
        return self.out / 'frames' / self.video.video_id

    @property
    def record_path(self) -> Path:
        """The file that tells what became of the video."""
        return self.out / 'records' / f'{self.video.video_id}.json'


def prepare_video(job: Job) -> tuple[str, dict]:
    """Prepare one video and write its record; runs in a worker process.

    Returns:
        The video's id and its record: ``facts`` (see :func:`facts`) and
        ``result``, which is what ``extract_video`` tells or, after a failure,
        ``reason`` and ``detail``.

    Raises:
        OSError: The disk is full, or the run that gave the job is over.
    """
    # a worker of a cluster may outlive a run, and must not disturb the next
    os.stat(job.scratch)
    known = facts(job)
    # an older one would hold again for the crops that are made now, if the
    # video changed back after a kill between them and the new record
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
        result = {'reason': error.reason, 'detail': error.detail}
    except OSError:
        raise  # of writing only; a full disk is no fault of the video
    except Exception as error:
        # a decoder may raise anything; one video must not end the run
        detail = f'{type(error).__name__}: {error}'.split('\n')[0]
        result = {'reason': 'error', 'detail': detail}
    return _write_record(job, known, result)


def record_crash(job: Job) -> tuple[str, dict]:
    """Return the same of a video that killed the process that read it."""
    shutil.rmtree(job.frame_dir, ignore_errors=True)
    detail = 'the process that read it died'
    result = {'reason': 'crashed', 'detail': detail}
    return _write_record(job, facts(job), result)


def record_if_done(job: Job) -> dict | None:
    """Return the record of an earlier run if it still holds."""
    try:
        record = read_json(job.record_path)
    except (OSError, ValueError):
        return None
    if record['facts'] != facts(job):
        return None
    reason = record['result'].get('reason')
    holds = (
        reason not in _CIRCUMSTANTIAL if reason else _has_crops(job, record)
    )
    return record if holds else None


def facts(job: Job) -> dict:
    """What a record depends on, beside the parameters of all videos.

    Returns:
        ``path``, ``boxes_from`` and ``mask``, relative to the root; ``stamps``
        of these files, [bytes, time of change in ns] or None where they
        cannot be had; ``member``, ``cropped``, ``distortions``;
        ``tracks_given``, a hash. What a video has not is left out.
    """
    video = job.video
    files = {
        name: getattr(video, name) for name in ('path', 'boxes_from', 'mask')
    }
    given = job.tracks and json.dumps(job.tracks).encode()
    known = {
        **{
            name: path and relative(path, job.root)
            for name, path in files.items()
        },
        'member': video.member,
        'cropped': video.cropped,
        'distortions': format_distortions(video.distortions),
        'tracks_given': given and hashlib.sha256(given).hexdigest(),
        'stamps': {name: _stamp(path) for name, path in files.items() if path},
    }
    return {name: value for name, value in known.items() if value}


def relative(path: Path, root: Path) -> str:
    """Return ``path`` as seen from ``root``, POSIX; both are absolute."""
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    # '..' leads out of what a link points to, not out of the link
    path, root = os.path.realpath(path), os.path.realpath(root)
    return Path(os.path.relpath(path, root)).as_posix()


def _write_record(job: Job, known: dict, result: dict) -> tuple[str, dict]:
    record = {'facts': known, 'result': result}
    write_json(job.record_path, record, scratch=job.scratch)
    return job.video.video_id, record


def _has_crops(job: Job, record: dict) -> bool:
    if job.options.store == 'boxes':
        return True
    pattern = f'*.{job.options.image}'
    for index, track in enumerate(record['result']['tracks']):
        crops = (job.frame_dir / str(index)).glob(pattern)
        sizes = [crop.stat().st_size for crop in crops]
        if len(sizes) != track['num_frames'] or 0 in sizes:
            return False
    return True


def _stamp(path: Path) -> list[int] | None:
    """Size and time of change of a file, or of the files of a folder."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        # a link to nothing has a time of change as well
        stats = [f.stat() if f.exists() else f.lstat() for f in files]
    except OSError:
        return None
    return [
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    ]


def _add_versions(before: dict, now: dict) -> dict:
    versions = dict(now['versions'])
    for name in _EXCHANGEABLE:
        used = before['versions'][name].split(', ')
        if versions[name] not in used:
            used.append(versions[name])
        versions[name] = ', '.join(used)
    return {**now, 'versions': versions}


def _check_same(out: Path, before: dict, now: dict) -> None:
    may_change = {f'versions.{name}' for name in _EXCHANGEABLE}
    changed = [
        f'{key} was {before.get(key)}, is {now.get(key)}'
        for key in sorted({*before, *now} - may_change)
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise ValueError(
            f'{out} was begun with other parameters '
            f'({"; ".join(changed)}); use the same, or another folder'
        )


def _flat(tree: Mapping, prefix: str = '') -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f'{prefix}{key}.')
        else:
            flat[prefix + key] = value
    return flat
