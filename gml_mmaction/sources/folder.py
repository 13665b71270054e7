"""Any folder of real and fake videos.

    ROOT/real/<...>/<name>.mp4
    ROOT/fake/<...>/<name>.mp4             all for testing
or
    ROOT/{train,val,test}/real/<...>/<name>.mp4
    ROOT/{train,val,test}/fake/<...>/<name>.mp4

``fake/<method>/<...>`` names the method. Suffixes are those of
:data:`~.files.VIDEO_SUFFIXES`. Links that lead out of ``real`` or ``fake`` are
not followed: a fake must not be among the reals.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gml_mmaction.errors import DataError
from gml_mmaction.video.folders import check_folder, note_unread, video_files

from . import LABELS, SPLITS, Video, register_source

__all__ = ['list_videos']


def _notes(videos: Sequence[Video]) -> list[str]:
    notes = [
        'who is seen is unknown: make sure that nobody is in two splits',
    ]
    for split in SPLITS:
        labels = {video.label for video in videos if video.split == split}
        if len(labels) == 1:
            only, other = ('fake', 'real') if labels == {1} else LABELS
            notes.append(f'{split}: only {only}, no {other}, so no AUC')
    return notes


@register_source('folder', notes=_notes)
def list_videos(root: str | Path) -> list[Video]:
    """List the videos that are there.

    Args:
        root: Folder of ``real`` and ``fake``, or of ``train``, ``val`` and
            ``test`` with these in them; of either, some may be absent.

    Returns:
        Train, val and test; reals before fakes. The method of a fake is the
        first folder below ``fake``, ``fake`` if there is none.

    Raises:
        DataError: No such folder; no video in it; both layouts in one.
    """
    root = check_folder(root)
    flat = _list_layout(root, {'': 'test'})
    divided = _list_layout(root, {split: split for split in SPLITS})
    if flat and divided:
        raise DataError(
            f'{root}: videos in real or fake, and in train, val or test as '
            'well. Remedy: one of the two'
        )
    if not flat and not divided:
        raise DataError(
            f'{root}: no videos in real and fake, nor in train, val and '
            'test. Remedy: put them there'
        )
    return _tell_apart(flat or divided)


def _list_layout(root: Path, splits: Mapping[str, str]) -> list[Video]:
    listed = [
        (split, label, folder, path)
        for folder, split in splits.items()
        for name, label in LABELS.items()
        for path in _list_files(root / folder / name)
    ]
    return [
        Video(
            video_id=path.relative_to(root).with_suffix('').as_posix(),
            path=path,
            label=label,
            method=_method(path.relative_to(root / folder)),
            split=split,
        )
        for split, label, folder, path in listed
    ]


def _list_files(folder: Path) -> list[Path]:
    files = video_files(folder)
    note_unread(folder, {*files}, 'without the name of a video')
    return files


def _method(path: Path) -> str:
    """Name the method of ``fake/<method>/<...>`` or ``fake/<name>.mp4``."""
    name, *folders = path.parts[:-1]
    return folders[0] if name == 'fake' and folders else name


def _tell_apart(videos: list[Video]) -> list[Video]:
    """Add the suffix, ``x_avi``, to ids of files that share all but it."""
    count = Counter(video.video_id for video in videos)
    return [
        replace(video, video_id=f'{video.video_id}_{video.path.suffix[1:]}')
        if count[video.video_id] > 1
        else video
        for video in videos
    ]
