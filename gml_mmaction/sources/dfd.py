"""DeepFakeDetection (DFD), in FaceForensics++'s tree: a test set.

    ROOT/original_sequences/actors/<compression>/videos/
        <actor>__<scene>.mp4
    ROOT/manipulated_sequences/DeepFakeDetection/<compression>/videos/
        <target>_<source>__<scene>__<8 characters>.mp4
    ROOT/manipulated_sequences/DeepFakeDetection/masks/videos/
        (as the fakes; may be absent)

It comes by FaceForensics++'s download script, ``-d
DeepFakeDetection_original`` and ``-d DeepFakeDetection`` (``-t masks``). It
has no official split (github.com/ondyari/FaceForensics/issues/63): every
video is for testing. 28 actors appear in several scenes, often two in one.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from gml_mmaction.errors import DataError
from gml_mmaction.video.folders import leave_out, video_files

from . import Video, register_source
from .ffpp import compression_folder

__all__ = ['METHOD', 'list_videos']

METHOD = 'DeepFakeDetection'
_COUNTS = {('test', 'real'): 363, ('test', METHOD): 3068}
_REAL_NAME = re.compile(r'(\d+)__.+')
_NAMES = '<actor>__<scene>.mp4, <target>_<source>__<scene>__<8 characters>.mp4'
_FAKE_NAME = re.compile(r'(\d+)_(\d+)__(.+)__[^_]{8}')


def _notes(videos: Sequence[Video]) -> list[str]:
    fakes = [video for video in videos if video.label]
    masks = sum(video.mask is not None for video in fakes)
    notes = ['no official split: all videos are for testing']
    if masks < len(fakes):
        notes.append(
            f'{masks} of {len(fakes)} fakes have a mask; in the others '
            'with several faces, the one that is followed may not be the '
            'forged one'
        )
    return notes


@register_source('dfd', counts=_COUNTS, notes=_notes)
def list_videos(root: str | Path, *, compression: str = 'c23') -> list[Video]:
    """List the videos that are there: no list names those that should be.

    Args:
        root: FaceForensics++'s folder.
        compression: ``raw`` (alias ``c0``), ``c23`` or ``c40``; c23 by
            default.

    Returns:
        Real videos, then fakes, by name. A fake's ``mask`` is given where
        the tree holds it.

    Raises:
        DataError: Unknown compression; neither folder is there.
    """
    root = Path(root)
    compression = compression_folder(compression)
    reals = root / 'original_sequences/actors' / compression / 'videos'
    fakes = root / 'manipulated_sequences' / METHOD / compression / 'videos'
    if not reals.is_dir() and not fakes.is_dir():
        raise DataError(
            f'neither {reals} nor {fakes} is there. Remedy: get them by -d '
            f'{METHOD}_original and -d {METHOD} of the download script'
        )
    masks = root / 'manipulated_sequences' / METHOD / 'masks/videos'
    found = [
        *(_video(p, _REAL_NAME, 'actors') for p in video_files(reals)),
        *(_video(p, _FAKE_NAME, METHOD, masks) for p in video_files(fakes)),
    ]
    return [video for video in found if video is not None]


def _video(
    path: Path, names: re.Pattern, folder: str, masks: Path | None = None
) -> Video | None:
    match = names.fullmatch(path.stem)
    if not match:
        leave_out(path, 'name', f'other than those of {METHOD} ({_NAMES})')
        return None
    mask = masks / path.name if masks else None
    return Video(
        video_id=f'{folder}/{path.parent.parent.name}/{path.stem}',
        path=path,
        label=int(folder == METHOD),
        method=METHOD if folder == METHOD else 'real',
        split='test',
        people=tuple(f'dfd/{actor}' for actor in match.groups()[:2]),
        original=_original(match, path) if folder == METHOD else '',
        mask=mask if mask and mask.is_file() else None,
    )


def _original(match: re.Match, path: Path) -> str:
    """The target's real video of the same scene."""
    target, _, scene = match.groups()
    return f'actors/{path.parent.parent.name}/{target}__{scene}'
