"""UADFV: 49 real videos and a fake of each.

    ROOT/real/NNNN.mp4
    ROOT/fake/NNNN_fake.mp4

Either folder may have a level ``videos`` in it. The download comes on request
to its authors (Yang, Li and Lyu, "Exposing deep fakes using inconsistent head
poses", ICASSP 2019).
"""

from collections.abc import Sequence
from pathlib import Path

from gml_mmaction.errors import DataError
from gml_mmaction.video.folders import check_folder, video_files, video_id

from . import LABELS, Video, register_source

__all__ = ['list_videos']


def _notes(videos: Sequence[Video]) -> list[str]:
    return ['no official split: all videos are for testing']


@register_source(
    'uadfv',
    counts={('test', 'real'): 49, ('test', 'fake'): 49},
    notes=_notes,
)
def list_videos(root: str | Path) -> list[Video]:
    """List the videos that are there; the set has no list of its own.

    Args:
        root: Folder of ``real`` and ``fake``.

    Returns:
        Reals, then fakes, all for testing. A fake and its original are the
        same ``uadfv/0000``.

    Raises:
        DataError: No such folder, or neither ``real`` nor ``fake`` in it.
    """
    root = check_folder(root)
    if not any((root / method).is_dir() for method in LABELS):
        raise DataError(
            f'{root}: no folder real and no folder fake. Remedy: the '
            'folder of the data set'
        )
    return [
        Video(
            video_id=video_id(path, root=root),
            path=path,
            label=label,
            method=method,
            split='test',
            people=(f'uadfv/{path.stem.removesuffix("_fake")}',),
            original=(
                f'real/{path.stem.removesuffix("_fake")}' if label else ''
            ),
        )
        for method, label in LABELS.items()
        for path in video_files(root / method)
    ]
