"""Celeb-DF v1, v2 and Celeb-DF++.

    ROOT/Celeb-real/idA_NNNN.mp4
    ROOT/YouTube-real/NNNNN.mp4              (or Youtube-real)
    ROOT/Celeb-synthesis/idA_idB_NNNN.mp4    (v1, v2)
    ROOT/Celeb-synthesis/<group>/<method>/*.mp4      (Celeb-DF++, where
        <group> is FaceSwap, FaceReenact or TalkingFace)
    ROOT/List_of_testing_videos.txt

Each folder may have a level ``videos`` around its files. The downloads come
after a form: github.com/yuezunli/celeb-deepfakeforensics for v1 and v2,
github.com/OUC-VAS/Celeb-DF-PP for Celeb-DF++.

*Test*. A line of the list is ``1 YouTube-real/00170.mp4``; **1 is real**, the
reverse of ours. The test set is the list, whole, and nothing on it is ever
trained on (DeepfakeBench's "train" contains it). A line that cannot be read is
left out, and so is each video that it names.

*Train and val* have no official list: they are what else the folders hold.
Val is carved out by identity. ``idA`` is the original, ``idB`` the face
swapped in (issue 6 of the repository), and a fake shows something of both;
hence fakes of one val and one training identity are in neither. The other
ways out put a val identity into training, or a training identity into val;
fakes are six times as many as reals, so that some can be spared. The notes
count them. A video of YouTube-real has no identity: each counts as its own.

*Originals*. A swap ``idA_idB_NNNN`` is made of ``Celeb-real/idA_NNNN``. Of the
reenacted and talking faces of Celeb-DF++, named alike, it is not documented
which video they are made of: unconfirmed, and none is named.

The official test list is not disjoint from the rest by identity; the notes
say by how much.

Paper: says 540 real videos (Sec. 3.2), where the data set's README counts 590
and 300 from YouTube, and 5639 fakes; by these it is v2.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.rules import is_place
from gml_mmaction.video.folders import (
    check_folder,
    read_lines,
    video_files,
    video_id,
)

from . import Notes, Video, register_source

__all__ = ['TEST_LIST', 'list_videos', 'read_test_list']

TEST_LIST = 'List_of_testing_videos.txt'
_FOLDERS = ('Celeb-real', 'YouTube-real', 'Celeb-synthesis')
_SYNTHESIS = _FOLDERS[-1]
_LINE = re.compile(r'([01])\s+(\S.*\.mp4)')
_CELEBRITY = re.compile(r'id\d+')
_SWAPS = 'FaceSwap'
_FAKE = re.compile(r'(id\d+)_id\d+_(\d+)')
# The README calls it one, their script for DeepfakeBench the other.
_ALIASES = {'Celeb-DF-v2': 'Celeb-DF'}


def _plus_plus_counts() -> dict[tuple[str, str], int]:
    """Test videos by Celeb-DF++'s README: 200, or 300 of talking faces.

    Of Celeb-DF's own fakes there are v2's 340: that makes up the 5240 that
    the authors confirm (github.com/yermandy/GenD/issues/8).
    """
    methods = {
        'FaceSwap': 'BlendFace GHOST HifiFace InSwapper MobileFaceSwap '
        'SimSwap UniFace',
        'FaceReenact': 'DaGAN FSRT HyperReenact LIA LivePortrait MCNET TPSMM',
        'TalkingFace': 'AniTalker EchoMimic EDTalk FLOAT IP_LAP '
        'Real3DPortrait SadTalker',
    }
    counts = {('test', 'real'): 178, ('test', 'FaceSwap/Celeb-DF'): 340}
    for group, names in methods.items():
        for name in names.split():
            count = 300 if group == 'TalkingFace' else 200
            counts['test', f'{group}/{name}'] = count
    return counts


def _notes_of(published: str) -> Notes:
    """Make the notes of the version with these ``published`` numbers."""

    def notes(videos: Sequence[Video]) -> list[str]:
        if not videos:
            return []
        found = _find_files(_root_of(videos[0]))
        listed = {video.video_id for video in videos}
        left_out = sum(
            name not in listed and len(_video(name, path, '').people) > 1
            for name, path in found.items()
        )
        fakes = sum(name.startswith(_SYNTHESIS) for name in found)
        people = {
            split: _people_of(v for v in videos if v.split == split)
            for split in ('train', 'val', 'test')
        }
        seen = len(people['test'] & people['train'])
        carved = (
            f'{len(people["val"])} identities '
            f'of the {len(people["val"] | people["train"])} in training '
            f'are taken for it; left out: {left_out} fakes of a val '
            'and a training identity'
            if people['val']
            else 'none is taken, so gml train needs --cfg-options '
            'val_cfg=None val_dataloader=None val_evaluator=None, no '
            'checkpoint is the best one, and no threshold but 0.5 is known'
        )
        return [
            f'published: {published}; in the tree: {len(found) - fakes} '
            f'real, {fakes} fake',
            f'no official validation set: {carved}',
            f'{seen} of {len(people["test"])} identities of the official '
            'test list are in the training set, too',
        ]

    return notes


@register_source(
    'cdf1', notes=_notes_of('408 real and 795 fake videos (Celeb-DF v1)')
)
@register_source(
    'cdf',
    counts={('test', 'real'): 178, ('test', _SYNTHESIS): 340},
    notes=_notes_of('590 + 300 real and 5639 fake videos (Celeb-DF v2)'),
)
@register_source(
    'cdfpp',
    counts=_plus_plus_counts(),
    notes=_notes_of('22 methods, 178 real and 5240 fake in test (Celeb-DF++)'),
)
def list_videos(root: str | Path, *, val_fraction: float = 0.1) -> list[Video]:
    """List the videos of a Celeb-DF, by its folders and its test list.

    The three versions differ in what they hold, not in how it is read.

    Args:
        root: Folder of ``List_of_testing_videos.txt``.
        val_fraction: Share of the identities outside the test list that go
            to val, by default 0.1; two celebrities at least. The choice
            depends on the names of the files that are there, nothing else.
            0 leaves all to training: then no validation can choose the best
            checkpoint or a threshold.

    Returns:
        Train and val as found; test in the order of the list, present or
        not. The method of a fake is ``Celeb-synthesis``, in Celeb-DF++
        ``<group>/<method>``. People are ``cdf/id3``, the original first; a
        video without identity counts as its own.

    Raises:
        DataError: No such folder; no test list, or none of its lines can
            be read; a fraction outside [0, 1).
    """
    root = check_folder(root)
    if not 0 <= val_fraction < 1:
        raise SettingError(
            f'val_fraction={val_fraction}: out of bounds. Remedy: from 0 '
            'to less than 1'
        )
    tested, odd = read_test_list(root / TEST_LIST)
    found = _find_files(root)
    rest = [
        _video(name, path, 'train')
        for name, path in found.items()
        if name not in tested and path.stem not in odd
    ]
    test = [
        _video(name, found.get(name, root / line), 'test')
        for name, line in tested.items()
    ]
    return [*_carve_val(rest, val_fraction), *test]


def read_test_list(
    path: str | Path,
) -> tuple[dict[str, PurePosixPath], set[str]]:
    """Read a ``List_of_testing_videos.txt``.

    Returns:
        Paths as listed, by video id; and the words of lines that are left
        out, malformed or of a label (1 = real) that is not that of its
        folder: videos of these names may be tested.

    Raises:
        DataError: No such file; all lines would be left out.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f'{path}: no such list. Remedy: copy it from the official download'
        )
    videos, odd = read_lines(path, _read_line)
    return dict(videos), {w for line in odd for w in re.findall(r'\w+', line)}


def _read_line(line: str) -> tuple[str, PurePosixPath]:
    match = _LINE.fullmatch(line.strip())
    path = PurePosixPath(match[2]) if match else PurePosixPath()
    name = _name(path)
    if not match or name is None or not is_place(str(path)):
        raise DataError(
            f'{line!r:.80}: expected "1 YouTube-real/00170.mp4", with 0 '
            f'for fakes and one of the folders {", ".join(_FOLDERS)}'
        )
    if (match[1] == '1') == name.startswith(_SYNTHESIS):
        raise DataError(
            f'{line!r:.80} contradicts its folder: in this list 1 is real '
            'and 0 is fake'
        )
    return name, path


def _name(path: PurePosixPath) -> str | None:
    """Name a video by its path in the tree, the same for every spelling.

    Returns:
        Its video id; None if the path is not in Celeb-DF's folders.
    """
    if len(path.parts) < 2:
        return None
    top, *rest = path.parts
    spelling = {folder.lower(): folder for folder in _FOLDERS}
    if top.lower() not in spelling:
        return None
    rest = [_ALIASES.get(part, part) for part in rest]
    return video_id(
        PurePosixPath(spelling[top.lower()], *rest), root=PurePosixPath()
    )


def _find_files(root: Path) -> dict[str, Path]:
    """List what the tree holds: path by video id, sorted.

    Raises:
        DataError: A video is there twice, in two spellings.
    """
    found: dict[str, Path] = {}
    known = {folder.lower() for folder in _FOLDERS}
    for folder in root.iterdir():
        if folder.name.lower() in known and folder.is_dir():
            for path in video_files(folder):
                name = _name(PurePosixPath(*path.relative_to(root).parts))
                assert name is not None  # the folder is known
                if found.setdefault(name, path) != path:
                    raise DataError(
                        f'{path}: {found[name]} is the same video. Remedy: '
                        'keep one of them'
                    )
    return dict(sorted(found.items()))


def _video(name: str, path: Path, split: str) -> Video:
    top, *method, stem = name.split('/')
    fake = top == _SYNTHESIS
    people = dict.fromkeys(_CELEBRITY.findall(stem)) or [name]
    return Video(
        video_id=name,
        path=path,
        label=int(fake),
        method='/'.join(method) or _SYNTHESIS if fake else 'real',
        split=split,
        people=tuple(f'cdf/{person}' for person in people),
        original=_original(method[0] if method else '', stem) if fake else '',
    )


def _original(group: str, stem: str) -> str:
    """The real video of a swap: ``id0_id1_0000`` is ``id0_0000`` with id1."""
    match = _FAKE.fullmatch(stem)
    if match is None or group not in ('', _SWAPS):
        return ''
    return f'{_FOLDERS[0]}/{match[1]}_{match[2]}'


def _carve_val(videos: Sequence[Video], fraction: float) -> list[Video]:
    """Divide ``videos`` into train and val, without those of both."""
    chosen = _choose_people(videos, fraction)
    train, val = [], []
    for video in videos:
        if chosen.isdisjoint(video.people):
            train.append(video)
        elif chosen.issuperset(video.people):
            val.append(replace(video, split='val'))
    return [*train, *val]


def _choose_people(videos: Sequence[Video], fraction: float) -> set[str]:
    """Choose the identities of val.

    The first celebrity is drawn by a hash of the name. Each further one is
    the one that has the largest share of its fakes with those chosen: fakes
    are only made within groups of people, and few are to be left out.
    """
    people = sorted(_people_of(videos), key=_draw)
    fakes = [frozenset(v.people) for v in videos if len(v.people) > 1]
    pairs = Counter(fakes)
    total = Counter(person for pair in fakes for person in pair)
    famous = [p for p in people if _CELEBRITY.fullmatch(p[len('cdf/') :])]
    others = [p for p in people if p not in famous]

    def share(person: str) -> float:
        with_chosen = sum(pairs[frozenset((person, c))] for c in chosen)
        return with_chosen / max(1, total[person])

    chosen = []
    famous.sort(key=lambda person: not total[person])  # those of fakes first
    for _ in range(_val_size(len(famous), fraction)):
        chosen.append(max(famous, key=share))
        famous.remove(chosen[-1])
    return {*chosen, *others[: round(fraction * len(others))]}


def _val_size(count: int, fraction: float) -> int:
    """Number of ``count`` celebrities for val; two make a fake."""
    if fraction == 0:
        return 0
    return min(max(2, round(fraction * count)), count // 2)


def _people_of(videos: Iterable[Video]) -> set[str]:
    return {person for video in videos for person in video.people}


def _draw(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _root_of(video: Video) -> Path:
    return next(p for p in video.path.parents if (p / TEST_LIST).is_file())
