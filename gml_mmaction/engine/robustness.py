"""One detector tested on distorted videos: every type at every level.

For each cell of the sweep the target's test videos are prepared again: the
distortion is applied to the full frames, then the face is cut out where the
target's manifest says. So no face is detected again, and real and fake videos
are treated alike.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmengine.config import Config
from msgspec import structs
from tqdm import tqdm

from gml_mmaction.evaluation.robustness import (
    Cell,
    Origin,
    mean_scores,
    robustness_table,
)
from gml_mmaction.io.files import file_sha256, write_json, write_text
from gml_mmaction.io.records import UNSET, as_json, read_record
from gml_mmaction.io.text import counted
from gml_mmaction.prepared.manifest import Manifest, Report, read_manifest
from gml_mmaction.prepared.prepare import prepare_videos
from gml_mmaction.sources import Video
from gml_mmaction.video import is_video
from gml_mmaction.video.distortions import (
    BLOCKS_FROM,
    Distortion,
    format_distortions,
    parse_distortions,
)
from gml_mmaction.visualization.robustness import plot_robustness

from .cross_data import Target, TargetError, score_target

__all__ = [
    'Sweep',
    'blocks_note',
    'crops_note',
    'distorted_videos',
    'write_results',
]

NEEDED = ('source', 'root', 'store', 'max_frames')


@dataclasses.dataclass
class Sweep:
    """One detector, one target, one folder.

    Attributes:
        cfg: Of the detector, with the checkpoint in ``load_from`` and the
            cells' folder in ``work_dir``.
        target: Prepared without distortions.
        work_dir: Holds cells in ``cells/`` and, until they are tested, crops
            in ``crops/``.
        workers: Processes that prepare videos.
        keep: Whether to keep crops.

    Raises:
        TargetError: The target has no manifest or no test video.
    """

    cfg: Config
    target: Target
    work_dir: Path
    workers: int
    keep: bool

    def __post_init__(self) -> None:
        self.manifest = test_manifest(self.target.folder)

    @functools.cached_property
    def origin(self) -> Origin:
        """What a cell's number depends on, except its distortion."""
        cfg = self.cfg
        settings = {
            key: cfg[key]
            for key in ('model', 'test_dataloader', 'test_evaluator')
        }
        text = Config(settings).pretty_text
        return Origin(
            checkpoint=file_sha256(cfg.load_from) or cfg.load_from,
            manifest=file_sha256(self.target.folder / 'manifest.json'),
            settings=hashlib.sha256(text.encode()).hexdigest(),
        )

    @property
    def short_manifest(self) -> str:
        """The first digits of the hash of the target's manifest."""
        return (self.origin.manifest or 'unknown')[:12]

    def cells(
        self, types: Iterable[str], levels: Iterable[int]
    ) -> Iterator[Cell]:
        """Yield the cells as they are done, the clean one first."""
        yield self.cell()
        for kind, level in itertools.product(types, levels):
            yield self.cell((kind, level))

    def cell(self, *distortions: Distortion) -> Cell:
        """Read the cell of a distortion (or none) if done; else run it.

        Raises:
            TargetError: The target's videos cannot be prepared again.
        """
        name = format_distortions(distortions).replace(':', '_') or 'clean'
        path = self.work_dir / 'cells' / f'{name}.json'
        folder = self.work_dir / 'crops' / self.short_manifest / name
        cell = _read_cell(path)
        if cell is None or cell.origin != self.origin:
            cell = self.run(name, folder, distortions)
            write_json(path, as_json(cell))
        if not self.keep:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # other cells' crops are kept
                os.removedirs(folder.parent)
        return cell

    def run(
        self, name: str, folder: Path, distortions: tuple[Distortion, ...]
    ) -> Cell:
        """Prepare and test a cell; without a number its note says why."""
        kind, level = distortions[0] if distortions else ('clean', 0)
        if kind == 'BW' and (note := blocks_note(self.manifest)):
            return Cell(
                type=kind,
                level=level,
                origin=self.origin,
                metrics=None,
                note=note,
            )
        total = self.prepare(name, folder, distortions).total
        failed = total.expected - total.prepared
        return Cell(
            type=kind,
            level=level,
            origin=self.origin,
            metrics=score_target(self.cfg, Target(name, folder), {}),
            videos=total.prepared,
            note=f'{name}: {failed} of {total.expected} videos are left out: '
            'they could not be prepared'
            if failed
            else UNSET,
        )

    def prepare(
        self, name: str, folder: Path, distortions: tuple[Distortion, ...]
    ) -> Report:
        """Write distorted crops, cut where the manifest says.

        Returns:
            The report of ``prepare_videos``.

        Raises:
            TargetError: It is not possible; the message says why.
        """
        manifest = self.manifest
        videos = distorted_videos(manifest, self.target.folder, distortions)
        try:
            options = manifest.crop_options
            if options.store == 'boxes':  # no codec there: none here
                options = dataclasses.replace(
                    options, store='crops', image='png'
                )
            return prepare_videos(
                videos,
                folder,
                source=manifest.source or '',
                root=root_of(manifest, self.target.folder),
                source_options=manifest.source_options or {},
                options=options,
                max_frames={
                    split: limit
                    for split, limit in (manifest.max_frames or {}).items()
                    if limit is not None
                },
                workers=self.workers,
                tracks={
                    video.video_id: video.tracks or []
                    for video in manifest.videos
                },
                progress=functools.partial(
                    tqdm, desc=name, unit='video', leave=False
                ),
            )
        except ValueError as error:
            raise TargetError(f'{name}: {error}') from error


def test_manifest(folder: Path) -> Manifest:
    """Read a manifest with only its prepared test videos.

    Raises:
        TargetError: It is missing, or has no such video.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise TargetError(
            f'{folder}/manifest.json is missing. Remedy: prepare the '
            'target with gml prepare'
        )
    videos = [video for video in manifest.prepared('test') if video.tracks]
    if not videos:
        raise TargetError(
            f'{folder}/manifest.json has no prepared test video. Remedy: '
            'another target'
        )
    lacking = [name for name in NEEDED if getattr(manifest, name) is UNSET]
    lacking += [
        f'{name} of {video.video_id}'
        for video in videos
        for name in ('width', 'height')
        if not getattr(video, name)
    ]
    if lacking:
        raise TargetError(
            f'{folder}/manifest.json does not say how to prepare the '
            f'target again ({lacking[0]} is missing). Remedy: run gml '
            'prepare again'
        )
    return structs.replace(manifest, videos=videos)


def root_of(manifest: Manifest, folder: Path) -> Path:
    """The folder of the videos that were prepared in ``folder``."""
    return Path(os.path.realpath(folder), manifest.root or '').resolve()


def distorted_videos(
    manifest: Manifest, folder: Path, distortions: tuple[Distortion, ...]
) -> list[Video]:
    """The videos of a manifest, to be distorted.

    Distortions that a video already has in the clean preparation (the real
    videos of distorted fakes) come first.

    Raises:
        TargetError: Videos are not where the manifest says.
    """
    root = root_of(manifest, folder)
    videos = [
        Video(
            video_id=entry.video_id,
            path=root / entry.path,
            label=entry.label,
            method=entry.method,
            split=entry.split,
            people=tuple(entry.people or ()),
            member=entry.member or '',
            cropped=bool(entry.cropped),
            distortions=(
                *parse_distortions(entry.distortions or ''),
                *distortions,
            ),
        )
        for entry in manifest.videos
    ]
    missing = [video for video in videos if not is_video(video.path)]
    if missing:
        raise TargetError(
            f'{folder}/manifest.json: {len(missing)} of {len(videos)} '
            f'videos are missing, for instance {missing[0].path}. Remedy: '
            'put them back, or prepare the target again'
        )
    return videos


def blocks_note(manifest: Manifest) -> str:
    """Say how many videos are too small for type BW; '' if none is."""
    videos = manifest.videos
    small = sum(min(v.width or 0, v.height or 0) < BLOCKS_FROM for v in videos)
    if not small:
        return ''
    return (
        f'BW: no number: {small} of {len(videos)} test videos have a '
        f'shorter side below {BLOCKS_FROM} pixels, and BW does nothing to '
        'them'
    )


def crops_note(manifest: Manifest) -> list[str]:
    """Say how many videos came as face crops, which are then distorted."""
    videos = manifest.videos
    crops = sum(bool(video.cropped) for video in videos)
    if not crops:
        return []
    return [
        f'{crops} of {len(videos)} test videos come as face crops: these '
        'were distorted, not full frames'
    ]


def _read_cell(path: Path) -> Cell | None:
    if not path.is_file():
        return None
    return read_record(
        path,
        Cell,
        what='cell of a sweep',
        remedy='remove it, and the same command goes on',
    )


def write_results(sweep: Sweep, clean: Cell, cells: list[Cell]) -> str:
    """Write ``robustness.{json,md,png}``; return the table."""
    cfg, target, work_dir = sweep.cfg, sweep.target, sweep.work_dir
    table = robustness_table(
        clean,
        cells,
        [
            f'{cfg.filename}, {cfg.load_from} '
            f'(sha256 {(file_sha256(cfg.load_from) or "unknown")[:12]})',
            f'{target.name}: '
            f'{counted(len(sweep.manifest.videos), "test video")}, '
            f'manifest {sweep.short_manifest}, {target.folder}',
            *crops_note(sweep.manifest),
        ],
    )
    report = {
        'config': str(cfg.filename),
        'checkpoint': str(cfg.load_from),
        'target': target.name,
        'folder': target.folder.as_posix(),
        'origin': as_json(sweep.origin),
        'parameters': sweep.manifest.parameters,
        'means': mean_scores(cells),
        'clean': as_json(clean),
        'cells': as_json(cells),
    }
    write_json(work_dir / 'robustness.json', report)
    write_text(work_dir / 'robustness.md', table)
    title = f'{Path(cfg.filename).stem} on {target.name}'
    plot_robustness(clean, cells, work_dir / 'robustness.png', title)
    return table
