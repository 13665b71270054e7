"""Where videos and labels come from: one registry, one small file a set.

A source is a function ``(root, **options) -> list[Video]`` that lists every
video which the data set's own lists name, whether or not its file is there;
what is absent is counted by the caller. A new data set is one module here
that bears the source's name and registers such a function.
"""

import contextlib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ['SPLITS', 'Video', 'get_source', 'known_sources', 'register_source']

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Video:
    """One labelled video.

    Attributes:
        video_id: Unique in its source, a relative POSIX path without suffix
            (``'Deepfakes/c23/071_054'``).
        path: The file.
        label: 0 = real, 1 = fake.
        method: ``'real'`` or the forgery method (``'Deepfakes'``).
        split: ``'train'``, ``'val'`` or ``'test'``.
    """

    video_id: str
    path: Path
    label: int
    method: str
    split: str


Source = Callable[..., list[Video]]
_SOURCES: dict[str, Source] = {}


def register_source(name: str) -> Callable[[Source], Source]:
    """Make the decorated function the source called ``name``.

    Raises:
        ValueError: Another function already has the name.
    """

    def add(source: Source) -> Source:
        if _SOURCES.setdefault(name, source) is not source:
            raise ValueError(f'source {name!r} is registered twice')
        return source

    return add


def known_sources() -> list[str]:
    """Return the names of all sources, sorted; imports their modules."""
    for module in pkgutil.iter_modules(__path__):
        with contextlib.suppress(ImportError):  # its extra is not installed
            importlib.import_module(f'{__name__}.{module.name}')
    return sorted(_SOURCES)


def get_source(name: str) -> Source:
    """Return the source called ``name``.

    Raises:
        ValueError: No such source; the message names those that exist.
    """
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    if name not in _SOURCES and name in modules:
        importlib.import_module(f'{__name__}.{name}')
    if name not in _SOURCES:
        known = ', '.join(known_sources())
        raise ValueError(f'unknown source {name!r}; known: {known}')
    return _SOURCES[name]
