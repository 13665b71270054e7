"""Test a detector on distorted videos: every type at every level.

For each cell of the sweep the target's test videos are prepared anew: the
distortion is applied to the full frames, then the face is cut out at the
place that the target's manifest names, so that nothing is detected again and
real and fake videos are treated alike. The crops are deleted after the test.
Stopped, the same command goes on with the next cell.

Example:
    python tools/robustness.py configs/gml_xception_ffpp.py best.pth \
        --target ffpp --workers 8

Ends with robustness.md, robustness.json and robustness.png. The distortions
are DeeperForensics-1.0's; Haliassos et al., "Lips Don't Lie", sweep over them
on FaceForensics++ in this way.
"""

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from tqdm import tqdm
from train import one_line_errors, read_config

from gml_mmaction.distortions import (
    LEVELS,
    Distortion,
    format_distortions,
    parse_distortions,
)
from gml_mmaction.evaluation.cross_data import (
    Target,
    TargetError,
    file_sha256,
    find_target,
    read_manifest,
    score_target,
)
from gml_mmaction.evaluation.scores_file import write_json, write_text
from gml_mmaction.faces import CropOptions, prepare_videos
from gml_mmaction.sources import Video
from gml_mmaction.visualization.robustness import (
    mean_scores,
    plot_robustness,
    robustness_table,
)

BLOCKS_FROM = 256  # shorter side in pixels; type BW adds no block below


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Test a detector on distorted videos.'
    )
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file or URL')
    add(
        '--target',
        required=True,
        metavar='NAME[=FOLDER]',
        help='prepared data set whose test videos to distort; NAME alone is '
        'data/NAME',
    )
    add(
        '--types',
        nargs='+',
        choices=list(LEVELS),
        default=list(LEVELS),
        help='types of distortion; all if not given',
    )
    add(
        '--levels',
        nargs='+',
        type=int,
        choices=range(1, 6),
        default=list(range(1, 6)),
        help='levels; all if not given',
    )
    add(
        '--work-dir',
        help='folder to write; ./work_dirs/<config name>/robustness_<target> '
        'if not given',
    )
    add(
        '--workers',
        type=int,
        default=os.cpu_count(),
        help='processes that prepare videos',
    )
    add('--keep', action='store_true', help='do not delete the crops')
    add(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    parser.set_defaults(launcher='none', local_rank=0)
    return parser.parse_args(argv)


@dataclasses.dataclass
class Sweep:
    """One detector, one target, one folder.

    Attributes:
        cfg: Of the detector, with the checkpoint in ``load_from``.
        target: Prepared clean.
        work_dir: Cells lie in ``cells/``, crops for a while in ``crops/``.
        workers: Processes that prepare videos.
        keep: Whether crops stay.
    """

    cfg: Config
    target: Target
    work_dir: Path
    workers: int
    keep: bool

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        """The target's, with the entries of its prepared test videos."""
        manifest = read_manifest(self.target.folder)
        if manifest is None:
            raise TargetError(
                f'{self.target.folder}/manifest.json is not there: prepare '
                'the target with tools/prepare_data.py'
            )
        return manifest | {
            'videos': [
                video
                for video in manifest['videos']
                if video['split'] == 'test' and video.get('tracks')
            ]
        }

    @functools.cached_property
    def origin(self) -> dict[str, Any]:
        """What a cell's number depends on, but for its distortion."""
        cfg = self.cfg
        settings = {
            key: cfg[key]
            for key in ('model', 'test_dataloader', 'test_evaluator')
        }
        text = Config(settings).pretty_text
        return {
            'checkpoint': file_sha256(cfg.load_from) or cfg.load_from,
            'manifest': file_sha256(self.target.folder / 'manifest.json'),
            'settings': hashlib.sha256(text.encode()).hexdigest(),
        }

    def cell(self, *distortions: Distortion) -> dict[str, Any]:
        """Read the cell of a distortion, or none, if done; else run it."""
        name = format_distortions(distortions).replace(':', '_') or 'clean'
        path = self.work_dir / 'cells' / f'{name}.json'
        folder = self.work_dir / 'crops' / self.origin['manifest'][:12] / name
        cell = _read_cell(path)
        if cell.get('origin') != self.origin:
            kind, level = distortions[0] if distortions else ('clean', 0)
            cell = {'type': kind, 'level': level, 'origin': self.origin}
            cell |= self.run(name, folder, distortions)
            write_json(path, cell)
        if not self.keep:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # other cells' crops are kept
                os.removedirs(folder.parent)
        return cell

    def run(
        self, name: str, folder: Path, distortions: tuple[Distortion, ...]
    ) -> dict[str, Any]:
        """Prepare and test a cell.

        Returns:
            ``metrics`` and, where there is something to say, a ``note``;
            without a number ``metrics`` is None and the note says why.
        """
        if any(kind == 'BW' for kind, _ in distortions) and (
            note := blocks_note(self.manifest)
        ):
            return {'metrics': None, 'note': note}
        options = {
            field.name: self.manifest[field.name]
            for field in dataclasses.fields(CropOptions)
            if field.name in self.manifest
        }
        if options['store'] == 'boxes':  # no codec there: none here
            options |= {'store': 'crops', 'image': 'png'}
        report = prepare_videos(
            distorted_videos(self.manifest, self.target.folder, distortions),
            folder,
            source=self.manifest['source'],
            root=root_of(self.manifest, self.target.folder),
            options=CropOptions(**options),
            max_frames={
                split: limit
                for split, limit in self.manifest['max_frames'].items()
                if limit is not None
            },
            workers=self.workers,
            tracks={
                video['video_id']: video['tracks']
                for video in self.manifest['videos']
            },
            progress=functools.partial(
                tqdm, desc=name, unit='video', leave=False
            ),
        )
        total = report['total']
        metrics = score_target(self.cfg, Target(name, folder), {})
        cell = {'metrics': metrics, 'videos': total['prepared']}
        if total['prepared'] < total['expected']:
            failed = total['expected'] - total['prepared']
            cell['note'] = (
                f'{name}: without {failed} of {total["expected"]} videos, '
                'which could not be prepared'
            )
        return cell


def root_of(manifest: Mapping, folder: Path) -> Path:
    """The folder of the videos that were prepared in ``folder``."""
    return Path(os.path.realpath(folder), manifest['root']).resolve()


def distorted_videos(
    manifest: Mapping, folder: Path, distortions: tuple[Distortion, ...]
) -> list[Video]:
    """The videos of a manifest, to undergo distortions.

    What a video undergoes in the clean preparation already (the real videos
    of distorted fakes) comes first.

    Raises:
        TargetError: Videos are no longer where the manifest says.
    """
    root = root_of(manifest, folder)
    videos = [
        Video(
            video_id=entry['video_id'],
            path=root / entry['path'],
            label=entry['label'],
            method=entry['method'],
            split=entry['split'],
            people=tuple(entry.get('people', ())),
            member=entry.get('member', ''),
            cropped=entry.get('cropped', False),
            distortions=(
                *parse_distortions(entry.get('distortions') or ''),
                *distortions,
            ),
        )
        for entry in manifest['videos']
    ]
    missing = [video for video in videos if not video.exists]
    if missing:
        raise TargetError(
            f'{len(missing)} of {len(videos)} videos are not there, e.g. '
            f'{missing[0].path}: put them back, or prepare the target anew'
        )
    return videos


def blocks_note(manifest: Mapping) -> str:
    """Say how many videos are too small for type BW; '' if none is."""
    videos = manifest['videos']
    small = sum(min(v['width'], v['height']) < BLOCKS_FROM for v in videos)
    if not small:
        return ''
    return (
        f'BW: no number, for {small} of {len(videos)} test videos have a '
        f'shorter side below {BLOCKS_FROM} pixels, where it adds no block'
    )


def crops_note(manifest: Mapping) -> list[str]:
    """Say how many videos came as face crops, which are then distorted."""
    videos = manifest['videos']
    crops = sum(video.get('cropped', False) for video in videos)
    if not crops:
        return []
    return [
        f'{crops} of {len(videos)} test videos come as face crops: these '
        'were distorted, not full frames'
    ]


def _read_cell(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding='utf-8'))


def write_results(sweep: Sweep, clean: dict, cells: list[dict]) -> str:
    """Write ``robustness.{json,md,png}``; return the table."""
    cfg, target, work_dir = sweep.cfg, sweep.target, sweep.work_dir
    origin = sweep.origin
    table = robustness_table(
        clean,
        cells,
        [
            f'{cfg.filename}, {cfg.load_from} '
            f'(sha256 {(file_sha256(cfg.load_from) or "unknown")[:12]})',
            f'{target.name}: {len(sweep.manifest["videos"])} test videos, '
            f'manifest {origin["manifest"][:12]}, {target.folder}',
            *crops_note(sweep.manifest),
        ],
    )
    report = {
        'config': str(cfg.filename),
        'checkpoint': str(cfg.load_from),
        'target': target.name,
        'folder': target.folder.as_posix(),
        'origin': origin,
        'parameters': {
            key: value
            for key, value in sweep.manifest.items()
            if key != 'videos'
        },
        'means': mean_scores(cells),
        'clean': clean,
        'cells': cells,
    }
    write_json(work_dir / 'robustness.json', report)
    write_text(work_dir / 'robustness.md', table)
    title = f'{Path(cfg.filename).stem} on {target.name}'
    plot_robustness(clean, cells, work_dir / 'robustness.png', title)
    return table


def main(argv: list[str] | None = None) -> int:
    """Run the sweep and print the table; return 0, 130 if stopped."""
    args = parse_args(argv)
    try:
        with one_line_errors():
            run_sweep(args)
    except KeyboardInterrupt:
        print('stopped; the same command goes on from here', file=sys.stderr)
        return 130
    return 0


def run_sweep(args: argparse.Namespace) -> None:
    """Go through the cells, the clean one first."""
    target = find_target(args.target)
    cfg = read_config(args)
    work_dir = Path(cfg.work_dir)
    if args.work_dir is None:
        work_dir /= f'robustness_{target.name}'
    cfg.work_dir = str(work_dir / 'cells')
    cfg.load_from = args.checkpoint
    cfg.log_level = 'WARNING'  # 36 runs would bury the table
    sweep = Sweep(cfg, target, work_dir, args.workers, args.keep)
    clean = sweep.cell()
    print_cell(clean)
    cells = []
    for kind in args.types:
        for level in args.levels:
            cells.append(sweep.cell((kind, level)))
            print_cell(cells[-1])
    table = write_results(sweep, clean, cells)
    print(f'\n{table}- table, plot and cells are in {work_dir}')


def print_cell(cell: Mapping) -> None:
    """One line as soon as a cell is done."""
    auc = (cell['metrics'] or {}).get('video/auc')
    text = '-' if auc is None else f'{auc:.4f}'
    print(f'{cell["type"]:>5} {cell["level"]}  video AUC {text}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
