"""A miniature FaceForensics++ whose forgeries are made under control.

:func:`make_demo` writes real mp4 files in FaceForensics++'s own tree with its
split files, so that demo and real data take the same path. In every video a
head, light and camera noise move and flicker; every fake shows the scene of
the real video that it targets, with the inner face re-rendered frame by frame
and blended in. What betrays it is its *kind* (:mod:`.kinds`).

Real and fake videos of all kinds but ``appearance`` pass the same renderer,
blending, noise and codec; so do genuine videos of people, whose faces then
have one of these motions beside their own. With ``smooth_real=False`` a
genuine video used as real is encoded anew with its frames as they are, neither
rendered nor blended: traces of the renderer then show what is fake too, in
single frames as well, and the laws of the kinds are not in common.

The codec, Motion JPEG, sees one frame at a time: a codec that predicts frames
from each other spends its bits by motion, and writes motion into single
frames.
"""

import csv
import json
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.io.files import write_text
from gml_mmaction.io.pool import run_in_processes
from gml_mmaction.io.text import counted
from gml_mmaction.sources import SPLITS
from gml_mmaction.sources.origin import write_origin
from gml_mmaction.video import VideoError, VideoReader
from gml_mmaction.video.writer import write_motion_jpeg

from .render import PORTRAITS
from .shots import Settings, Shot, shot_frames

METHOD = 'Deepfakes'  # an official folder name: every reader finds it
MIN_FILMS = 3  # of the people in training; two of them for validation
MIN_FRAMES = 16  # one clip: 8 saved frames, every 2nd of the source

_REAL_FOLDER = Path('original_sequences/youtube/c23/videos')
_FAKE_FOLDER = Path('manipulated_sequences') / METHOD / 'c23/videos'


class _Film(NamedTuple):
    """A genuine video, or a piece of it."""

    file: str
    person: str
    num_frames: int
    fps: float
    start: int = 0


def _plan_portraits(
    counts: dict[str, int], frames: int, test_person: str
) -> list[Shot]:
    """Half of each split's videos are real; each is a shot."""
    for split, count in counts.items():
        if count < 0 or count % 4:
            raise SettingError(
                f'num_{split}={count}: each pair of ids makes two real and '
                'two fake videos. Remedy: a multiple of 4'
            )
    if frames < MIN_FRAMES:
        raise SettingError(
            f'frames={frames}: too few. Remedy: {MIN_FRAMES} or more'
        )
    others = [name for name in PORTRAITS if name != test_person]
    people = {'train': others, 'val': others, 'test': [test_person]}
    shots: list[Shot] = []
    for split, count in counts.items():
        for index in range(count // 2):
            person = people[split][index % len(people[split])]
            shots.append(Shot(f'{len(shots):03d}', person, split, frames))
    return shots


def _plan_films(films: list[_Film], test_person: str, seed: int) -> list[Shot]:
    """The test person's films, and the others' in train and val.

    One in seven pairs of the others' films is for validation. Ids come in
    pairs, so in a split with an odd number of films the longest is cut in
    two.

    Raises:
        DataError: The others have too few films, or one is too short.
    """
    others = [film for film in films if film.person != test_person]
    if len(others) < MIN_FILMS:
        raise DataError(
            f'{counted(len(others), "video")} of people other than '
            f'{test_person!r}. Remedy: give {MIN_FILMS} or more, two for '
            'validation and the rest for training (a long one may be split '
            'into several files)'
        )
    order = np.random.default_rng(seed).permutation(len(others))
    num_val = 2 * max(1, len(others) // 14)
    split_films = {
        'train': [others[index] for index in order[num_val:]],
        'val': [others[index] for index in order[:num_val]],
        'test': [film for film in films if film.person == test_person],
    }
    pieces = [
        (split, piece)
        for split, mine in split_films.items()
        for piece in _even_pieces(mine)
    ]
    return [
        Shot(f'{index:03d}', split=split, **piece._asdict())
        for index, (split, piece) in enumerate(pieces)
    ]


def _even_pieces(films: list[_Film]) -> list[_Film]:
    """The films; of an odd number the longest is cut in two."""
    pieces = list(films)
    if len(films) % 2:
        longest = max(films, key=lambda film: film.num_frames)
        half = longest.num_frames // 2
        rest = longest.num_frames - half
        pieces[pieces.index(longest)] = longest._replace(num_frames=half)
        pieces.append(longest._replace(num_frames=rest, start=half))
    for piece in pieces:
        if piece.num_frames < MIN_FRAMES:
            raise DataError(
                f'{piece.file}: too short, a piece of '
                f'{counted(piece.num_frames, "frame")}. Remedy: videos of '
                f'{2 * MIN_FRAMES} frames or more'
            )
    return pieces


def _list_films(videos: Path, people: str | Path | None) -> list[_Film]:
    """The videos that ``people`` names."""
    people = Path(people or videos / 'people.csv')
    with open(people, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    if not rows or not {'file', 'person'} <= set(rows[0]):
        raise DataError(
            f'{people}: no list of people. Remedy: a CSV with the columns '
            'file,person and a row for each video'
        )
    return [_probe(videos / row['file'], row['person']) for row in rows]


def _probe(path: Path, person: str) -> _Film:
    try:
        with VideoReader(path) as reader:
            return _Film(str(path), person, reader.num_frames, reader.fps)
    except (OSError, VideoError) as error:
        raise DataError(
            f'{path}: {error}. Remedy: leave the video out'
        ) from error


def _pick_person(people: Iterable[str], test_person: str | None) -> str:
    """``test_person``, or the last by name; the others are for training."""
    names = sorted(set(people))
    picked = names[-1] if test_person is None else test_person
    if picked not in names or len(names) < 2:
        raise SettingError(
            f'test_person={picked!r}: it takes one of two people or more. '
            f'Remedy: one of {", ".join(names)}'
        )
    return picked


def _write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=1) + '\n')


def _describe(shot: Shot, videos: str | Path | None) -> dict:
    """The shot for ``people.json``; its film as seen from ``videos``.

    The plan does not depend on the folder's place or on how it is spelt.
    """
    record = asdict(shot)
    if shot.file is not None:
        record['file'] = Path(os.path.relpath(shot.file, videos)).as_posix()
    return record


def _write_plan(
    root: Path,
    settings: Settings,
    shots: list[Shot],
    videos: str | Path | None,
) -> None:
    """``people.json`` and the split files; a set keeps its plan."""
    plan = {
        'method': METHOD,
        'parameters': asdict(settings),
        'videos': {shot.video_id: _describe(shot, videos) for shot in shots},
    }
    path = root / 'people.json'
    if path.exists() and json.loads(path.read_text('utf-8')) != plan:
        raise SettingError(
            f'{root}: holds a demo set with other parameters. Remedy: '
            'another folder, or remove this one'
        )
    for folder in (_REAL_FOLDER, _FAKE_FOLDER):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write_json(path, plan)
    for split in ('train', 'val', 'test'):
        ids = [shot.video_id for shot in shots if shot.split == split]
        pairs = [list(pair) for pair in zip(ids[::2], ids[1::2], strict=True)]
        _write_json(root / 'splits' / f'{split}.json', pairs)


def _origin(shots: list[Shot], *, filmed: bool) -> dict[str, str]:
    """Say by split what the videos are made of."""
    words = {}
    for split in SPLITS:
        count = len({shot.person for shot in shots if shot.split == split})
        number = 'one' if count == 1 else str(count)
        if filmed:
            some = 'person' if count == 1 else 'people'
            made = f'videos of {number} {some} with faces drawn anew'
        else:
            made = f'made-up videos of {number} portrait'
            made += '' if count == 1 else 's'
        words[split] = f'{made}, no real forgery'
    return words


def _partner(video_id: str) -> str:
    """The other id of the pair: 000 and 001, 002 and 003, ..."""
    return f'{int(video_id) ^ 1:03d}'


class _Job(NamedTuple):
    """What a process needs to know to make one video."""

    path: Path
    settings: Settings
    shot: Shot
    label: int


def _jobs(root: Path, settings: Settings, shots: list[Shot]) -> list[_Job]:
    """Every shot's real and fake video."""
    jobs = []
    for shot in shots:
        name = shot.video_id
        real = root / _REAL_FOLDER / f'{name}.mp4'
        fake = root / _FAKE_FOLDER / f'{name}_{_partner(name)}.mp4'
        jobs += [_Job(real, settings, shot, 0), _Job(fake, settings, shot, 1)]
    return jobs


def _run_job(job: _Job) -> None:
    frames = shot_frames(job.shot, job.settings, job.label)
    write_motion_jpeg(job.path, frames, job.shot.fps)


def _report_crash(job: _Job) -> None:
    raise RuntimeError(
        f'the process that made video {job.shot.video_id} died twice; '
        'try again with workers=1'
    )


def _write_videos(
    jobs: list[_Job],
    workers: int,
    progress: Callable[..., Iterable[None]] | None,
) -> None:
    """The videos, but for those that are there."""
    todo = [job for job in jobs if not job.path.exists()]
    made: Iterable[None] = map(_run_job, todo)
    if workers != 1:
        made = run_in_processes(
            _run_job, todo, workers=workers, on_crash=_report_crash
        )
    if progress:
        made = progress(made, total=len(jobs), initial=len(jobs) - len(todo))
    deque(made, maxlen=0)


def make_demo(
    root: str | Path,
    kind: str = 'jitter',
    *,
    seed: int = 0,
    num_train: int = 48,
    num_val: int = 16,
    num_test: int = 24,
    frames: int = 80,
    amplitude: float = Settings.amplitude,
    step: float = Settings.step,
    noise: float = Settings.noise,
    test_person: str | None = None,
    videos: str | Path | None = None,
    people: str | Path | None = None,
    smooth_real: bool = True,
    workers: int = 2,
    progress: Callable[..., Iterable[None]] | None = None,
) -> list[Shot]:
    """Write a demo set in FaceForensics++'s tree, with its split files.

    By default talking heads are made from portraits that installed packages
    carry. With ``videos``, they are genuine videos of real people whose inner
    face is re-rendered: in the real ones with smooth motion, in the fakes as
    the kind says.

    ``root/people.json`` says what each video is made of, and
    ``root/origin.json`` that no forgery in it is a real one. A set that was
    interrupted is completed by the same call.

    Paper: it has no such set. In FaceForensics++ the fake ``a_b`` shows the
    video ``a`` with the face of ``b``; here the inner face of ``a`` is
    re-rendered, and ``b`` is only its partner in the split file.

    Args:
        root: The folder to write to.
        kind: What betrays a fake, one of :data:`.kinds.KINDS`.
        seed: Same seed, same frames. The real videos do not depend on the
            kind, but for those of `triplet`.
        num_train: Videos for training, half of them fake; a multiple of 4,
            as ``num_val`` and ``num_test``. Portraits only.
        num_val: Videos for validation, of the training person.
        num_test: Videos for testing, of the test person.
        frames: Frames a video, 16 or more. Portraits only.
        amplitude: See :class:`Settings`, also for ``step`` and ``noise``.
        step: Mean advance of the phases, radians a source frame.
        noise: Mean camera noise, grey levels. Portraits only.
        test_person: Seen in testing only. Default: the last by name.
        videos: A folder of genuine videos of people who face the camera;
            three or more of people other than the test person.
        people: A CSV with the columns file,person. Default:
            ``videos/people.csv``.
        smooth_real: Without it, genuine videos keep their frames, re-encoded;
            single frames then tell them from fakes, by traces of the
            renderer. Films only.
        workers: Processes; with 1 it all happens in this one.
        progress: Wraps the iterable of videos made as ``tqdm.tqdm`` does,
            called with ``total`` and ``initial``.

    Returns:
        The shots; each is one real and one fake video.

    Raises:
        SettingError: A parameter is out of its range, or ``root`` holds
            another demo set.
        DataError: A video cannot be used.
    """
    settings = Settings(
        kind, seed, amplitude, step, noise, smooth_real or videos is None
    )
    if videos is None:
        person = _pick_person(PORTRAITS, test_person)
        counts = {'train': num_train, 'val': num_val, 'test': num_test}
        shots = _plan_portraits(counts, frames, person)
    else:
        films = _list_films(Path(videos), people)
        person = _pick_person((film.person for film in films), test_person)
        shots = _plan_films(films, person, seed)
    root = Path(root)
    _write_plan(root, settings, shots, videos)
    write_origin(root, _origin(shots, filmed=videos is not None))
    _write_videos(_jobs(root, settings, shots), workers, progress)
    return shots
