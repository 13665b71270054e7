"""From a list of videos to crops, annotation files, manifest and report.

    OUT/frames/<video_id>/<track>/000000.jpg ...    the crops, if any
    OUT/{train,val,test}.json               annotations, MMEngine's format
    OUT/manifest.json                       what was done to every video
    OUT/report.json                         counts that add up to the input
    OUT/parameters.json, OUT/records/       for a restart

Crops take most of the space; instead of them, annotations may name the videos
and the squares to cut out of them (``CropOptions.store``).

Every file appears whole or not at all. A record is written after its video's
crops, so that a run killed at any moment and started again ends with the same
bytes as an unbroken one. Nothing written depends on time, on the machine or
on the number of processes. Only ``root``, the path from OUT to the videos,
depends on where they are.
"""

import dataclasses
import functools
import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from msgspec import structs

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.faces.landmarks import LandmarkFinder
from gml_mmaction.faces.options import CropOptions
from gml_mmaction.io.files import write_json
from gml_mmaction.io.lock import hold
from gml_mmaction.io.pool import run_in_processes, run_on_cluster
from gml_mmaction.io.records import UNSET, as_json
from gml_mmaction.io.rules import TEXT
from gml_mmaction.io.text import counted, printable
from gml_mmaction.sources import LABELS, SPLITS, Video
from gml_mmaction.sources.origin import read_origins
from gml_mmaction.stack import require
from gml_mmaction.version import __version__
from gml_mmaction.video import rates_of
from gml_mmaction.video.distortions import format_distortions, is_framewise

from .annotation import BoxEntry, CropEntry, Metainfo
from .manifest import (
    Failure,
    Manifest,
    Outcome,
    Parameters,
    PreparedVideo,
    Report,
    Row,
    TrackRecord,
)
from .records import (
    PrepareJob,
    VideoRecord,
    begin,
    prepare_video,
    record_crash,
    record_if_done,
    relative,
)

if TYPE_CHECKING:
    from distributed import Client

__all__ = ['format_report', 'prepare_videos']

RULES = {
    'detector': 'dlib.get_frontal_face_detector, gray; faces of 80 pixels '
    'or more in the frame as it is, others in the doubled one',
    'track': 'from the first search with a face to the cut or loss; '
    'see search_stride, check_stride, lost',
    'cut': 'correlation of thumbnails',
    'face_choice': 'most covered by the mask; else largest area, then '
    'highest score',
    'square': 'side 2*sqrt(w*h), centred on the face, fixed for a track',
    'padding': 'black',
    'resize': 'area below half the size, else linear',
}


def prepare_videos(
    videos: Sequence[Video],
    out: str | Path,
    *,
    source: str,
    root: str | Path,
    source_options: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    options: CropOptions | None = None,
    max_frames: Mapping[str, int] | None = None,
    workers: int = 1,
    cluster: 'str | Client | None' = None,
    tracks: Mapping[str, Sequence[TrackRecord]] | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> Report:
    """Crop the faces of all videos that are there, and write the lists.

    A video that gives no crops is listed with its reason; the others go on.
    What an earlier run has finished is kept, unless the video or a file that
    belongs to it has another size or modification time, or some crops are
    missing. Only one run at a time may write to a folder
    (:mod:`gml_mmaction.io.lock`).

    Args:
        videos: All videos of the set; those without a file count as missing.
        out: Folder to write; may hold an earlier run, even a killed one.
        source: Name of the set, for the annotations.
        root: Folder to which the videos' paths are relative in what is
            written.
        source_options: Those with which the videos were listed, for the
            manifest; a restart must have the same. Paths are left out.
        notes: The source's notes on the videos, for the report.
        options: How to crop, and whether to save the crops.
        max_frames: By split, how many source frames to use from the start of
            a video; by default all.
        workers: Number of processes on this machine.
        cluster: A Dask cluster to use instead: a client, or the address of
            the scheduler. Every machine must see ``out`` and the videos at
            the same paths.
        tracks: By video id, ``tracks`` from the manifest of another run, to
            be cut out of these videos unchanged. Faces are searched only in
            videos that are not named.
        progress: Wraps the iterable of results as ``tqdm.tqdm`` does, called
            with ``total`` and ``initial``.

    Returns:
        The report: in each row ``expected`` = ``missing`` + ``found`` and
        ``found`` = ``prepared`` + the sum of ``failed``.

    Raises:
        DataError: ``out`` was begun with other parameters or another dlib
            or PyAV; ``origin.json`` above the videos says something else;
            two videos share an id, or one's id is a folder in another's; no
            video is there; a folder's name is not text; the boxes store
            cannot hold a video's distortions.
        ImportError: dlib, PyAV, the models of landmarks or, with
            ``cluster``, dask is missing.
        OSError: ``out`` cannot be written, another run is at work there, or
            the cluster is gone.
    """
    out, root = Path(out).absolute(), Path(root).absolute()
    options = options or CropOptions()
    limits = dict(max_frames or {})
    found = [_absolute(video) for video in videos if _is_found(video)]
    check_videos(videos)
    if not found:
        example = f' (for instance {videos[0].path})' if videos else ''
        raise DataError(
            f'{root}: no video of the {len(videos)} in its list is '
            f'there{example}. Remedy: download them, or check the folder '
            "and the source's options"
        )
    _check_names(found, out, root)
    _check_store(found, options)
    if options.landmarks != 'none':
        LandmarkFinder(options.landmarks)  # missing models end the run here
    origins = read_origins(found)
    parameters = _parameters(source, source_options or {}, options, limits)
    run = functools.partial(run_in_processes, workers=workers)
    if cluster is not None:
        run = functools.partial(run_on_cluster, cluster=cluster)
    with hold(out, 'preparation'):
        scratch, parameters = begin(out, parameters)
        jobs = [
            PrepareJob(
                video,
                out=out,
                root=root,
                scratch=scratch,
                options=options,
                max_frames=limits.get(video.split),
                tracks=(tracks or {}).get(video.video_id),
            )
            for video in found
        ]
        records = _run(run, jobs, progress)
        report = _report(videos, records, notes)
        _write_lists(
            out,
            root=root,
            scratch=scratch,
            parameters=parameters,
            options=options,
            videos=found,
            records=records,
            origins=origins,
        )
        write_json(out / 'report.json', as_json(report), scratch=scratch)
        shutil.rmtree(out / '.partial')
    return report


def format_report(report: Report) -> str:
    """Lay the report out as a table, one line per split and method.

    Below it, a line per kind of note says how many videos have it.
    """
    rows = [*report.rows, report.total]
    reasons = sorted(report.total.failed)
    head = ['split', 'method', 'expected', 'missing', 'found', 'prepared']
    last = ['tracks', 'frames']
    cells: list[list[Any]] = [[*head, *reasons, *last]]
    for row in rows:
        own = functools.partial(getattr, row)
        failed = [row.failed.get(reason, 0) for reason in reasons]
        cells.append([*map(own, head), *failed, *map(own, last)])
    table = [[printable(cell) for cell in line] for line in cells]
    columns = [
        _align(column, left=index < 2)
        for index, column in enumerate(zip(*table, strict=True))
    ]
    lines = map('  '.join, zip(*columns, strict=True))
    notes = [
        f'note "{printable(note)}": {counted(count, "video")}'
        for note, count in report.total.notes.items()
    ]
    return '\n'.join([*lines, *_rate_lines(report.rows), *notes])


def _rate_lines(rows: Sequence[Row]) -> list[str]:
    """Say how many frames a second were saved, and if labels differ in it.

    A detector might learn the rate instead of the forgery.
    """
    lines = []
    for split in dict.fromkeys(row.split for row in rows):
        here = [row for row in rows if row.split == split]
        rates = {row.method: row.rates for row in here if row.rates}
        if not rates:
            continue
        if len({str(spread) for spread in rates.values()}) == 1:
            (spread, *_) = rates.values()
            lines.append(f'{split}: {spread} frames a second')
            continue
        texts = [f'{method} {spread}' for method, spread in rates.items()]
        lines.append(f'{split}: frames a second: {", ".join(texts)}')
        real = rates.get('real')
        others = [
            method
            for method, spread in rates.items()
            if real and not real.near(spread.median)
        ]
        if others:
            lines.append(
                f'{split}: {", ".join(others)} at another frame rate than '
                'real: a detector may learn the rate. Remedy: prepare with '
                f'--rate {min(r.low for r in rates.values()):.4g}'
            )
    return lines


def _align(cells: Sequence[str], *, left: bool) -> list[str]:
    width = max(map(len, cells))
    return [c.ljust(width) if left else c.rjust(width) for c in cells]


def _is_found(video: Video) -> bool:
    try:
        return video.exists
    except OSError:
        return True  # as a video that cannot be read


def _absolute(video: Video) -> Video:
    paths = {
        name: getattr(video, name).absolute()
        for name in ('path', 'boxes_from', 'mask')
        if getattr(video, name)
    }
    return dataclasses.replace(video, **paths)


def check_videos(videos: Sequence[Video]) -> None:
    """Make sure that no two videos would write to one place.

    Raises:
        DataError: Two share an id, or one's id is a folder in another's.
    """
    counts = Counter(video.video_id for video in videos)
    twice = [video_id for video_id, count in counts.items() if count > 1]
    if twice:
        path = next(v.path for v in videos if v.video_id == twice[0])
        raise DataError(
            f'{path}: two videos share the id {twice[0]}. Remedy: rename '
            'one of the files'
        )
    for video in videos:
        for folder in map(str, PurePosixPath(video.video_id).parents):
            if folder in counts:
                raise DataError(
                    f'the id {folder} of a video is a folder in the id '
                    f'{video.video_id} of another: their crops would be '
                    'mixed. Remedy: rename one of the files'
                )


def _check_names(videos: Sequence[Video], out: Path, root: Path) -> None:
    """Make sure that what is written can name the videos.

    Raises:
        DataError: It cannot; for example, a folder's name is not UTF-8.
    """
    places = {path: relative(path, root) for path in _folders(videos)}
    places[root] = _seen_from(out, root)
    for path, place in places.items():
        if not TEXT.holds(place):
            raise DataError(
                f'{path}: a name in this path is not UTF-8, or has control '
                'characters. Remedy: rename it'
            )


def _seen_from(out: Path, root: Path) -> str:
    there = os.path.relpath(os.path.realpath(root), os.path.realpath(out))
    return Path(there).as_posix()


def _folders(videos: Sequence[Video]) -> set[Path]:
    paths = {p for v in videos for p in (v.path, v.boxes_from, v.mask) if p}
    return {path.parent for path in paths}


def _check_store(videos: Sequence[Video], options: CropOptions) -> None:
    if options.store == 'crops':
        return
    for video in videos:
        if not is_framewise(video.distortions):
            raise SettingError(
                f'{video.video_id} undergoes '
                f'{format_distortions(video.distortions)}: VC compresses a '
                'whole video, of which no single frame can be taken. '
                "Remedy: store='crops'"
            )


def _parameters(
    source: str,
    source_options: Mapping[str, Any],
    options: CropOptions,
    limits: Mapping[str, int],
) -> Parameters:
    return Parameters(
        source=source,
        source_options={
            name: list(value) if isinstance(value, tuple) else value
            for name, value in sorted(source_options.items())
            if not isinstance(value, PurePath)
        },
        **options.recorded,
        max_frames={split: limits.get(split) for split in SPLITS},
        rules=RULES,
        versions={
            'dlib': require('dlib').__version__,
            'av': require('av').__version__,
            'opencv': cv2.__version__,
            'numpy': np.__version__,
            'gml_mmaction': __version__,
        },
    )


def _run(
    run: Callable[..., Iterable],
    jobs: Sequence[PrepareJob],
    progress: Callable[..., Iterable] | None,
) -> dict[str, VideoRecord]:
    """Return records by video id, in the order of the jobs."""
    found = {job.video.video_id: record_if_done(job) for job in jobs}
    todo = [job for job in jobs if found[job.video.video_id] is None]
    results = run(prepare_video, todo, on_crash=record_crash)
    if progress:
        initial = len(jobs) - len(todo)
        results = progress(results, total=len(jobs), initial=initial)
    found |= dict(results)
    return {name: record for name, record in found.items() if record}


def _report(
    videos: Sequence[Video],
    records: Mapping[str, VideoRecord],
    notes: Sequence[str],
) -> Report:
    results = [
        records[video.video_id].result if video.video_id in records else None
        for video in videos
    ]
    rows: dict[tuple[str, str], list[Outcome | None]] = {}
    for video, result in zip(videos, results, strict=True):
        rows.setdefault((video.split, video.method), []).append(result)
    return Report(
        rows=[_count(*place, found) for place, found in rows.items()],
        total=_count('total', '', results),
        failures=[
            Failure(
                video_id=video.video_id,
                split=video.split,
                reason=result.reason,
                detail=result.detail or '',
            )
            for video, result in zip(videos, results, strict=True)
            if result and result.reason
        ],
        missing=[v.video_id for v in videos if v.video_id not in records],
        notes=list(notes),
    )


def _count(split: str, method: str, results: Sequence[Outcome | None]) -> Row:
    found = [result for result in results if result is not None]
    prepared = [result for result in found if result.is_prepared]
    reasons = Counter(result.reason for result in found if result.reason)
    notes = Counter(
        kind
        for result in prepared
        for kind in {re.sub(r'\d+', 'N', note) for note in result.notes or ()}
    )
    tracks = [track for result in prepared for track in result.tracks or ()]
    return Row(
        split=split,
        method=method,
        expected=len(results),
        missing=len(results) - len(found),
        found=len(found),
        prepared=len(prepared),
        failed=dict(sorted(reasons.items())),
        tracks=len(tracks),
        frames=sum(track.num_frames for track in tracks),
        rates=rates_of([result.rate for result in prepared if result.rate]),
        notes=dict(sorted(notes.items())),
    )


def _write_lists(
    out: Path,
    *,
    root: Path,
    scratch: Path,
    parameters: Parameters,
    options: CropOptions,
    videos: Sequence[Video],
    records: Mapping[str, VideoRecord],
    origins: Mapping[str, str],
) -> None:
    """Write the manifest, then the annotations that carry its hash."""
    write = functools.partial(write_json, scratch=scratch)
    there = _seen_from(out, root)
    common = structs.asdict(parameters) | {'origin': origins or UNSET}
    manifest = Manifest(
        **common,
        root=there,
        videos=[_manifest_entry(v, records[v.video_id]) for v in videos],
    )
    data = write(out / 'manifest.json', as_json(manifest))
    for split in SPLITS:
        own = [video for video in videos if video.split == split]
        results = [records[video.video_id].result for video in own]
        metainfo = Metainfo(
            origin=origins.get(split, UNSET),
            rates=rates_of([r.rate for r in results if r.rate]) or UNSET,
            source=parameters.source,
            store=options.store,
            size=options.size,
            stride=options.stride,
            filename_tmpl=options.filename_tmpl,
            classes=list(LABELS),
            manifest=hashlib.sha256(data).hexdigest(),
            root=there,
        )
        make: Callable[..., CropEntry | BoxEntry] = (
            _crop_entry if options.store == 'crops' else _box_entry
        )
        landmarks = options.landmarks != 'none'
        entries = [
            make(video, record, index, landmarks=landmarks)
            for video in own
            for record in [records[video.video_id]]
            for index, _ in enumerate(record.result.tracks or ())
        ]
        content = {'metainfo': metainfo, 'data_list': entries}
        write(out / f'{split}.json', as_json(content))


def _crop_entry(
    video: Video, record: VideoRecord, index: int, *, landmarks: bool
) -> CropEntry:
    """What is seen of a track, and where its crops are."""
    return CropEntry(
        **_seen(video, record, index, landmarks),
        frame_dir=f'frames/{video.video_id}/{index}',
    )


def _box_entry(
    video: Video, record: VideoRecord, index: int, *, landmarks: bool
) -> BoxEntry:
    """What is seen of a track, and where it is in the video."""
    tracks = record.result.tracks or []
    return BoxEntry(
        **_seen(video, record, index, landmarks),
        video=record.facts.path,
        member=video.member,
        square=tracks[index].square,
        distortions=format_distortions(video.distortions) or UNSET,
    )


def _seen(
    video: Video, record: VideoRecord, index: int, landmarks: bool
) -> dict[str, Any]:
    points = f'frames/{video.video_id}/{index}.landmarks.npy'
    track = (record.result.tracks or [])[index]
    return dict(
        video_id=video.video_id,
        track=index,
        start=track.start,
        num_frames=track.num_frames,
        label=video.label,
        method=video.method,
        original=video.original or UNSET,
        frames=track.frames,
        landmarks=points if landmarks else UNSET,
    )


def _manifest_entry(video: Video, record: VideoRecord) -> PreparedVideo:
    facts = structs.asdict(record.facts)
    stamp = facts.pop('stamps')['path']
    return PreparedVideo(
        video_id=video.video_id,
        split=video.split,
        method=video.method,
        label=video.label,
        people=list(video.people),
        bytes=stamp and stamp[0],
        **facts,
        **structs.asdict(record.result),
    )
