"""WildDeepfake: sequences of face images, in archives or unpacked.

    ROOT/{real,fake}_{train,test}/N.tar.gz    with <...>/<sequence>/NNN.png,
        for instance 1/fake/131/1057.png in fake_train/1.tar.gz

The download is at huggingface.co/datasets/xingjunm/WildDeepfake, its folder
``deepfake_in_the_wild`` is ROOT. Folders ``real/train`` and so on do as well,
and so do archives that were unpacked where they are or in a folder of their
own. A sequence is any folder with images in it, which are crops already; a
file's name is its frame number.
"""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath

from gml_mmaction.errors import DataError
from gml_mmaction.io.text import counted
from gml_mmaction.video.files import is_image
from gml_mmaction.video.folders import (
    check_folder,
    image_folders,
    is_well_named,
)

from . import LABELS, Video, register_source

__all__ = ['list_videos']

_SPLITS = ('train', 'test')
_ARCHIVES = ('.tar.gz', '.tgz', '.tar')


def _notes(videos: Sequence[Video]) -> list[str]:
    notes = [
        'no official validation set; it has face crops, not videos: they '
        'are used as they are, and are cut in another way than those of '
        'other sets',
    ]
    packed = sum(bool(video.member) for video in videos)
    if packed:
        notes.append(
            f'{counted(packed, "sequence")} in archives, each of which is '
            'read from its start for every sequence: unpacked they are '
            'faster'
        )
    return notes


@register_source('wilddeepfake', notes=_notes)
def list_videos(root: str | Path) -> list[Video]:
    """List the sequences that are there; the set has no list of its own.

    To know what is in an archive it is read, which takes as long as
    unpacking. One beside a folder of its name counts as unpacked there.

    Args:
        root: Folder of ``real_train``, ``fake_train``, ``real_test`` and
            ``fake_test``, or of some of them.

    Returns:
        Train, then test; reals before fakes. The id of a sequence is the
        same in an archive and unpacked.

    Raises:
        DataError: No such folder; none of the four in it; an archive that
            cannot be read.
    """
    root = check_folder(root)
    folders = [
        (root / name, method, split)
        for split in _SPLITS
        for method in LABELS
        for name in (f'{method}_{split}', f'{method}/{split}')
        if (root / name).is_dir()
    ]
    if not folders:
        raise DataError(
            f'{root}: no such data set. Remedy: a folder with real_train, '
            'fake_train, real_test or fake_test'
        )
    return [
        Video(
            video_id=f'{method}_{split}/{name}',
            path=path,
            label=LABELS[method],
            method=method,
            split=split,
            member=member,
            cropped=True,
        )
        for folder, method, split in folders
        for name, path, member in _find_sequences(folder)
    ]


def _find_sequences(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield name in ``folder``, path and member of each sequence."""
    for path in image_folders(folder):
        yield path.relative_to(folder).as_posix(), path, ''
    for path in sorted(folder.glob('*')):
        stem = _archive_stem(path)
        if not stem or not path.is_file() or (folder / stem).is_dir():
            continue
        if not is_well_named(PurePath(path.name), folder):
            continue
        for member in _list_archive(path):
            name = PurePosixPath(member)
            name = name if name.parts[:1] == (stem,) else stem / name
            if is_well_named(name, folder):
                yield str(name), path, member


def _archive_stem(path: Path) -> str:
    """Return an archive's name without suffix; '' if it is none."""
    for suffix in _ARCHIVES:
        if path.name.endswith(suffix) and not path.name.startswith('.'):
            return path.name.removesuffix(suffix)
    return ''


def _list_archive(path: Path) -> list[str]:
    """List the folders of an archive that have an image in them, sorted."""
    folders = set()
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if member.isfile() and is_image(name.name):
                    folders.add(str(name.parent))
    except Exception as error:  # also those of its compression
        raise DataError(
            f'{path}: not a whole archive. Remedy: download it again'
        ) from error
    return sorted(folders)
