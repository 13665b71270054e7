"""ForgeryNet's videos: eight methods, fake for a part of their length.

    ROOT/Training/video_list.txt
    ROOT/Training/video/train_video_release/<...>.mp4
    ROOT/Validation/video_list.txt
    ROOT/Validation/video/val_video_release/<...>.mp4

A line of a list, by the set's Readme.txt (github.com/yinanhe/ForgeryNet), has
the number of segments, the video, for each segment its first frame, its
length and 1 or 0, then the labels of 2, 3 and 16 classes:

    2 train_video_release/6/a/b.mp4 0 40 0 40 25 1 1 2 4

1 is fake, 0 real. The downloads are linked at
yinanhe.github.io/projects/forgerynet.html.

Its own test set came later; where it is unpacked to (``Test``, with the same
list) and which of the 16 classes is which method are unconfirmed here, so that
methods go by their number. The tree is as public code reads it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from gml_mmaction.errors import DataError
from gml_mmaction.io.rules import is_place
from gml_mmaction.video.folders import check_folder, leave_out, read_lines

from . import Video, register_source

__all__ = ['LIST', 'list_videos']

LIST = 'video_list.txt'
_LEVELS = ('video', 'videos')


class _Listed(NamedTuple):
    """A line of a list: the video's path, its label and its class of 16."""

    name: str
    label: int
    method: int


def _notes(videos: Sequence[Video]) -> list[str]:
    return [
        'a fake is fake in some segments only: clips of its other segments '
        'have a wrong label, in training and in clip scores',
        'who is seen is unknown: make sure that nobody is in two splits',
    ]


@register_source('forgerynet', notes=_notes)
def list_videos(
    root: str | Path, *, test: Literal['Validation', 'Test'] = 'Validation'
) -> list[Video]:
    """List every video that the lists name, present or not.

    Args:
        root: Folder of ``Training`` and ``Validation``, of which one may be
            absent.
        test: The folder that is tested: Validation (default), which has
            labels since the start; or Test, and Validation is for validation.

    Returns:
        Train, val and test, each in its list's order. The method of a fake is
        ``class-04``, by the 16 classes.

    Raises:
        DataError: No such folder, no list in it, or one that cannot be read.
    """
    root = check_folder(root)
    splits = {'Training': 'train', 'Validation': 'val', test: 'test'}
    found: dict[str, Video] = {}
    for folder, split in splits.items():
        table = root / folder / LIST
        lines = read_lines(table, _read_line)[0] if table.is_file() else []
        for video in (_video(root / folder, one, split) for one in lines):
            if found.setdefault(video.video_id, video) is not video:
                leave_out(table, 'line', 'for a video that was listed before')
    if not found:
        raise DataError(
            f'{root}: no such data set. Remedy: a folder with Training/{LIST} '
            f'or {test}/{LIST}'
        )
    return [*found.values()]


def _read_line(line: str) -> _Listed:
    count, name, *rest = [*line.split(), '']
    try:
        segments = int(count)
        *_, binary, _, method = map(int, rest[:-1])
    except ValueError:
        segments = binary = method = -1
    if (
        len(rest) - 1 != 3 * segments + 3
        or binary not in (0, 1)
        or not 0 <= method <= 15
        or not is_place(name)
    ):
        raise DataError(
            f'{line!r:.80}: expected the number of segments, the video, three '
            'numbers a segment and three labels'
        )
    return _Listed(name, binary, method)


def _video(folder: Path, listed: _Listed, split: str) -> Video:
    levels = [folder / level for level in _LEVELS]
    place = next((level for level in levels if level.is_dir()), levels[0])
    name = Path(listed.name).with_suffix('').as_posix()
    return Video(
        video_id=f'{folder.name}/{name}',
        path=place / listed.name,
        label=listed.label,
        method=f'class-{listed.method:02}' if listed.label else 'real',
        split=split,
    )
