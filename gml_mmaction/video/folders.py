"""Which files in a data set's folder are its videos.

Official trees and those of other projects differ mainly in one thing:
DeepfakeBench and SelfBlendedImages put the files in a folder ``videos``. This
module reads both, and a video has the same name in both.
"""

import csv
import io
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from gml_mmaction.errors import DataError
from gml_mmaction.io.files import read_text
from gml_mmaction.io.rules import is_place
from gml_mmaction.io.text import counted, printable

from .files import VIDEO_SUFFIXES, is_image

__all__ = [
    'check_folder',
    'check_listed',
    'image_folders',
    'is_well_named',
    'leave_out',
    'locate',
    'note_unread',
    'noted',
    'read_lines',
    'read_rows',
    'video_files',
    'video_id',
]

OWN_LIST = "the data set's own list"
T = TypeVar('T')
_LEVELS = {'videos', 'frames'}
_NAMED = 3  # examples in a note
_LEFT_OUT: ContextVar[dict[tuple[str, str], set[Path]] | None] = ContextVar(
    'left_out', default=None
)
_LOCALE = '; the locale is not UTF-8 either: set PYTHONUTF8=1)'
_NAME = 'not in UTF-8, with control characters or too long (to be renamed' + (
    ')' if sys.getfilesystemencoding() == 'utf-8' else _LOCALE
)
_LINK = (
    'leading out of the data set, not followed (copy the files into the '
    'data set)'
)


@contextmanager
def noted(root: str | Path) -> Iterator[list[str]]:
    """Collect notes on what sources leave out within the block.

    Args:
        root: Where names in a note start.

    Yields:
        A list; when the block ends it holds the notes, one line per reason.
    """
    notes: list[str] = []
    left_out: dict[tuple[str, str], set[Path]] = {}
    token = _LEFT_OUT.set(left_out)
    try:
        yield notes
        for (noun, reason), paths in sorted(left_out.items()):
            some = _some(paths, Path(root))
            notes.append(f'{counted(len(paths), noun)} {reason}: {some}')
    finally:
        _LEFT_OUT.reset(token)


def leave_out(path: Path, noun: str, reason: str) -> None:
    """Note that a source does not read a path.

    Args:
        path: The file, folder or link.
        noun: What it is, as a noun to be counted: 'file'.
        reason: Why, to be written after one or many: 'not in the list'.
    """
    left_out = _LEFT_OUT.get()
    if left_out is not None:
        left_out.setdefault((noun, reason), set()).add(path)


def is_well_named(name: PurePath, where: Path) -> bool:
    """Whether crops may have this name; notes names that they may not have.

    File names may be any bytes; lists, records and reports are text.

    Args:
        name: Of a file or folder, relative to ``where``. The suffix of a
            video does not count, as crops do not have it.
        where: The folder.
    """
    video = name.suffix.lower() in VIDEO_SUFFIXES
    text = str(name.with_suffix('') if video else name)
    # an id is longer: folders of the data set before it, a suffix behind it
    if is_place(text + 10 * '_') and len(text.encode()) <= 1800:
        return True
    leave_out(where / name, 'name', _NAME)
    return False


def _some(paths: set[Path], root: Path) -> str:
    names = [
        printable(p.relative_to(root) if p.is_relative_to(root) else p)[:99]
        for p in sorted(paths)
    ]
    return ', '.join(names[:_NAMED]) + (', ...' if names[_NAMED:] else '')


def check_folder(root: str | Path) -> Path:
    """Return ``root`` as a path.

    Raises:
        DataError: There is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f'{root}: no such folder. Remedy: the folder of the data set'
        )
    return root


def check_listed(name: str, where: Path) -> bool:
    """Whether a file named in a list can be read; notes it if it cannot.

    Args:
        name: What the list says.
        where: The list.

    Raises:
        DataError: It points outside the data set's folder, or is not a
            path.
    """
    path = PurePosixPath(name if isinstance(name, str) else '/')
    if path.is_absolute() or '..' in path.parts or not path.parts:
        raise DataError(
            f'{where}: {name!r:.80} is not a path within the folder of the '
            f'data set. Remedy: {OWN_LIST}'
        )
    return is_well_named(path, where.parent)


def read_lines(
    path: Path, read: Callable[[str], T]
) -> tuple[list[T], list[str]]:
    """Read a list line by line; a line that cannot be read is noted.

    Args:
        path: The list; blank lines in it do not count.
        read: Returns the value of a line, or raises ValueError.

    Returns:
        The values of the lines, and the lines that are left out.

    Raises:
        DataError: No line can be read; the message says why for the first.
    """
    found: list[T] = []
    odd: dict[str, DataError] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            found += [read(line)] if line.strip() else []
        except ValueError as error:
            where = f'{path}, line {number}'
            odd.setdefault(
                line, DataError(f'{where}: {error}. Remedy: {OWN_LIST}')
            )
            name = f'{path.name}, line {number}: {line.strip():.40}'
            leave_out(path.parent / name, 'line', 'that cannot be read')
    if odd and not found:
        raise next(iter(odd.values()))
    return found, [*odd]


def read_rows(
    path: Path, columns: Collection[str] = (), *, whole: str = OWN_LIST
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV with a first line of names, row by row.

    Args:
        path: The list.
        columns: Names that it must have.
        whole: What to put in its place if it is another file.

    Yields:
        The number of the row's last line, and its values by column; ``''``
        where the row is too short.

    Raises:
        DataError: It is not a CSV file, or lacks a column.
    """
    rows = csv.DictReader(io.StringIO(read_text(path), newline=''), restval='')
    try:
        missing = [c for c in columns if c not in (rows.fieldnames or ())]
        if missing:
            found = printable(','.join(rows.fieldnames or ()))
            raise DataError(
                f'{path}: no column {missing[0]!r} in its first line '
                f'({found or "which is empty"!s:.80}). Remedy: {whole} with '
                f'the first line {",".join(columns)}'
            )
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(
            f'{path}: not a CSV file ({error}). Remedy: {whole}'
        ) from None


def video_files(folder: Path) -> list[Path]:
    """List the video files below ``folder``, sorted.

    Links that point outside ``folder`` and names that are not text are left
    out and noted. Names that begin with a dot are left out too: on some disks
    each ``x.mp4`` has a ``._x.mp4`` that is not a video.
    """
    return sorted(
        path / name
        for path, names in _walk(folder)
        for name in names
        if PurePath(name).suffix.lower() in VIDEO_SUFFIXES
        and not name.startswith('.')
    )


def note_unread(folder: Path, read: Collection[Path], reason: str) -> None:
    """Note the files below a folder that are not among those read.

    Names that begin with a dot do not count.
    """
    for path, names in _walk(folder):
        for name in names:
            if not name.startswith('.') and path / name not in read:
                leave_out(path / name, 'file', reason)


def image_folders(folder: Path) -> list[Path]:
    """List the folders with an image in them, from ``folder`` down, sorted.

    Folders named ``masks`` are left out.
    """
    return sorted(
        path for path, names in _walk(folder) if any(map(is_image, names))
    )


def video_id(path: PurePath, *, root: PurePath) -> str:
    """Name a file by its path below ``root``.

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
    if _leads_above(folder):
        leave_out(folder, 'link', _LINK)
        return
    top = os.path.realpath(folder)
    for path, folders, names in os.walk(folder, followlinks=True):
        place = Path(path)
        inside = place.relative_to(folder)

        def reads(
            name: str, place: Path = place, inside: Path = inside
        ) -> bool:
            return (
                name.startswith('.') or is_well_named(inside / name, folder)
            ) and _stays(place / name, top)

        folders[:] = [
            name
            for name in folders
            if name != 'masks'
            and not name.startswith('.')
            and reads(name)
            and not _leads_above(place / name)
        ]
        yield place, [name for name in names if reads(name)]


def _stays(path: Path, top: str) -> bool:
    """Whether a path stays in ``top``; notes links that lead out of it."""
    if not path.is_symlink():
        return True
    if Path(os.path.realpath(path)).is_relative_to(top):
        return True
    leave_out(path, 'link', _LINK)
    return False


def _leads_above(path: Path) -> bool:
    """Whether a folder is a link to a folder that contains it."""
    if not path.is_symlink():
        return False
    place = Path(os.path.realpath(path.parent))
    return place.is_relative_to(os.path.realpath(path))
