"""What a tree of videos is made of, where it is no data set of anybody's.

Made-up trees have the official names, so that all takes them for the real
ones. ``origin.json`` in such a tree says, by split, what its videos are. It
is read where data are prepared, and goes with them from then on.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from gml_mmaction.io.fields import OBJECT, TEXT, check_fields
from gml_mmaction.io.files import FileError, read_json, write_json

from . import SPLITS, Video

__all__ = [
    'ORIGIN',
    'copy_origin',
    'origin_words',
    'read_origins',
    'write_origin',
]

ORIGIN = 'origin.json'


def write_origin(root: str | Path, words: Mapping[str, str]) -> None:
    """Write into a tree what its videos are.

    Args:
        root: The tree.
        words: By split, to follow 'trained on'.
    """
    write_json(Path(root, ORIGIN), {'origin': dict(words)})


def copy_origin(tree: str | Path, out: str | Path) -> None:
    """Let a tree that is made of another one say the same, if it does."""
    path = _find(Path(tree).absolute())
    if path is not None and path.parent != Path(out).absolute():
        Path(out).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, Path(out, ORIGIN))


def origin_words(tree: str | Path) -> str:
    """Say what the videos of a tree are, if it does; else ``''``.

    Raises:
        FileError: As :func:`read_origins`.
    """
    path = _find(Path(tree).absolute())
    return '' if path is None else _join(set(_read(path).values()))


def read_origins(videos: Iterable[Video]) -> dict[str, str]:
    """Say by split what videos are, if the trees that hold them do.

    Raises:
        FileError: A file ``origin.json`` above them is none of these.
    """
    find, read = cache(_find), cache(_read)
    found: dict[str, set[str]] = {}
    places = {(video.path.absolute().parent, video.split) for video in videos}
    for folder, split in places:
        path = find(folder)
        words = '' if path is None else read(path).get(split, '')
        found.setdefault(split, set()).add(words)
    return {
        split: _join(found[split])
        for split in SPLITS
        if found.get(split, {''}) != {''}
    }


def _join(words: set[str]) -> str:
    part = 'in part ' if '' in words else ''
    return part + ', and '.join(sorted(words - {''}))


def _find(folder: Path) -> Path | None:
    """Return the nearest file of its name, in ``folder`` or above."""
    for place in (folder, *folder.parents):
        if os.path.isfile(place / ORIGIN):
            return place / ORIGIN
    return None


def _read(path: Path) -> dict[str, str]:
    try:
        content = read_json(path)
        check_fields(content, dict(origin=OBJECT))
        check_fields(content['origin'], {}, dict.fromkeys(SPLITS, TEXT))
    except ValueError as error:
        raise FileError(
            f'{path}: does not say what the videos below it are ({error}); '
            'make the tree again, or rename the file'
        ) from None
    return content['origin']
