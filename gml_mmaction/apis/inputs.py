"""Which videos are meant by what a user names: files, folders, arrays."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gml_mmaction.errors import GMLError
from gml_mmaction.io.text import printable
from gml_mmaction.video.files import (
    ARCHIVES,
    VIDEO_SUFFIXES,
    is_image,
    unread_format,
)

from .analysis import Source

__all__ = ['Found', 'InputError', 'Inputs', 'find_inputs', 'list_inputs']

Inputs = Source | Sequence[Source]
# of a file that keeps on other disks what only those of a Mac can hold
APPLE_DOUBLE = b'\x00\x05\x16\x07'


class InputError(GMLError, ValueError):
    """Inputs among which there is nothing to analyse."""


class Video(NamedTuple):
    """A video, and whether it was named itself, not its folder alone."""

    source: Source
    named: bool


class Found(NamedTuple):
    """What inputs stand for.

    Attributes:
        videos: Each once.
        unread: A line for each file that is not read, with the reason.
    """

    videos: list[Video]
    unread: list[str]

    @property
    def summarised(self) -> bool:
        """Whether there is a summary: of several videos, or of a folder's."""
        return len(self.videos) != 1 or not self.videos[0].named


def list_inputs(inputs: Inputs) -> list[Source]:
    """Return the videos that inputs name; see :func:`find_inputs`."""
    return [video.source for video in find_inputs(inputs).videos]


def find_inputs(inputs: Inputs | Found) -> Found:
    """Find the videos that inputs name; what is found is given back.

    A video that is named in several ways (``a.mp4``, ``./a.mp4``, a link to
    it, its folder) is there once.

    Args:
        inputs: See :class:`~gml_mmaction.apis.ForgeryInferencer`. A folder
            with videos in it gives these videos, sorted by name, without those
            in sub-folders and without hidden ones; a folder with images in it
            is one video, and so is one with neither, whose report says so.

    Raises:
        InputError: No input at all, or only folders with nothing to read.
    """
    if isinstance(inputs, Found):
        return inputs
    if isinstance(inputs, (str, Path, np.ndarray)):
        inputs = [inputs]
    videos: list[Video] = []
    unread: list[str] = []
    empty: list[Path] = []
    for item in inputs:
        if isinstance(item, np.ndarray) or not os.path.isdir(item):
            videos.append(Video(item, True))
            continue
        folder = Path(item)
        try:
            inside = sorted(folder.iterdir())
        except OSError:  # opening it says what is wrong
            videos.append(Video(folder, True))
            continue
        read = [path for path in inside if _is_read(path)]
        images = not read and any(is_image(path.name) for path in inside)
        videos += [Video(path, False) for path in read]
        if not read:
            videos.append(Video(folder, True))
            empty += [] if images else [folder]
        unread += _unread(inside, read, images)
    if not videos:
        raise InputError('no video was given. Remedy: a file or a folder')
    if len(empty) == len(videos):
        raise InputError(
            f'{empty[0]}: it holds neither videos nor images. Remedy: '
            f'{_other_folder(empty[0])}'
        )
    return _once(videos, unread)


def _is_read(path: Path) -> bool:
    return (
        _is_named_as_video(path)
        and not path.name.startswith('.')
        and path.is_file()
    )


def _is_named_as_video(path: Path) -> bool:
    return path.name.lower().endswith((*VIDEO_SUFFIXES, *ARCHIVES))


def _other_folder(folder: Path) -> str:
    if any(path.is_dir() for path in folder.iterdir()):
        return f'give the folders in it: {folder}/*'
    return 'another folder'


def _unread(
    inside: Sequence[Path], read: Sequence[Path], images: bool
) -> list[str]:
    """Say of each file in a folder that is not read, why."""
    lines = []
    for path in inside:
        if path in read or (images and is_image(path.name)):
            continue
        if why := _why_unread(path):
            lines.append(f'{printable(str(path))}: not read: {why}')
    return lines


def _why_unread(path: Path) -> str | None:
    """None for what nobody misses: hidden files without a video's name."""
    if path.is_dir():
        return 'a folder within a folder; give it by its own path'
    if path.name.startswith('.'):
        if not _is_named_as_video(path) or _is_apple_double(path):
            return None
        return 'hidden by its name; give it by its own path'
    if not path.exists():
        return 'a link that leads nowhere'
    return unread_format(path) or 'no video'


def _is_apple_double(path: Path) -> bool:
    try:
        with open(path, 'rb') as file:
            return file.read(len(APPLE_DOUBLE)) == APPLE_DOUBLE
    except OSError:
        return False


def _once(videos: Sequence[Video], unread: list[str]) -> Found:
    """Leave out a video that is there already, best of all named itself."""
    kept: dict[object, Video] = {}
    for video in sorted(videos, key=lambda video: not video.named):
        kept.setdefault(_place(video.source), video)
    chosen, again = [], []
    for video in videos:
        first = kept[_place(video.source)]
        if video is first:
            chosen.append(video)
        elif str(video.source) != str(first.source):
            again.append(
                f'{printable(str(video.source))}: not read again: it is '
                f'{printable(str(first.source))}'
            )
    return Found(chosen, [*unread, *again])


def _place(source: Source) -> object:
    """What is equal where two sources are the same."""
    if isinstance(source, np.ndarray):
        return id(source)
    try:
        return os.path.realpath(source)
    except ValueError:  # a null byte; opening it says what is wrong
        return source
