"""Where videos and labels come from: one registry, one module per data set.

A source is a function ``(root, **options) -> list[Video]``. It lists every
video that the data set's own lists name, even if its file is missing; the
caller counts what is missing. A new data set is one module here that
registers such a function.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.rules import is_place

__all__ = [
    'LABELS',
    'SPLITS',
    'Entry',
    'Video',
    'get_entry',
    'get_source',
    'known_sources',
    'register_source',
]

SPLITS = ('train', 'val', 'test')
LABELS = {'real': 0, 'fake': 1}


@dataclass(frozen=True)
class Video:
    """One labelled video.

    Attributes:
        video_id: Unique in its source, a relative POSIX path without suffix
            (``'Deepfakes/c23/071_054'``).
        path: The file; a folder of images, or an archive of them, for sets
            that come as images.
        label: 0 = real, 1 = fake.
        method: ``'real'`` or the forgery method (``'Deepfakes'``).
        split: ``'train'``, ``'val'`` or ``'test'``.
        people: Who or what is seen, with the name of the data set that
            numbers them, so that leaks between splits and data sets show:
            ``('ffpp/071', 'ffpp/054')``, target first.
        original: Id of the genuine video that a fake was made of; ``''`` if
            that is not known, and for genuine videos.
        member: Folder inside ``path`` where that is an archive.
        cropped: The images are face crops already; nothing is detected.
        boxes_from: File in which the face is found instead; it has the same
            frames (DeeperForensics: the real target).
        mask: Video of masks, frame by frame, white where the forged face is.
            If there are several faces, the one it covers most is followed.
        distortions: Types and levels of :mod:`gml_mmaction.video.distortions`
            that are applied to the full frames before the crop, in order.

    Raises:
        DataError: The id or the member points outside its folder.
    """

    video_id: str
    path: Path
    label: int
    method: str
    split: str
    people: tuple[str, ...] = ()
    original: str = ''
    member: str = ''
    cropped: bool = False
    boxes_from: Path | None = None
    mask: Path | None = None
    distortions: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        members = [] if self.member in ('', '.') else [self.member]
        for name in (self.video_id, *members):
            if not is_place(name):
                raise DataError(
                    f'{str(self.path)!r:.200}: {name!r:.80} cannot be a '
                    "folder of crops ('..', control characters, or too "
                    'long). Remedy: rename it'
                )

    @property
    def exists(self) -> bool:
        """Whether the file or folder is there."""
        return self.path.exists()


Source = Callable[..., list[Video]]
# Remarks of a source on its videos, one line each.
Notes = Callable[..., list[str]]
Counts = Mapping[tuple[str, str], int]


class Entry(NamedTuple):
    """What the registry knows of a source.

    Attributes:
        list_videos: ``(root, **options) -> list[Video]``.
        counts: Published numbers of videos by (split, method), for
            ``gml check``; missing ones are unknown. A function of the
            source's options if they change the numbers.
        notes: Function of a list of this source's videos. It returns remarks
            that a user must know before trusting a result, one line each. It
            may take those of the source's options that it names.
    """

    list_videos: Source
    counts: Counts | Callable[..., Counts]
    notes: Notes


_SOURCES: dict[str, Entry] = {}


def register_source(
    name: str,
    *,
    counts: Counts | Callable[..., Counts] | None = None,
    notes: Notes = lambda videos: [],
) -> Callable[[Source], Source]:
    """Register the decorated function as the source ``name``.

    Args:
        name: As on the command line.
        counts: See :class:`Entry`.
        notes: See :class:`Entry`.

    Raises:
        ValueError: Another function already has the name.
    """

    def add(source: Source) -> Source:
        entry = Entry(source, counts or {}, notes)
        if _SOURCES.setdefault(name, entry).list_videos is not source:
            raise ValueError(f'source {name!r} is registered twice')
        return source

    return add


def known_sources() -> list[str]:
    """Return the names of all sources, sorted."""
    _import_all()
    return sorted(_SOURCES)


def get_entry(name: str) -> Entry:
    """Return what is registered under ``name``.

    Raises:
        SettingError: No such source; the message names those that exist.
    """
    if name not in _SOURCES:
        _import_all()
    if name not in _SOURCES:
        known = ', '.join(known_sources())
        raise SettingError(f'unknown source {name!r}. Remedy: one of {known}')
    return _SOURCES[name]


def get_source(name: str) -> Source:
    """Return the function that lists the videos of the source ``name``.

    Raises:
        SettingError: As :func:`get_entry`.
    """
    return get_entry(name).list_videos


def _import_all() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f'{__name__}.{module.name}')
