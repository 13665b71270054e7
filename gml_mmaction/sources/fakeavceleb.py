"""FakeAVCeleb: celebrities whose face, voice or both are forged.

    ROOT/meta_data.csv        source,target1,target2,method,category,type,
                              race,gender,path,
    ROOT/<type>/<race>/<gender>/<source>/<name>.mp4

``type`` is RealVideo-RealAudio, FakeVideo-RealAudio, FakeVideo-FakeAudio or
RealVideo-FakeAudio. ``path`` has the file's name; a last column without a name
has its folder, ``FakeAVCeleb/<type>/<...>``. The download script comes after a
form, github.com/DASH-Lab/FakeAVCeleb; tree and columns are as public code
reads them.

Sound is not looked at: a video whose voice alone is forged shows a genuine
face, which is among the reals already. It is left out, and counted.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gml_mmaction.errors import DataError
from gml_mmaction.video.folders import (
    check_folder,
    check_listed,
    leave_out,
    read_rows,
    video_id,
)

from . import Video, register_source

__all__ = ['LIST', 'list_videos']

LIST = 'meta_data.csv'
_REAL = 'RealVideo-RealAudio'
_VOICE = 'RealVideo-FakeAudio'
_FAKES = ('FakeVideo-RealAudio', 'FakeVideo-FakeAudio')
_COLUMNS = ('source', 'target1', 'method', 'type', 'path', '')


def _notes(videos: Sequence[Video]) -> list[str]:
    reals = sum(not video.label for video in videos)
    return [
        'no official split: all videos are for testing',
        f'{reals} reals against {len(videos) - reals} fakes: look at AUC, '
        'not at accuracy',
    ]


@register_source('fakeavceleb', counts={('test', 'real'): 500}, notes=_notes)
def list_videos(root: str | Path) -> list[Video]:
    """List every video of ``meta_data.csv``, present or not, in its order.

    Args:
        root: Folder of ``meta_data.csv``, ``FakeAVCeleb_v1.2``.

    Returns:
        All for testing; the method of a fake is as the list names it. People
        are ``fakeavceleb/id00076``, whose video it is first, and whose face
        it shows.

    Raises:
        DataError: No such folder, no list, or one without its columns.
    """
    table = check_folder(root) / LIST
    if not table.is_file():
        raise DataError(
            f'{table}: no such list. Remedy: copy it from the download'
        )
    found: dict[str, Video] = {}
    for _, row in read_rows(table, _COLUMNS):
        video = _video(table, row)
        if video is not None and video.video_id in found:
            leave_out(table, 'line', 'for a video that was listed before')
        elif video is not None:
            found[video.video_id] = video
    return [_with_real(video, found) for video in found.values()]


def _video(table: Path, row: dict) -> Video | None:
    # the folder begins with the name of the download
    folder = PurePosixPath(*PurePosixPath(row['']).parts[1:])
    name = folder / row['path']
    if not check_listed(str(name), table):
        return None
    kind = row['type']
    if kind == _VOICE:
        leave_out(table.parent / name, 'video', 'whose voice alone is forged')
        return None
    if kind not in (_REAL, *_FAKES):
        raise DataError(
            f'{table}: {str(name)!r:.80} is of type {kind!r:.40}. Remedy: the '
            "data set's own list"
        )
    people = [p for p in (row['source'], row['target1']) if p and p != '-']
    return Video(
        video_id=video_id(name, root=PurePosixPath()),
        path=table.parent / name,
        label=int(kind != _REAL),
        method='real' if kind == _REAL else row['method'] or 'fake',
        split='test',
        people=tuple(f'fakeavceleb/{person}' for person in people),
    )


def _with_real(video: Video, listed: dict[str, Video]) -> Video:
    """Name the original of a fake: its file's name begins with it."""
    if not video.label:
        return video
    *folders, stem = video.video_id.split('/')
    original = '/'.join([_REAL, *folders[1:], stem.split('_')[0]])
    return replace(video, original=original if original in listed else '')
