"""DeepFake Detection Challenge (DFDC), the full set.

    ROOT/test/labels.csv                    filename,label with 1 = fake
    ROOT/test/<name>.mp4
    ROOT/train/dfdc_train_part_N/metadata.json       {"<name>.mp4":
        {"label": "REAL" or "FAKE", "original": "<name>.mp4"}, ...}
    ROOT/train/dfdc_train_part_N/<name>.mp4

The download is at ai.meta.com/datasets/dfdc. The level ``train`` may be
absent, ``labels.csv`` may be in ROOT, and videos in a folder ``videos``
beside their list.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from gml_mmaction.errors import DataError
from gml_mmaction.io.files import read_json
from gml_mmaction.video.folders import (
    check_folder,
    check_listed,
    is_well_named,
    leave_out,
    locate,
    read_rows,
    video_files,
)

from . import Video, register_source

__all__ = ['list_videos']

_LABELS = ('REAL', 'FAKE')


def _notes(videos: Sequence[Video]) -> list[str]:
    return [
        'no official validation set; the forgery methods are not known',
        'LipForensics and RealForensics test on 3215 of its test videos, '
        'others on all: compare numbers with care',
    ]


@register_source('dfdc', notes=_notes)
def list_videos(root: str | Path, *, train: bool = True) -> list[Video]:
    """List the test videos and those of the training parts that are there.

    Args:
        root: Folder of ``test`` and ``train``, of which one may be absent.
        train: Whether to list the training parts; without, only the test
            set.

    Returns:
        Training parts by number, then test, each in its list's order. In
        training a fake names its original as what is seen, ``dfdc/<name>``;
        people are not given.

    Raises:
        DataError: No such folder; no list in it; a list is malformed.
    """
    root = check_folder(root)
    videos = []
    for path in _find_parts(root) if train else []:
        videos += _read_metadata(path)
    labels = [root / 'test' / 'labels.csv', root / 'labels.csv']
    for path in [path for path in labels if path.is_file()][:1]:
        videos += _read_labels(path)
    if not videos:
        raise DataError(
            f'{root}: no such data set. Remedy: a folder with '
            'test/labels.csv or train/dfdc_train_part_N/metadata.json'
        )
    return videos


def _find_parts(root: Path) -> list[Path]:
    pattern = 'dfdc_train_part_*/metadata.json'
    found = [
        path
        for path in (*root.glob(f'train/{pattern}'), *root.glob(pattern))
        if is_well_named(path.relative_to(root), root)
    ]
    parts = PurePath(pattern).parent
    for folder in {*root.glob(f'train/{parts}'), *root.glob(f'{parts}')}:
        if not (folder / 'metadata.json').is_file() and folder.is_dir():
            leave_out(
                folder,
                'training part',
                'without metadata.json, which has the labels of its videos '
                '(it is in the archive of each part)',
            )
    return sorted(found, key=lambda path: _numbers(path.parent.name))


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', name)]


def _read_metadata(path: Path) -> list[Video]:
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise DataError(
            f'{path}: expected {{"x.mp4": {{"label": ...}}}}. Remedy: the '
            "data set's own file"
        )
    videos = []
    for file in video_files(path.parent):
        if file.name not in entries:
            leave_out(file, 'video', 'not in the metadata.json beside it')
    for name, entry in entries.items():
        entry = entry if isinstance(entry, dict) else {}
        label = entry.get('label')
        if not check_listed(name, path):
            continue
        if label not in [*_LABELS]:
            raise DataError(
                f'{path}: {name} has the label {label!r:.60}. Remedy: REAL '
                "or FAKE, as in the data set's own file"
            )
        seen = entry.get('original') or name
        seen = Path(seen if check_listed(seen, path) else name).stem
        videos.append(
            _video(
                f'train/{path.parent.name}/{Path(name).stem}',
                locate(path.parent, name),
                _LABELS.index(label),
                people=(f'dfdc/{seen}',),
                original=(
                    f'train/{path.parent.name}/{seen}'
                    if seen != Path(name).stem
                    else ''
                ),
            )
        )
    return videos


def _read_labels(path: Path) -> list[Video]:
    videos = []
    for line, row in read_rows(path):
        name, label = row.get('filename'), row.get('label')
        if not name or label not in ('0', '1'):
            raise DataError(
                f'{path}, line {line}: expected the columns filename and '
                "label, which is 0 or 1. Remedy: the data set's own file"
            )
        if check_listed(name, path):
            videos.append(
                _video(
                    f'test/{Path(name).stem}',
                    locate(path.parent, name),
                    int(label),
                )
            )
    return videos


def _video(
    name: str,
    path: Path,
    label: int,
    *,
    people: tuple[str, ...] = (),
    original: str = '',
) -> Video:
    return Video(
        video_id=name,
        path=path,
        label=label,
        method='fake' if label else 'real',
        split=name.split('/')[0],
        people=people,
        original=original,
    )
