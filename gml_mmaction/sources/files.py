"""Which files of a data set's folder are its videos.

Official trees and their users' differ in one thing above all: DeepfakeBench
and SelfBlendedImages put a folder ``videos`` around the files. What is here
reads both, and names a video the same in both.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from gml_mmaction.fields import is_place
from gml_mmaction.video.files import VIDEO_SUFFIXES, is_image

__all__ = [
    'check_folder',
    'check_listed',
    'image_folders',
    'locate',
    'video_files',
    'video_id',
]

_LEVELS = {'videos', 'frames'}


def check_folder(root: str | Path) -> Path:
    """Return ``root`` as a path.

    Raises:
        ValueError: There is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f'{root}: no such folder')
    return root


def check_listed(name: str, where: str | Path) -> str:
    """Return the path of a file as a list has it.

    Args:
        name: What the list says.
        where: The list, for the message.

    Raises:
        ValueError: It leads out of the data set's folder, or is no path.
    """
    if not is_place(name):
        raise ValueError(
            f'{where}: {name!r:.80} is no path below the folder of the data '
            "set; take the data set's own list"
        )
    return name


def video_files(folder: Path) -> list[Path]:
    """List the video files below ``folder``, sorted.

    Links are followed. Names that begin with a dot are left out: on some
    disks each ``x.mp4`` has a ``._x.mp4`` that is none.
    """
    return sorted(
        path / name
        for path, names in _walk(folder)
        for name in names
        if PurePath(name).suffix.lower() in VIDEO_SUFFIXES
        and not name.startswith('.')
    )


def image_folders(folder: Path) -> list[Path]:
    """List the folders, ``folder`` or below, with an image in them, sorted.

    Folders of ``masks`` are left out.
    """
    return sorted(
        path for path, names in _walk(folder) if any(map(is_image, names))
    )


def video_id(path: PurePath, *, root: PurePath) -> str:
    """Name a file by its place below ``root``.

    Returns:
        POSIX path without suffix of a video file, and without the levels
        ``videos`` and ``frames``.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        path = path.with_suffix('')
    *folders, name = path.relative_to(root).parts
    return '/'.join([*(f for f in folders if f not in _LEVELS), name])


def locate(folder: Path, name: str) -> Path:
    """Return ``folder/name``, or ``folder/videos/name`` if only that exists.

    Args:
        folder: Where the official tree has the file.
        name: Relative to it; may be a path.
    """
    official, moved = folder / name, folder / 'videos' / name
    return moved if moved.exists() and not official.exists() else official


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for path, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [
            name
            for name in folders
            if name != 'masks'
            and not name.startswith('.')
            and not _leads_back(os.path.join(path, name), folder)
        ]
        yield Path(path), names


def _leads_back(path: str, folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in, below ``folder``."""
    if not os.path.islink(path):
        return False
    above = [p for p in Path(path).parents if p.is_relative_to(folder)]
    return os.path.realpath(path) in map(os.path.realpath, above)
