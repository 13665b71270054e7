"""FaceForensics++ in its official tree, whole or in parts.

    ROOT/original_sequences/youtube/<compression>/videos/NNN.mp4
    ROOT/manipulated_sequences/<method>/<compression>/videos/AAA_BBB.mp4
    ROOT/splits/{train,val,test}.json      (or ROOT/, or a folder by name)

Instead of a video there may be its frames as images, as the set's own script
extracts them: ``<compression>/images/NNN/0000.png``, or ``frames``.

The download script comes after a form, github.com/ondyari/FaceForensics. A
split file, of the same repository, is a list of pairs of ids, ``[["071",
"054"], ...]``; a pair gives two real videos and, for each method, the fakes
``071_054`` and ``054_071`` (target_source). DeepFakeDetection and its
``actors`` have no split; they are the source ``dfd``.
"""

from collections.abc import Sequence
from pathlib import Path

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.files import read_json
from gml_mmaction.io.rules import is_place
from gml_mmaction.video.folders import check_folder, is_well_named

from . import SPLITS, Video, register_source

__all__ = [
    'COMPRESSIONS',
    'METHODS',
    'compression_folder',
    'list_videos',
    'read_splits',
    'real_path',
]

METHODS = (
    'Deepfakes',
    'Face2Face',
    'FaceShifter',
    'FaceSwap',
    'NeuralTextures',
)
COMPRESSIONS = {'raw': 'raw', 'c0': 'raw', 'c23': 'c23', 'c40': 'c40'}
_IMAGES = ('images', 'frames')
# FaceShifter came after the paper's four methods; DeepFakeDetection has no
# split (https://github.com/ondyari/FaceForensics/issues/63).
_NOT_BY_DEFAULT = ('FaceShifter', 'DeepFakeDetection')
_SPLITS_ORIGIN = (
    'the download lacks them. Remedy: copy dataset/splits of '
    'github.com/ondyari/FaceForensics'
)
# 360, 70 and 70 pairs; each gives two reals, and two fakes a method.
_COUNTS = {
    (split, method): count
    for split, count in zip(SPLITS, (720, 140, 140), strict=True)
    for method in ('real', *METHODS)
}


def _notes(videos: Sequence[Video]) -> list[str]:
    listed = {video.method for video in videos}
    absent = [m for m in METHODS if m not in {*listed, *_NOT_BY_DEFAULT}]
    if not absent:
        return []
    return [
        f'methods that are not in the tree, or not chosen: {", ".join(absent)}'
    ]


@register_source('ffpp', counts=_COUNTS, notes=_notes)
def list_videos(
    root: str | Path,
    *,
    compression: str = 'c23',
    methods: Sequence[str] | None = None,
    splits: str | Path | None = None,
) -> list[Video]:
    """List every video that the split files name, present or not.

    Args:
        root: Folder that holds ``original_sequences``.
        compression: ``raw`` (alias ``c0``), ``c23`` or ``c40``; c23 by
            default.
        methods: Forgery methods, named as their folders. By default all
            that the tree holds at this compression but FaceShifter, which
            must be named.
        splits: Folder of the three split files; by default ``ROOT/splits``
            or else ``ROOT`` itself.

    Returns:
        Real videos, then fakes, of train, val and test, in the order of the
        split files and ``methods``.

    Raises:
        DataError: Unknown compression or method; no, incomplete or
            malformed split files; an id in two splits; no such tree.

    Paper: "4 forgery methods"; that is why FaceShifter, a later addition of
    the data set, is left out unless named.
    """
    root = check_folder(root)
    compression = compression_folder(compression)
    methods = _choose_methods(root, compression, methods)
    videos = []
    for split, pairs in read_splits(root, splits).items():
        for target, source in pairs:
            for name in (target, source):
                videos.append(_real(root, compression, name, split))
        for method in methods:
            for target, source in pairs:
                for pair in ((target, source), (source, target)):
                    videos.append(
                        _fake(root, compression, pair, split, method)
                    )
    return videos


def compression_folder(compression: str) -> str:
    """Return the folder of a compression: ``c0`` is in ``raw``.

    FaceForensics++'s own extraction script calls raw ``c0``.

    Raises:
        DataError: No such compression.
    """
    if compression not in COMPRESSIONS:
        raise SettingError(
            f'unknown compression {compression!r}. Remedy: one of '
            f'{", ".join(COMPRESSIONS)}'
        )
    return COMPRESSIONS[compression]


def real_path(root: str | Path, name: str, compression: str = 'c23') -> Path:
    """Return the path of the real video ``name`` (``'071'``), if there."""
    folder = Path(root) / 'original_sequences/youtube' / compression
    return _video_or_images(folder, name)


def _video_or_images(folder: Path, name: str) -> Path:
    """Return the video of that name, or its images if only they are there."""
    video = folder / 'videos' / f'{name}.mp4'
    for level in () if video.exists() else _IMAGES:
        if (folder / level / name).is_dir():
            return folder / level / name
    return video


def read_splits(
    root: str | Path, splits: str | Path | None = None
) -> dict[str, list[tuple[str, str]]]:
    """Read ``train.json``, ``val.json`` and ``test.json``.

    Args:
        root: See :func:`list_videos`.
        splits: See :func:`list_videos`.

    Returns:
        Pairs (target id, source id) by split.

    Raises:
        DataError: A file is missing or malformed, or an id is in two
            pairs (training people in testing).
    """
    folder = _find_splits(Path(root), splits)
    pairs = {}
    seen: dict[str, str] = {}
    for split in SPLITS:
        path = folder / f'{split}.json'
        pairs[split] = _read_pairs(path)
        for name in (name for pair in pairs[split] for name in pair):
            if name in seen:
                raise DataError(
                    f'{path}: id {name} is in {seen[name]} already. '
                    'Remedy: the official lists, with each id in one pair'
                )
            seen[name] = split
    return pairs


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise DataError(f'{path}: no such split file; {_SPLITS_ORIGIN}')
    pairs = read_json(path)
    if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
        raise DataError(
            f'{path}: expected a list of pairs of ids, [["071", "054"], '
            '...]. Remedy: the official lists'
        )
    return [tuple(pair) for pair in pairs]


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(is_place(n) and '/' not in n for n in pair)
    )


def _find_splits(root: Path, splits: str | Path | None) -> Path:
    folders = [Path(splits)] if splits else [root / 'splits', root]
    for folder in folders:
        if any((folder / f'{split}.json').is_file() for split in SPLITS):
            return folder
    where = ' or '.join(str(folder) for folder in folders)
    raise DataError(f'no split files in {where}; {_SPLITS_ORIGIN}')


def _choose_methods(
    root: Path, compression: str, methods: Sequence[str] | None
) -> list[str]:
    folder = root / 'manipulated_sequences'
    found = sorted(
        {
            path.parent.parent.name
            for level in ('videos', *_IMAGES)
            for path in folder.glob(f'*/{compression}/{level}')
            if is_well_named(path.relative_to(folder), folder)
        }
    )
    if methods is None:
        return [name for name in found if name not in _NOT_BY_DEFAULT]
    if 'DeepFakeDetection' in methods:
        raise SettingError(
            'DeepFakeDetection has no official split; it is a test set. '
            "Remedy: the source 'dfd'"
        )
    for name in methods:
        if name not in METHODS and name not in found:
            known = ', '.join(sorted({*METHODS, *found}))
            raise SettingError(
                f'unknown method {name!r}. Remedy: one of {known}'
            )
    return list(dict.fromkeys(methods))


def _real_id(compression: str, name: str) -> str:
    return f'youtube/{compression}/{name}'


def _real(root: Path, compression: str, name: str, split: str) -> Video:
    return Video(
        video_id=_real_id(compression, name),
        path=real_path(root, name, compression),
        label=0,
        method='real',
        split=split,
        people=(f'ffpp/{name}',),
    )


def _fake(
    root: Path,
    compression: str,
    pair: tuple[str, str],
    split: str,
    method: str,
) -> Video:
    folder = root / 'manipulated_sequences' / method / compression
    name = '_'.join(pair)
    return Video(
        video_id=f'{method}/{compression}/{name}',
        path=_video_or_images(folder, name),
        label=1,
        method=method,
        split=split,
        people=tuple(f'ffpp/{person}' for person in pair),
        original=_real_id(compression, pair[0]),
    )
