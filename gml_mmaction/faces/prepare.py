"""A list of videos becomes crops, annotation files, manifest and report.

    OUT/frames/<video_id>/000000.jpg ...    the crops
    OUT/{train,val,test}.json               annotations, MMEngine's format
    OUT/manifest.json                       what was done to every video
    OUT/report.json                         counts that add up to the input
    OUT/parameters.json, OUT/records/       for the restart

Every file appears whole or not at all. A record is written after its video's
crops, so that a run killed at any moment and started again ends with the same
bytes as an unbroken one. Nothing written depends on time, place or the number
of processes.
"""

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

import gml_mmaction
from gml_mmaction import host
from gml_mmaction.sources import SPLITS, Video

from .extract import FRAME_NAME, CropOptions, extract_video
from .pool import run_in_processes
from .video import VideoError

__all__ = ['format_report', 'prepare_videos']

CLASSES = ('real', 'fake')
RULES = {
    'detector': 'dlib.get_frontal_face_detector, gray',
    'face_frame': 'first frame with a face; its square holds from frame 0',
    'face_choice': 'largest area, then highest score',
    'square': 'side 2*sqrt(w*h), centred on the face, fixed',
    'padding': 'black',
    'resize': 'area when shrinking, linear when growing',
    'codec': 'JPEG',
}
# of these, a run may be ended with another version than it was begun with
_EXCHANGEABLE = ('opencv', 'numpy', 'gml_mmaction')
# these tell of the machine as much as of the video: tried again at a restart
_CIRCUMSTANTIAL = ('error', 'crashed')


class Job(NamedTuple):
    """What a process needs to know to prepare one video."""

    video_id: str
    path: Path
    out: Path
    options: CropOptions
    max_frames: int | None


def prepare_videos(
    videos: Sequence[Video],
    out: str | Path,
    *,
    source: str,
    root: str | Path,
    options: CropOptions | None = None,
    max_frames: Mapping[str, int] | None = None,
    workers: int = 1,
    progress: Callable[..., Iterable] | None = None,
) -> dict:
    """Crop the faces of all videos that are there, and write the lists.

    A video that gives no crops is listed with its reason; the others go on.
    What an earlier run has finished is kept, unless the video's size or time
    of change has become another, or its crops are no longer all there. One
    run at a time may write to a folder.

    Args:
        videos: All videos of the set; those without a file count as missing.
        out: Folder to write; may hold an earlier, even a killed run.
        source: Name of the set, for the annotations.
        root: Folder to which the manifest's paths are relative.
        options: How to crop.
        max_frames: By split, how many source frames to use from the start of
            a video; by default all.
        workers: Number of processes.
        progress: Wraps the iterable of results as ``tqdm.tqdm`` does, called
            with ``total`` and ``initial``.

    Returns:
        The report: ``rows`` per split and method with ``expected`` =
        ``missing`` + ``found`` and ``found`` = ``prepared`` + the sum of
        ``failed``, ``frames`` saved; their sum ``total``; ``failures`` with
        reason and detail; ids of the ``missing``.

    Raises:
        ValueError: ``out`` was begun with other parameters or another dlib
            or decord; two videos share an id; no video is there.
        ImportError: dlib or decord is missing.
        OSError: ``out`` cannot be written.
    """
    out, root = Path(out).absolute(), Path(root).absolute()
    options = options or CropOptions()
    limits = dict(max_frames or {})
    found = [video for video in videos if video.path.is_file()]
    _check_videos(videos, found, root)
    parameters = _begin(out, _parameters(source, options, limits))
    jobs = [
        Job(v.video_id, v.path.absolute(), out, options, limits.get(v.split))
        for v in found
    ]
    _extract(jobs, workers=workers, progress=progress)
    records = {job.video_id: _read_record(job) for job in jobs}
    report = _report(videos, records)
    _write_lists(
        out, root=root, parameters=parameters, videos=found, records=records
    )
    _write_json(out / 'report.json', report, scratch=out / '.partial')
    shutil.rmtree(out / '.partial')
    return report


def format_report(report: dict) -> str:
    """Lay the report out as a table, one line per split and method."""
    rows = [*report['rows'], report['total']]
    reasons = sorted(report['total']['failed'])
    head = ['split', 'method', 'expected', 'missing', 'found', 'prepared']
    table = [[*head, *reasons, 'frames']]
    for row in rows:
        failed = [row['failed'].get(reason, 0) for reason in reasons]
        table.append([*(row[key] for key in head), *failed, row['frames']])
    table = [[str(cell) for cell in line] for line in table]
    columns = [
        _align(column, left=index < 2)
        for index, column in enumerate(zip(*table, strict=True))
    ]
    return '\n'.join(map('  '.join, zip(*columns, strict=True)))


def _align(cells: Sequence[str], *, left: bool) -> list[str]:
    width = max(map(len, cells))
    return [c.ljust(width) if left else c.rjust(width) for c in cells]


def _check_videos(
    videos: Sequence[Video], found: Sequence[Video], root: Path
) -> None:
    counts = Counter(video.video_id for video in videos)
    twice = [video_id for video_id, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f'two videos share the id {twice[0]}')
    if not found:
        example = f', e.g. {videos[0].path}' if videos else ''
        raise ValueError(
            f'none of the {len(videos)} videos is in {root}{example}'
        )


def _parameters(
    source: str, options: CropOptions, limits: Mapping[str, int]
) -> dict:
    return {
        'source': source,
        **dataclasses.asdict(options),
        'max_frames': {split: limits.get(split) for split in SPLITS},
        'rules': RULES,
        'versions': {
            'dlib': host.require('dlib').__version__,
            'decord': host.require('decord').__version__,
            'opencv': cv2.__version__,
            'numpy': np.__version__,
            'gml_mmaction': gml_mmaction.__version__,
        },
    }


def _begin(out: Path, parameters: dict) -> dict:
    """Make ``out``, or make sure that it was begun with these parameters.

    Returns:
        The parameters; where a restart has another version of a package than
        the runs before, ``versions`` lists them all: '2.4.6, 2.5.0'.
    """
    scratch = out / '.partial'
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    path = out / 'parameters.json'
    if path.exists():
        before = _read_json(path)
        parameters = _add_versions(before, parameters)
        _check_same(out, _flat(before), _flat(parameters))
    _write_json(path, parameters, scratch=scratch)
    return parameters


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


def _extract(
    jobs: Sequence[Job],
    *,
    workers: int,
    progress: Callable[..., Iterable] | None,
) -> None:
    todo = [job for job in jobs if not _is_done(job)]
    results = run_in_processes(
        _run_job, todo, workers=workers, on_crash=_record_crash
    )
    if progress:
        done = len(jobs) - len(todo)
        results = progress(results, total=len(jobs), initial=done)
    for _ in results:
        pass


def _run_job(job: Job) -> None:
    """Prepare one video and write its record; runs in a worker process."""
    record = _stamp(job)
    try:
        record |= extract_video(
            job.path,
            _frame_dir(job),
            options=job.options,
            scratch=job.out / '.partial',
            max_frames=job.max_frames,
        )
    except VideoError as error:
        record |= {'reason': error.reason, 'detail': error.detail}
    except OSError:
        raise  # a full disk is no fault of the video
    except Exception as error:
        # a decoder may raise anything; one video must not end the run
        detail = f'{type(error).__name__}: {error}'.split('\n')[0]
        record |= {'reason': 'error', 'detail': detail}
    _write_record(job, record)


def _record_crash(job: Job) -> None:
    shutil.rmtree(_frame_dir(job), ignore_errors=True)
    detail = 'the process that read it died'
    record = {**_stamp(job), 'reason': 'crashed', 'detail': detail}
    _write_record(job, record)


def _is_done(job: Job) -> bool:
    try:
        record = _read_record(job)
    except (OSError, ValueError):
        return False
    if not _stamp(job).items() <= record.items():
        return False
    if 'reason' in record:
        return record['reason'] not in _CIRCUMSTANTIAL
    crops = _frame_dir(job).glob('*.jpg')
    return sum(1 for _ in crops) == record['num_frames']


def _stamp(job: Job) -> dict:
    stat = job.path.stat()
    return {'bytes': stat.st_size, 'mtime_ns': stat.st_mtime_ns}


def _frame_dir(job: Job) -> Path:
    return job.out / 'frames' / job.video_id


def _record_path(job: Job) -> Path:
    return job.out / 'records' / f'{job.video_id}.json'


def _read_record(job: Job) -> dict:
    return _read_json(_record_path(job))


def _write_record(job: Job, record: dict) -> None:
    _write_json(_record_path(job), record, scratch=job.out / '.partial')


def _report(videos: Sequence[Video], records: Mapping[str, dict]) -> dict:
    rows = {}
    for video in videos:
        key = video.split, video.method
        rows.setdefault(key, []).append(records.get(video.video_id))
    failures = [
        {
            'video_id': video.video_id,
            'split': video.split,
            'reason': records[video.video_id]['reason'],
            'detail': records[video.video_id]['detail'],
        }
        for video in videos
        if 'reason' in records.get(video.video_id, {})
    ]
    everything = [records.get(video.video_id) for video in videos]
    return {
        'rows': [
            {'split': split, 'method': method, **_count(rows[split, method])}
            for split, method in rows
        ],
        'total': {'split': 'total', 'method': '', **_count(everything)},
        'failures': failures,
        'missing': [v.video_id for v in videos if v.video_id not in records],
    }


def _count(records: Sequence[dict | None]) -> dict:
    found = [record for record in records if record is not None]
    reasons = Counter(r['reason'] for r in found if 'reason' in r)
    return {
        'expected': len(records),
        'missing': len(records) - len(found),
        'found': len(found),
        'prepared': len(found) - sum(reasons.values()),
        'failed': dict(sorted(reasons.items())),
        'frames': sum(record.get('num_frames', 0) for record in found),
    }


def _write_lists(
    out: Path,
    *,
    root: Path,
    parameters: dict,
    videos: Sequence[Video],
    records: Mapping[str, dict],
) -> None:
    """Write the manifest, then the annotations that carry its hash."""
    write = functools.partial(_write_json, scratch=out / '.partial')
    manifest = {
        **parameters,
        'videos': [
            _manifest_entry(v, records[v.video_id], root) for v in videos
        ],
    }
    data = write(out / 'manifest.json', manifest)
    metainfo = {
        'source': parameters['source'],
        'size': parameters['size'],
        'filename_tmpl': FRAME_NAME,
        'classes': list(CLASSES),
        'manifest': hashlib.sha256(data).hexdigest(),
    }
    for split in SPLITS:
        data_list = [
            {
                'video_id': v.video_id,
                'frame_dir': f'frames/{v.video_id}',
                'num_frames': records[v.video_id]['num_frames'],
                'label': v.label,
                'method': v.method,
            }
            for v in videos
            if v.split == split and 'reason' not in records[v.video_id]
        ]
        annotation = {'metainfo': metainfo, 'data_list': data_list}
        write(out / f'{split}.json', annotation)


def _manifest_entry(video: Video, record: dict, root: Path) -> dict:
    path = Path(os.path.relpath(video.path.absolute(), root))
    facts = {k: v for k, v in record.items() if k != 'mtime_ns'}
    return {
        'video_id': video.video_id,
        'path': path.as_posix(),
        'split': video.split,
        'method': video.method,
        'label': video.label,
        **facts,
    }


def _flat(tree: Mapping, prefix: str = '') -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f'{prefix}{key}.')
        else:
            flat[prefix + key] = value
    return flat


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding='utf-8'))


def _write_json(path: Path, content: dict, *, scratch: Path) -> bytes:
    """Write a JSON file that appears whole; return its bytes."""
    data = _lines(content).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        partial = Path(folder) / path.name
        partial.write_bytes(data)
        os.replace(partial, path)
    return data


def _lines(content: dict) -> str:
    """Lay a JSON object out with one line per key and per item of a list."""
    parts = []
    for key, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = '[\n' + ',\n'.join(map(json.dumps, value)) + '\n]'
        parts.append(f'{json.dumps(key)}: {text}')
    return '{\n' + ',\n'.join(parts) + '\n}\n'
