"""Deepfake-Eval-2024's videos: what circulated in 2024, labelled by hand.

    ROOT/video-metadata-publish.csv    (or ...-with-links.csv)
    ROOT/video-data/<Filename>

The download comes after a form, huggingface.co/datasets/nuriachandra/
Deepfake-Eval-2024, whose terms name what it must not be used for. Its sound
and images are not read.

The list's columns ``Filename``, ``Video Ground Truth`` (Real, Fake or
Unknown) and ``Finetuning Set`` (Train or Test) are as public code reads them:
the set is gated, so that they are unconfirmed here.
"""

from collections.abc import Sequence
from pathlib import Path

from gml_mmaction.errors import DataError
from gml_mmaction.video.folders import (
    check_folder,
    check_listed,
    leave_out,
    locate,
    read_rows,
    video_id,
)

from . import LABELS, Video, register_source

__all__ = ['LISTS', 'list_videos']

LISTS = (
    'video-metadata-publish.csv',
    'video-metadata-publish-with-links.csv',
)
_NAME, _TRUTH, _SET = 'Filename', 'Video Ground Truth', 'Finetuning Set'


def _notes(videos: Sequence[Video]) -> list[str]:
    return [
        'who is seen and how it was made are unknown; many videos have '
        'several faces, cuts and captions: use --tracks all',
        'the label is of the whole video: of a face that is not forged, in a '
        'fake, it is wrong',
    ]


@register_source('deepfake_eval', notes=_notes)
def list_videos(root: str | Path, *, finetuning: bool = False) -> list[Video]:
    """List the videos of the list, present or not, but those of unknown label.

    Args:
        root: Folder of the list.
        finetuning: Whether the list's own division counts, into train and
            test; by default all videos are for testing.

    Returns:
        Train and test, in the list's order.

    Raises:
        DataError: No such folder, no list, or one without its columns.
    """
    root = check_folder(root)
    table = next((root / n for n in LISTS if (root / n).is_file()), None)
    if table is None:
        raise DataError(
            f'{root}: no {" and no ".join(LISTS)}. Remedy: copy it from the '
            'download'
        )
    rows = read_rows(table, (_NAME, _TRUTH, _SET))
    videos = [_video(table, row, finetuning) for _, row in rows]
    found = [video for video in videos if video is not None]
    return sorted(found, key=lambda video: video.split != 'train')


def _video(table: Path, row: dict, finetuning: bool) -> Video | None:
    name = row[_NAME].strip()
    if not check_listed(name, table):
        return None
    place = table.parent / 'video-data'
    label = LABELS.get(row[_TRUTH].strip().lower())
    if label is None:
        leave_out(place / name, 'video', 'whose label is unknown')
        return None
    train = row[_SET].strip().lower() == 'train'
    return Video(
        video_id=video_id(place / name, root=table.parent),
        path=locate(place, name),
        label=label,
        method='fake' if label else 'real',
        split='train' if finetuning and train else 'test',
    )
