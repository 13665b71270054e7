"""DeepFake Detection Challenge, preview set (DFDCP).

    ROOT/dataset.json      {"method_A/<...>/<name>.mp4":
        {"label": "real" or "fake", "set": "train" or "test", ...}, ...}
    ROOT/original_videos/<...>/<name>.mp4
    ROOT/method_A/<...>/<name>.mp4
    ROOT/method_B/<...>/<name>.mp4

``dataset.json`` is part of the download (dfdc_preview_set.zip, once at
dfdc.ai). Each of the three folders may have a level ``videos`` in it.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from gml_mmaction.errors import DataError
from gml_mmaction.io.files import read_json
from gml_mmaction.video.folders import (
    check_folder,
    check_listed,
    leave_out,
    locate,
    video_files,
    video_id,
)

from . import LABELS, Video, register_source

__all__ = ['list_videos']

_SETS = ('train', 'test')


def _notes(videos: Sequence[Video]) -> list[str]:
    return ['no official validation set']


@register_source('dfdcp', notes=_notes)
def list_videos(root: str | Path) -> list[Video]:
    """List every video of ``dataset.json``, present or not, in its order.

    Args:
        root: Folder of ``dataset.json``.

    Returns:
        Train and test; the method of a fake is ``method_A`` or ``method_B``.

    Raises:
        DataError: No such folder, or no or a malformed ``dataset.json``.
    """
    path = check_folder(root) / 'dataset.json'
    if not path.is_file():
        raise DataError(
            f'{path}: no such file. Remedy: copy it from the download'
        )
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise DataError(
            f'{path}: expected videos by their path, {{...}}. Remedy: the '
            "data set's own file"
        )
    videos = [
        _video(path, name, entry)
        for name, entry in entries.items()
        if check_listed(name, path)
    ]
    listed = {video.path for video in videos}
    for file in {*video_files(path.parent)} - listed:
        leave_out(file, 'video', 'not in dataset.json')
    return videos


def _video(path: Path, name: str, entry: object) -> Video:
    listed = PurePosixPath(name)
    entry = entry if isinstance(entry, dict) else {}
    label, split = entry.get('label'), entry.get('set')
    if (
        label not in [*LABELS]
        or split not in [*_SETS]
        or len(listed.parts) < 2
    ):
        raise DataError(
            f'{path}: {name}: expected a path with "label" real or fake '
            f'and "set" train or test, not {label!r:.60} and '
            f"{split!r:.60}. Remedy: the data set's own file"
        )
    top, *rest = listed.parts
    return Video(
        video_id=video_id(listed, root=PurePosixPath()),
        path=locate(path.parent / top, '/'.join(rest)),
        label=LABELS[label],
        method=top if label == 'fake' else 'real',
        split=split,
    )
