"""Any folder of real and fake videos.

    ROOT/real/<...>/<name>.mp4
    ROOT/fake/<...>/<name>.mp4             all for testing
or
    ROOT/{train,val,test}/real/<...>/<name>.mp4
    ROOT/{train,val,test}/fake/<...>/<name>.mp4
or, of genuine videos alone and with ``val_fraction``, for training and
validation
    ROOT/real/<person>/<...>/<name>.mp4
    ROOT/<person>/<...>/<name>.mp4

``fake/<method>/<...>`` names the method. ``ROOT/pairs.csv``, which may be
there, says of which real a fake was made, paths below ROOT:

    file,original
    fake/swap/a_b.mp4,real/a.mp4

Suffixes are those of
:data:`~.files.VIDEO_SUFFIXES`. Links that lead out of ``real`` or ``fake`` are
not followed: a fake must not be among the reals.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.text import counted
from gml_mmaction.video.distortions import seed_of
from gml_mmaction.video.folders import (
    check_folder,
    note_unread,
    read_rows,
    video_files,
)

from . import LABELS, SPLITS, Video, register_source

__all__ = ['PAIRS', 'list_videos']

PAIRS = 'pairs.csv'


def _notes(videos: Sequence[Video]) -> list[str]:
    who = 'who is seen is unknown'
    if any(video.people for video in videos):
        who = 'each folder, and each video beside it, counts as a person'
    notes = [f'{who}: make sure that nobody is in two splits']
    for split in SPLITS:
        labels = {video.label for video in videos if video.split == split}
        if labels == {1}:
            notes.append(f'{split}: only fake, no real, so no AUC')
        elif labels == {0}:
            notes.append(
                f'{split}: only real, no fake, so no AUC; pseudo-fakes may be '
                'made of them (configs/genuine)'
            )
    return notes


@register_source('folder', notes=_notes)
def list_videos(
    root: str | Path, *, val_fraction: float | None = None
) -> list[Video]:
    """List the videos that are there.

    Args:
        root: Folder of ``real`` and ``fake``, or of ``train``, ``val`` and
            ``test`` with these in them; of either, some may be absent.
        val_fraction: Of genuine videos alone, in ``real`` or, where none of
            the folders above has videos, anywhere: this share of the people,
            0 to 1, is for validation, and the others for training. A person
            is a folder in ``real`` or in the root, or a video there.

    Returns:
        Train, val and test; reals before fakes. The method of a fake is the
        first folder below ``fake``, ``fake`` if there is none.

    Raises:
        DataError: No such folder; no video in it; both layouts in one; a
            ``pairs.csv`` that names other files than a fake and a real.
        SettingError: A fraction where there are fakes, or splits, or that
            leaves nobody to train on.
    """
    root = check_folder(root)
    flat = _list_layout(root, {'': 'test'})
    divided = _list_layout(root, {split: split for split in SPLITS})
    if flat and divided:
        raise DataError(
            f'{root}: videos in real or fake, and in train, val or test as '
            'well. Remedy: one of the two'
        )
    plain = val_fraction is not None and not flat and not divided
    if plain:
        flat = [
            _video(root, path, 0, 'real', 'test') for path in _list_files(root)
        ]
    if not flat and not divided:
        where = 'videos in real and fake, nor in train, val and test'
        where = 'videos' if plain else where
        raise DataError(f'{root}: no {where}. Remedy: put them there')
    videos = _pair(root, _tell_apart(flat or divided))
    if val_fraction is None:
        return videos
    if divided or any(video.label for video in videos):
        raise SettingError(
            f'val_fraction={val_fraction}: {root} has more than a folder '
            'real. Remedy: leave it out, or take fake, train, val and test '
            'away'
        )
    return _divide(root if plain else root / 'real', videos, val_fraction)


def _pair(root: Path, videos: list[Video]) -> list[Video]:
    """Give fakes their originals, as far as there is a list of them."""
    table = root / PAIRS
    if not table.is_file():
        return videos
    ids = {video.path: video.video_id for video in videos}
    reals = {video.path for video in videos if not video.label}
    originals: dict[Path, str] = {}
    for line, fake, original in _read_pairs(table):
        if fake not in ids or fake in reals or original not in reals:
            raise DataError(
                f'{table}, line {line}: no fake and its real in {root}. '
                'Remedy: file is the path of a fake below it, original that '
                'of a real'
            )
        if originals.setdefault(fake, ids[original]) != ids[original]:
            raise DataError(
                f'{table}, line {line}: another original of a fake than in a '
                'line before. Remedy: leave one of them out'
            )
    return [
        replace(video, original=originals.get(video.path, ''))
        for video in videos
    ]


def _read_pairs(table: Path) -> Iterator[tuple[int, Path, Path]]:
    """Number of the line, the fake's path, the real's."""
    columns = ('file', 'original')
    for line, row in read_rows(table, columns, whole='a CSV file'):
        fake, original = (
            table.parent / PurePosixPath(row[name])
            for name in ('file', 'original')
        )
        yield line, fake, original


def _divide(folder: Path, videos: list[Video], share: float) -> list[Video]:
    """Give a share of the people to validation, the others to training.

    Who that is follows from the names, so that a video more changes little.
    """
    names = [_person(video.path.relative_to(folder)) for video in videos]
    people = sorted({*names}, key=seed_of)
    count = max(1, round(share * len(people)))
    if not 0 < share < 1 or count >= len(people):
        raise SettingError(
            f'val_fraction={share}: of {counted(len(people), "folder")} in '
            f'{folder}, {count} would be for validation. Remedy: '
            'another fraction, or more people'
        )
    chosen = {*people[:count]}
    divided = [
        replace(
            video,
            split='val' if name in chosen else 'train',
            people=(f'folder/{name}',),
        )
        for video, name in zip(videos, names, strict=True)
    ]
    return sorted(divided, key=lambda video: SPLITS.index(video.split))


def _person(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else path.stem


def _list_layout(root: Path, splits: Mapping[str, str]) -> list[Video]:
    return [
        _video(root, path, label, _method(path.relative_to(root / at)), split)
        for at, split in splits.items()
        for name, label in LABELS.items()
        for path in _list_files(root / at / name)
    ]


def _video(
    root: Path, path: Path, label: int, method: str, split: str
) -> Video:
    return Video(
        video_id=path.relative_to(root).with_suffix('').as_posix(),
        path=path,
        label=label,
        method=method,
        split=split,
    )


def _list_files(folder: Path) -> list[Path]:
    files = video_files(folder)
    note_unread(folder, {*files}, 'without the name of a video')
    return files


def _method(path: Path) -> str:
    """Name the method of ``fake/<method>/<...>`` or ``fake/<name>.mp4``."""
    name, *folders = path.parts[:-1]
    return folders[0] if name == 'fake' and folders else name


def _tell_apart(videos: list[Video]) -> list[Video]:
    """Add the suffix, ``x_avi``, to ids of files that share all but it."""
    count = Counter(video.video_id for video in videos)
    return [
        replace(video, video_id=f'{video.video_id}_{video.path.suffix[1:]}')
        if count[video.video_id] > 1
        else video
        for video in videos
    ]
