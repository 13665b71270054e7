"""What a tree of videos is, if it is synthetic and not a data set.

Synthetic trees have the official names, so that every command takes them for
the real ones. ``origin.json`` in such a tree says, by split, what its videos
are. It is read when data are prepared, and stays with them from then on.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

from gml_mmaction.io.files import write_json
from gml_mmaction.io.records import Record, as_json, read_record
from gml_mmaction.io.rules import line

from . import SPLITS, Video

__all__ = [
    'ORIGIN',
    'copy_origins',
    'origin_words',
    'read_origins',
    'write_origin',
]

ORIGIN = 'origin.json'


class Origin(Record, frozen=True):
    """``origin.json``: by split, what its videos are."""

    origin: dict[str, Annotated[str, line(1000)]]


def write_origin(root: str | Path, words: Mapping[str, str]) -> None:
    """Write into a tree what its videos are.

    Args:
        root: The tree.
        words: By split, to follow 'trained on'.
    """
    write_json(Path(root, ORIGIN), as_json(Origin(dict(words))))


def copy_origins(trees: Iterable[str | Path], out: str | Path) -> None:
    """Give a tree made from others their origins, besides its own.

    Args:
        trees: The others; those that say nothing are counted as one part.
        out: The new tree; an ``origin.json`` there is extended.

    Raises:
        FileError: As :func:`read_origins`.
    """
    paths = {_find(Path(tree).absolute()) for tree in trees}
    origins = [_read(path) if path else {} for path in paths]
    if not any(origins):
        return
    before = _read(Path(out, ORIGIN)) if Path(out, ORIGIN).is_file() else {}
    words = {}
    for split in SPLITS:
        known = before.get(split, '')
        found = {one.get(split, '') for one in origins}
        found = {text for text in found if not text or text not in known}
        if found - {''}:
            words[split] = _join(found | ({known} - {''}))
        elif known:
            words[split] = known
    write_origin(out, words)


def origin_words(tree: str | Path) -> str:
    """Say what the videos of a tree are; ``''`` if it does not say.

    Raises:
        FileError: As :func:`read_origins`.
    """
    path = _find(Path(tree).absolute())
    return '' if path is None else _join(set(_read(path).values()))


def read_origins(videos: Iterable[Video]) -> dict[str, str]:
    """Say by split what videos are, if their trees say so.

    Raises:
        FileError: A file ``origin.json`` above them is not such a file.
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
    return read_record(
        path,
        Origin,
        what='origin of the videos below it',
        remedy='make the data again, or rename the file',
    ).origin
