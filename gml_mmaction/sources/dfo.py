"""DeeperForensics-1.0 (DFO) and its real half, FaceForensics++'s targets.

    ROOT/manipulated_videos/<variant>/<target>_<actor>.mp4   000_M101.mp4
    ROOT/lists/splits/{train,val,test}.txt        one fake's name a line
    ROOT/lists/manipulated_videos_distortions_meta/
        manipulated_videos_<variant>_meta.txt     its path, TYPE:LEVEL ...

The download comes after a form, github.com/EndlessSora/DeeperForensics-1.0.

*Reals.* By the data set's README these are the c23 videos of FaceForensics++
that the fakes were made of (``<target>``); ``source_videos`` shows studio
actors and is not for detection. DeepfakeBench takes it for the real half,
so that its "DF-1.0" is another task.

*Two tests* go by one name. ``official`` is the data set's own split, 703, 96
and 201 fakes, by actor. As it ignores targets, its test shows people whom a
model trained on FaceForensics++ has seen: the notes count them.
``ffpp`` is what LipForensics and RealForensics use: the fakes whose target
is in FaceForensics++'s test split, 140, and the reals of that split. It is
the default, because it measures FF++ -> DFO without a leak. It has no
training set: to train on DFO, choose ``official``.

*Distorted variants* (std = ``end_to_end``; std/sing = the five
``end_to_end_level_i``, with random types; std/rand = ``random_level``;
std/mix = the three ``mix_j_distortions``) come without reals, and those of
FaceForensics++ are clean. A model can then tell them apart by the distortion
alone. So each real is distorted as the fake of the same target by the meta
file, which is what the authors did (issues 4 and 11 of the repository);
``reals='clean'`` leaves them as they are.

*Faces* are found on the clean target, and the fake is cut at the same place,
as the data set's README advises.

Paper: Table 1 is captioned "level-5 random distortion"
(``end_to_end_level_5``), while Sec. 3.1 speaks of std -> std/sing (``sing``);
which test of the two it uses, and whether its reals are distorted, is not
said.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.text import counted
from gml_mmaction.video.distortions import read_meta
from gml_mmaction.video.folders import leave_out, read_lines, video_files

from . import SPLITS, Video, register_source
from .ffpp import read_splits, real_path

__all__ = ['CLEAN', 'META', 'SETTINGS', 'VARIANTS', 'list_videos']

_LEVELS = tuple(f'end_to_end_level_{i}' for i in range(1, 6))
_MIXED = tuple(f'end_to_end_mix_{j}_distortions' for j in (2, 3, 4))
CLEAN = ('end_to_end', 'reenact_postprocess')
VARIANTS = (*CLEAN, *_LEVELS, 'end_to_end_random_level', *_MIXED)
# The settings of the data set's paper; which folders they are was answered
# in issues 4, 10 and 11 of its repository.
SETTINGS = {
    'std': ('end_to_end',),
    'sing': _LEVELS,
    'rand': ('end_to_end_random_level',),
    'mix': _MIXED,
}
_CLEAN_ID = 'youtube/c23/{target}'
_DISTORTED_ID = 'youtube/{variant}/{target}'
_NAMED = '<target>_<actor>.mp4'
_NAME = re.compile(r'(\d{3})_([MW]\d{3})')
META = 'manipulated_videos_distortions_meta/manipulated_videos_{}_meta.txt'
_SIZES = {'train': 703, 'val': 96, 'test': 201}  # its README


class _Fake(NamedTuple):
    """A fake's name, read: ``000_M101``."""

    target: str
    actor: str

    @property
    def name(self) -> str:
        return f'{self.target}_{self.actor}'


def _counts(
    *, variant: str, protocol: str, reals: str
) -> Mapping[tuple[str, str], int]:
    """Published numbers; of the official split's targets there are none."""
    sizes = {'test': 140} if protocol == 'ffpp' else _SIZES
    variants = _choose_variants(variant)
    counts = {
        (split, name): size
        for split, size in sizes.items()
        for name in variants
    }
    if protocol == 'ffpp':
        distorted = reals == 'distorted' and variants[0] not in CLEAN
        counts['test', 'real'] = 140 * (len(variants) if distorted else 1)
    return counts


def _notes(
    videos: Sequence[Video],
    *,
    ffpp: str | Path | None = None,
    ffpp_splits: str | Path | None = None,
) -> list[str]:
    reals = [video for video in videos if not video.label]
    distorted = any(video.distortions for video in reals)
    variants = {video.method for video in videos if video.label}
    how = 'distorted as their fakes' if distorted else 'as they are'
    count = counted(len(reals), 'real')
    notes = [f"{count}: FaceForensics++'s c23 targets, {how}"]
    if len(variants) > 1:
        notes.append(
            'the scores compare the fakes of each variant with the reals '
            'of all; prepare each variant alone to separate them'
        )
    if variants - {*CLEAN} and not distorted:
        notes.append(
            'distorted fakes and clean reals: the distortion alone '
            'separates them'
        )
    if ffpp is not None:
        notes.append(_overlap(videos, ffpp, ffpp_splits))
    return notes


def _overlap(
    videos: Sequence[Video], ffpp: str | Path, splits: str | Path | None
) -> str:
    """Tell how many targets of the test FaceForensics++ trains on."""
    try:
        pairs = read_splits(ffpp, splits)
    except ValueError as error:
        return f"overlap with FaceForensics++'s training unknown: {error}"
    trained = {f'ffpp/{name}' for pair in pairs['train'] for name in pair}
    targets = {
        video.people[0]
        for video in videos
        if video.label and video.split == 'test'
    }
    return (
        f'{len(targets & trained)} of {len(targets)} targets of the test '
        "are in FaceForensics++'s training split"
    )


@register_source('dfo', counts=_counts, notes=_notes)
def list_videos(
    root: str | Path,
    *,
    ffpp: str | Path,
    ffpp_splits: str | Path | None = None,
    variant: str = 'end_to_end',
    protocol: Literal['ffpp', 'official'] = 'ffpp',
    reals: Literal['distorted', 'clean'] = 'distorted',
) -> list[Video]:
    """List the fakes of the chosen variants, and their real targets.

    Which fakes there should be is known from the official split lists;
    ``ffpp`` can do without them, and lists the fakes that are there.

    Args:
        root: Folder that holds ``manipulated_videos`` and ``lists``.
        ffpp: FaceForensics++'s folder, with ``original_sequences`` at c23:
            the reals. Faces are found there for the fakes too.
        ffpp_splits: Folder of FaceForensics++'s split files; by default
            ``FFPP/splits`` or else ``FFPP`` itself.
        variant: Folder of ``manipulated_videos``, end_to_end by default;
            or a setting of the data set's paper, which may be several:
            std, sing (levels 1 to 5), rand, mix.
        protocol: The test: ffpp (default) = fakes whose target is in
            FaceForensics++'s test split, and its reals; official = the
            data set's own split by actor, which can also be trained on.
        reals: Of distorted variants: distorted (default) = each as its
            fake, by the meta file, once a variant; clean = as they are.

    Returns:
        Reals, then fakes, variant by variant. A target is in the split
        of its fake (of the first, had it several).

    Raises:
        DataError: An option is unknown; the tree, a list or a meta file
            that is needed is not there or malformed.
    """
    root = Path(root)
    variants = _choose_variants(variant)
    _check_choice('protocol', protocol, ('ffpp', 'official'))
    _check_choice('reals', reals, ('distorted', 'clean'))
    if not (root / 'manipulated_videos').is_dir():
        raise DataError(
            f'{root}: no folder manipulated_videos. Remedy: the folder of '
            'the unzipped DeeperForensics-1.0'
        )
    if protocol == 'ffpp':
        test = read_splits(ffpp, ffpp_splits)['test']
        targets = {name: 'test' for pair in test for name in pair}
        fakes = _fakes_of(root, variants, targets)
    else:
        fakes = _read_splits(root)
        targets = {}
        for fake, split in fakes.items():
            targets.setdefault(fake.target, split)
    if reals == 'distorted' and variants[0] not in CLEAN:
        videos = _distorted_reals(root, variants, fakes, ffpp)
        real_id = _DISTORTED_ID
    else:
        videos = [_real(ffpp, *target) for target in targets.items()]
        real_id = _CLEAN_ID
    return videos + [
        replace(
            _fake(root, ffpp, name, fake, split),
            original=real_id.format(variant=name, target=fake.target),
        )
        for name in variants
        for fake, split in fakes.items()
    ]


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise SettingError(
            f'unknown {name} {value!r}. Remedy: one of {", ".join(choices)}'
        )


def _choose_variants(variant: str) -> tuple[str, ...]:
    _check_choice('variant', variant, (*SETTINGS, *VARIANTS))
    return SETTINGS.get(variant, (variant,))


def _read_splits(root: Path) -> dict[_Fake, str]:
    """Read the official lists: the split of each fake, in their order."""
    splits: dict[_Fake, str] = {}
    for split in SPLITS:
        path = root / 'lists/splits' / f'{split}.txt'
        if not path.is_file():
            raise DataError(
                f"{path}: no such list. Remedy: copy the data set's lists"
            )
        for fake in read_lines(path, _parse)[0]:
            if splits.setdefault(fake, split) != split:
                raise DataError(
                    f'{path}: {fake.name} is in {splits[fake]}, too. '
                    "Remedy: the data set's own lists"
                )
    return splits


def _parse(line: str) -> _Fake:
    """Read ``000_M101.mp4``, with or without folders."""
    stem = PurePosixPath(line.strip().replace('\\', '/')).stem
    match = _NAME.fullmatch(stem)
    if not match:
        raise DataError(
            f'{line!r:.80} is not named as {_NAMED}, e.g. 000_M101.mp4'
        )
    return _Fake(*match.groups())


def _fakes_of(
    root: Path, variants: Iterable[str], targets: Mapping[str, str]
) -> dict[_Fake, str]:
    """Return the fakes of some targets: those listed and those there."""
    listed = (root / 'lists/splits').is_dir()
    fakes = set(_read_splits(root)) if listed else set()
    for variant in variants:
        folder = root / 'manipulated_videos' / variant
        for path in video_files(folder):
            match = _NAME.fullmatch(path.stem)
            if match:
                fakes.add(_Fake(*match.groups()))
            else:
                leave_out(path, 'name', f'other than {_NAMED}')
    return {
        fake: targets[fake.target]
        for fake in sorted(fakes)
        if fake.target in targets
    }


def _distorted_reals(
    root: Path,
    variants: Iterable[str],
    fakes: Mapping[_Fake, str],
    ffpp: str | Path,
) -> list[Video]:
    """Return each target once a variant, to be distorted as its fake."""
    first: dict[str, _Fake] = {}
    for fake in fakes:
        first.setdefault(fake.target, fake)
    videos = []
    for variant in variants:
        path = META.format(variant)
        distortions = _read_meta(root / 'lists' / path, variant)
        for target, fake in first.items():
            if fake.name not in distortions:
                raise DataError(
                    f'{path}: {fake.name} is missing. Remedy: the data '
                    "set's own file, or reals='clean'"
                )
            video = _real(ffpp, target, fakes[fake])
            videos.append(
                replace(
                    video,
                    video_id=_DISTORTED_ID.format(
                        variant=variant, target=target
                    ),
                    distortions=distortions[fake.name],
                )
            )
    return videos


def _read_meta(path: Path, variant: str) -> dict[str, tuple]:
    """Read the distortions by name of the fake.

    The authors' program keeps a video's former paths in the file when it
    distorts it more than once; the line in the variant's folder counts.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such file. Remedy: copy the data set's lists, or "
            "reals='clean'"
        )
    found = {}
    for name, distortions in read_meta(path).items():
        place = PurePosixPath(name.replace('\\', '/'))
        if place.parent.name == variant or place.stem not in found:
            found[place.stem] = distortions
    return found


def _real(ffpp: str | Path, target: str, split: str) -> Video:
    return Video(
        video_id=_CLEAN_ID.format(target=target),
        path=real_path(ffpp, target),
        label=0,
        method='real',
        split=split,
        people=(f'ffpp/{target}',),
    )


def _fake(
    root: Path, ffpp: str | Path, variant: str, fake: _Fake, split: str
) -> Video:
    return Video(
        video_id=f'{variant}/{fake.name}',
        path=root / 'manipulated_videos' / variant / f'{fake.name}.mp4',
        label=1,
        method=variant,
        split=split,
        people=(f'ffpp/{fake.target}', f'dfo/{fake.actor}'),
        boxes_from=real_path(ffpp, fake.target),
    )
