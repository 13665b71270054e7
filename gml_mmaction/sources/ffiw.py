"""FFIW (Face Forensics in the Wild): several faces in every frame.

    ROOT/source/{train,val}/<name>.mp4         real
    ROOT/target/{train,val}/<name>.mp4         fake
    ROOT/target_mask/{train,val}/<name>.mp4    where the fakes are forged

ROOT is ``FFIW10K-v1-release`` (github.com/tfzhou/FFIW). Each folder may have
a level ``videos`` in it; the masks may be absent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gml_mmaction.errors import DataError
from gml_mmaction.video.folders import (
    check_folder,
    locate,
    video_files,
    video_id,
)

from . import Video, register_source

__all__ = ['list_videos']

_LABELS = {'source': 0, 'target': 1}


def _notes(videos: Sequence[Video]) -> list[str]:
    fakes = [video for video in videos if video.label]
    masks = sum(video.mask is not None for video in fakes)
    return [
        'about three faces in a frame, and not all of them are forged: the '
        f'label is that of the video; {masks} of {len(fakes)} fakes have a '
        'mask that shows which face to follow; for the others use --tracks '
        'all',
    ]


def _counts(*, test: str = 'val') -> dict[tuple[str, str], int]:
    """Of ``val``, 250 + 250 videos; other folders' numbers are not known."""
    if test != 'val':
        return {}
    return {('test', 'real'): 250, ('test', 'fake'): 250}


@register_source('ffiw', counts=_counts, notes=_notes)
def list_videos(
    root: str | Path, *, test: Literal['val', 'test'] = 'val'
) -> list[Video]:
    """List the videos that are there; the set has no list of its own.

    Args:
        root: Folder of ``source`` and ``target``.
        test: The folder that is tested: ``val`` by default, as others do
            (SelfBlendedImages: its 250 + 250 videos), a folder ``test`` is
            then left out; or ``test``, and ``val`` is for validation.

    Returns:
        Train, val and test; reals before fakes.

    Raises:
        DataError: No such folder; ``test`` is not a folder of ``source`` or
            ``target``.
    """
    root = check_folder(root)
    if not any((root / top / test).is_dir() for top in _LABELS):
        raise DataError(
            f'{root}: no folder {test!r} in source or target. Remedy: '
            'another folder for the option test'
        )
    splits = {'train': 'train', 'val': 'val', test: 'test'}
    return [
        _video(root, path, top, folder, split)
        for folder, split in splits.items()
        for top in _LABELS
        for path in video_files(root / top / folder)
    ]


def _video(root: Path, path: Path, top: str, folder: str, split: str) -> Video:
    label = _LABELS[top]
    mask = locate(root / 'target_mask' / folder, path.name)
    return Video(
        video_id=video_id(path, root=root),
        path=path,
        label=label,
        method='fake' if label else 'real',
        split=split,
        mask=mask if label and mask.is_file() else None,
    )
