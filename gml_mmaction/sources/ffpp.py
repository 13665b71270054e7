"""FaceForensics++ in its official tree, whole or in parts.

    ROOT/original_sequences/youtube/<compression>/videos/NNN.mp4
    ROOT/manipulated_sequences/<method>/<compression>/videos/AAA_BBB.mp4
    ROOT/splits/{train,val,test}.json      (or ROOT/, or a folder by name)

A split file is a list of pairs of ids, ``[["071", "054"], ...]``; a pair
gives two real videos and, for each method, the fakes ``071_054`` and
``054_071`` (target_source). DeepFakeDetection and its ``actors`` have no
official split and are not read here.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from . import SPLITS, Video, register_source

__all__ = [
    'COMPRESSIONS',
    'METHODS',
    'expected_videos',
    'find_videos',
    'read_splits',
]

METHODS = (
    'Deepfakes',
    'Face2Face',
    'FaceShifter',
    'FaceSwap',
    'NeuralTextures',
)
COMPRESSIONS = {'raw': 'raw', 'c0': 'raw', 'c23': 'c23', 'c40': 'c40'}
# FaceShifter came after the paper's four methods; DeepFakeDetection has no
# split (https://github.com/ondyari/FaceForensics/issues/63).
_NOT_BY_DEFAULT = ('FaceShifter', 'DeepFakeDetection')
_SPLITS_ORIGIN = (
    'they are not part of the download: copy dataset/splits of '
    'github.com/ondyari/FaceForensics'
)


@register_source('ffpp')
def expected_videos(
    root: str | Path,
    *,
    compression: str = 'c23',
    methods: Sequence[str] | None = None,
    splits: str | Path | None = None,
) -> list[Video]:
    """List every video that the split files name, present or not.

    Args:
        root: Folder that holds ``original_sequences``.
        compression: ``'raw'`` (alias ``'c0'``), ``'c23'`` or ``'c40'``.
        methods: Forgery methods, named as their folders. By default all
            that the tree holds at this compression but FaceShifter, which
            must be named.
        splits: Folder of the three split files; by default ``root/splits``
            or else ``root`` itself.

    Returns:
        Real videos, then fakes, of train, val and test, in the order of the
        split files and ``methods``.

    Raises:
        ValueError: Unknown compression or method; no, incomplete or
            malformed split files; an id in two splits; no such tree.

    Paper: "4 forgery methods"; that is why FaceShifter, a later addition of
    the data set, is left out unless named.
    """
    root = Path(root)
    if compression not in COMPRESSIONS:
        raise ValueError(
            f'unknown compression {compression!r}; '
            f'use one of {", ".join(COMPRESSIONS)}'
        )
    compression = COMPRESSIONS[compression]
    if not root.is_dir():
        raise ValueError(f'{root}: no such folder')
    methods = _choose_methods(root, compression, methods)
    videos = []
    for split, pairs in read_splits(_find_splits(root, splits)).items():
        for target, source in pairs:
            for name in (target, source):
                videos.append(_real(root, compression, name, split))
        for method in methods:
            for target, source in pairs:
                for name in (f'{target}_{source}', f'{source}_{target}'):
                    videos.append(
                        _fake(root, compression, name, split, method)
                    )
    return videos


def find_videos(
    root: str | Path,
    *,
    compression: str = 'c23',
    methods: Sequence[str] | None = None,
    splits: str | Path | None = None,
) -> list[Video]:
    """List the videos of :func:`expected_videos` whose files are there.

    Raises:
        ValueError: As :func:`expected_videos`.
    """
    expected = expected_videos(
        root, compression=compression, methods=methods, splits=splits
    )
    return [video for video in expected if video.path.is_file()]


def read_splits(folder: str | Path) -> dict[str, list[tuple[str, str]]]:
    """Read ``train.json``, ``val.json`` and ``test.json``.

    Returns:
        Pairs (target id, source id) by split.

    Raises:
        ValueError: A file is missing or malformed, or an id stands in two
            pairs (training people in testing).
    """
    pairs, seen = {}, {}
    for split in SPLITS:
        path = Path(folder) / f'{split}.json'
        pairs[split] = _read_pairs(path)
        for name in (name for pair in pairs[split] for name in pair):
            if name in seen:
                raise ValueError(
                    f'{path}: id {name} stands in {seen[name]} already; '
                    'each id belongs to one pair of one split'
                )
            seen[name] = split
    return pairs


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise ValueError(f'{path}: no such split file; {_SPLITS_ORIGIN}')
    try:
        pairs = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: not JSON ({error})') from error
    if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
        raise ValueError(
            f'{path}: expected a list of pairs of ids, [["071", "054"], ...]'
        )
    return [tuple(pair) for pair in pairs]


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(n, str) and Path(n).name == n for n in pair)
    )


def _find_splits(root: Path, splits: str | Path | None) -> Path:
    folders = [Path(splits)] if splits else [root / 'splits', root]
    for folder in folders:
        if any((folder / f'{split}.json').is_file() for split in SPLITS):
            return folder
    where = ' or '.join(str(folder) for folder in folders)
    raise ValueError(f'no split files in {where}; {_SPLITS_ORIGIN}')


def _choose_methods(
    root: Path, compression: str, methods: Sequence[str] | None
) -> list[str]:
    folder = root / 'manipulated_sequences'
    found = sorted(
        path.parent.parent.name
        for path in folder.glob(f'*/{compression}/videos')
    )
    if methods is None:
        return [name for name in found if name not in _NOT_BY_DEFAULT]
    if 'DeepFakeDetection' in methods:
        raise ValueError('DeepFakeDetection has no official split')
    for name in methods:
        if name not in METHODS and name not in found:
            known = ', '.join(sorted({*METHODS, *found}))
            raise ValueError(f'unknown method {name!r}; known: {known}')
    return list(dict.fromkeys(methods))


def _real(root: Path, compression: str, name: str, split: str) -> Video:
    folder = root / 'original_sequences/youtube' / compression / 'videos'
    return Video(
        video_id=f'youtube/{compression}/{name}',
        path=folder / f'{name}.mp4',
        label=0,
        method='real',
        split=split,
    )


def _fake(
    root: Path, compression: str, name: str, split: str, method: str
) -> Video:
    folder = root / 'manipulated_sequences' / method / compression / 'videos'
    return Video(
        video_id=f'{method}/{compression}/{name}',
        path=folder / f'{name}.mp4',
        label=1,
        method=method,
        split=split,
    )
