"""A miniature FaceForensics++ whose forgeries are made under control.

:func:`make_demo` writes real mp4 files in FaceForensics++'s own tree with its
split files, so that demo and real data take the same path. In every video a
head, light and camera noise move and flicker; every fake shows the scene of
the real video that it targets, with the inner face re-rendered frame by frame
and blended in. What betrays it is its *kind*:

``appearance``
    Single frames: the inner face is blurred, off-colour, with a seam. It
    moves as the real ones do.
``jitter``
    Frame-to-frame motion (F^M, Eq. 1). Each frame by itself is distributed
    exactly as in the real videos.
``consistency``
    The change of motion (F^MM, Eq. 2). Single frames and pairs of successive
    saved frames are distributed exactly as in the real videos; pairs further
    apart are not.
``triplet``
    Three frames in their order, and no less. Pairs of saved frames are
    distributed exactly as in the real videos, however far apart they are.

Why exactly. Each motion of the inner face is ``amplitude * sin(phase_t)``,
each with its own phase, ``phase_0`` uniform on the circle.

- real (:func:`smooth_phase`): the phase goes one way by a fixed step;
- jitter (:func:`jitter_phase`): every phase is drawn anew. ``phase_t`` is
  uniform for every t in both, and the motions are independent;
- consistency (:func:`consistency_phase`): the phase goes forth or back by the
  same step at random. ``phase_t`` is uniform and independent of the direction
  it takes next, as in the real videos, so ``(phase_t, phase_t+1)`` has one
  law in both;
- triplet (:func:`triplet_phase`): its real videos are its own. The phase goes
  one way by three steps in turn, a, b, c, a, b, ...; in the fakes by c, b, a,
  c, b, ... So the fakes have the law of real videos that are shown backwards,
  and the steps between two frames add up to the same three sums in both.

Crops are saved from every 2nd frame (Sec. 3), and two free steps would add up
to -2, 0 or +2 steps, never 0 in a real video. Hence directions and steps are
held over ``hold=2`` source frames, from even frame to even frame: what is said
above of pairs holds for the saved frames. (For `consistency` it does not where
saving starts at an odd frame; it starts at frame 0 where the face is found
there. For `triplet` it does: half a step at either end is the same forwards
and backwards.)

A random walk does not get as far as a steady one: of `consistency`, ONE pair
of saved frames tells what is fake if it is two apart. The best classifier of
the seven motions' exact values has an AUC of 0.50 for pairs one apart, of 0.99
for two apart (``tests/synthetic/test_demo.py``). A network that sees a
whole clip needs no second difference for it; of `triplet`, no set of pairs
tells anything.

Real and fake videos of the last three kinds pass the same renderer, blending,
noise and codec; so do genuine videos of people, whose faces then have one of
these motions beside their own. With ``smooth_real=False`` a genuine video used
as real is encoded anew with its frames as they are, neither rendered nor
blended: traces of the renderer then show what is fake too, in single frames as
well, and the laws above are not in common.

The codec, Motion JPEG, sees one frame at a time: a codec that predicts frames
from each other spends its bits by motion, and writes motion into single
frames.
"""

import csv
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.faces import detect_faces
from gml_mmaction.io.pool import run_in_processes
from gml_mmaction.io.text import counted
from gml_mmaction.sources import SPLITS
from gml_mmaction.sources.origin import write_origin
from gml_mmaction.video import VideoError, VideoReader

from .render import (
    MOTIONS,
    PORTRAITS,
    FaceBox,
    Look,
    draw_scene,
    reenact,
    render_head,
)

METHOD = 'Deepfakes'  # an official folder name: every reader finds it
FPS = 25
# The three steps of `triplet`, in mean steps; the sines of their phases tell
# the two orders apart without fault (AUC 1.000).
CYCLE = (0.5, 1.0, 2.0)
MIN_FILMS = 3  # of the people in training; two of them for validation
MIN_FRAMES = 16  # one clip: 8 saved frames, every 2nd of the source

_REAL_FOLDER = Path('original_sequences/youtube/c23/videos')
_FAKE_FOLDER = Path('manipulated_sequences') / METHOD / 'c23/videos'

# (num_frames, generator, step) -> phases, (num_frames,), in radians
Phase = Callable[[int, np.random.Generator, float], np.ndarray]


def smooth_phase(
    num_frames: int, generator: np.random.Generator, step: float
) -> np.ndarray:
    """Phases that go one way, forth or back, by ``step`` a frame.

    Returns:
        ``(num_frames,)`` radians; each is uniform modulo 2 pi.
    """
    direction = generator.choice([-1, 1])
    start = generator.uniform(0, 2 * np.pi)
    return start + direction * step * np.arange(num_frames)


def jitter_phase(
    num_frames: int, generator: np.random.Generator, step: float = 0.0
) -> np.ndarray:
    """Phases drawn anew for every frame; ``step`` has no part in them.

    Returns:
        ``(num_frames,)`` radians, independent, uniform on [0, 2 pi).
    """
    return generator.uniform(0, 2 * np.pi, num_frames)


def consistency_phase(
    num_frames: int,
    generator: np.random.Generator,
    step: float,
    hold: int = 2,
) -> np.ndarray:
    """Phases that go forth or back by ``step``, at random.

    The direction is drawn for ``hold`` frames at a time, counted from frame
    0: frames saved every ``hold`` are each a whole move apart.

    Returns:
        ``(num_frames,)`` radians; each is uniform modulo 2 pi.
    """
    start = generator.uniform(0, 2 * np.pi)
    directions = generator.choice([-1, 1], -(-num_frames // hold))
    moves = step * np.repeat(directions, hold)[: num_frames - 1]
    return start + np.concatenate([[0], np.cumsum(moves)])


def triplet_phase(
    num_frames: int,
    generator: np.random.Generator,
    step: float,
    hold: int = 2,
    *,
    first: int,
    backwards: bool = False,
) -> np.ndarray:
    """Phases that go one way, forth or back, by three steps in turn.

    The steps are ``step`` times :data:`CYCLE`, each held for ``hold`` frames,
    counted from frame 0.

    Args:
        num_frames: Frames of the video.
        generator: Of the direction and the start.
        step: Radians a frame, the middle of the three.
        hold: Frames that a step is held for.
        first: Index of the first step.
        backwards: Take the steps in the other order.

    Returns:
        ``(num_frames,)`` radians; each is uniform modulo 2 pi.
    """
    direction = generator.choice([-1, 1])
    start = generator.uniform(0, 2 * np.pi)
    turn = -1 if backwards else 1
    order = first + turn * (np.arange(num_frames - 1) // hold)
    moves = direction * step * np.take(CYCLE, order, mode='wrap')
    return start + np.concatenate([[0], np.cumsum(moves)])


def draw_triplet(
    generator: np.random.Generator, *, backwards: bool = False
) -> Phase:
    """One of the three steps for all motions of a video to start with."""
    first = int(generator.integers(len(CYCLE)))
    return partial(triplet_phase, first=first, backwards=backwards)


# Draws what the motions of one video have in common.
DrawPhase = Callable[[np.random.Generator], Phase]


class Kind(NamedTuple):
    """How real and fake videos of a kind move."""

    real: DrawPhase
    fake: DrawPhase


PHASES = {
    'appearance': Kind(lambda _: smooth_phase, lambda _: smooth_phase),
    'jitter': Kind(lambda _: smooth_phase, lambda _: jitter_phase),
    'consistency': Kind(lambda _: smooth_phase, lambda _: consistency_phase),
    'triplet': Kind(draw_triplet, partial(draw_triplet, backwards=True)),
}
KINDS = tuple(PHASES)


def face_motion(
    num_frames: int,
    generator: np.random.Generator,
    phase: Phase,
    step: float,
) -> np.ndarray:
    """The inner face's motion: the sines of independent phases.

    Each of :data:`~.demo_render.MOTIONS` has its own step, 0.7 to 1.3 times
    ``step`` (radians a frame), fixed for the video.

    Returns:
        ``(num_frames, 7)``, each in [-1, 1], one column a motion.
    """
    steps = step * generator.uniform(0.7, 1.3, len(MOTIONS))
    phases = [phase(num_frames, generator, own) for own in steps]
    return np.sin(np.stack(phases, axis=1))


def band_limited(
    num_frames: int, num_tracks: int, generator: np.random.Generator
) -> np.ndarray:
    """Smooth wandering: three sines of 0.1 to 0.8 Hz a track.

    Returns:
        ``(num_frames, num_tracks)``, in [-1, 1].
    """
    seconds = np.arange(num_frames)[:, None, None] / FPS
    shape = (3, num_tracks)
    hertz = generator.uniform(0.1, 0.8, shape)
    start = generator.uniform(0, 2 * np.pi, shape)
    weight = generator.dirichlet(np.ones(3), num_tracks).T
    waves = np.sin(2 * np.pi * hertz * seconds + start)
    return (weight * waves).sum(axis=1)


def draw_look(generator: np.random.Generator) -> Look:
    """The traces that `appearance` leaves in single frames.

    A blur, less contrast, and a cold tint that leaves the luminance as it is,
    so that dlib, which looks at grey levels, still finds the face.
    """
    cb = generator.uniform(12, 25)  # BT.601: more blue,
    cr = -generator.uniform(8, 18)  # less red
    tint = (1.402 * cr, -0.344 * cb - 0.714 * cr, 1.772 * cb)
    return Look(
        blur=generator.uniform(0.005, 0.01),
        gain=generator.uniform(0.9, 1),
        tint=tint,
        soft=generator.uniform(0.25, 0.4),
    )


@dataclass(frozen=True)
class Settings:
    """What all videos of one demo set have in common.

    Attributes:
        kind: What betrays a fake, one of :data:`KINDS`.
        seed: Of everything random.
        amplitude: Of the inner face's motion, in face widths. The default
            moves it by up to 1.6 pixels a parameter in a crop of 64x64.
        step: Mean advance of the phases, radians a source frame.
        noise: Mean standard deviation of the camera noise, grey levels;
            videos differ by a factor of 0.5 to 1.5. Portraits only.
        smooth_real: Render the real ones' inner face too, with smooth
            motion. Always so with portraits.
    """

    kind: str = 'jitter'
    seed: int = 0
    amplitude: float = 0.05
    step: float = 0.15
    noise: float = 2.0
    smooth_real: bool = True

    def __post_init__(self) -> None:
        """Refuse values that the construction does not cover."""
        if self.kind not in PHASES:
            raise SettingError(
                f'kind={self.kind!r}: choose one of {", ".join(KINDS)}'
            )
        limits = {'amplitude': 0.1, 'step': 1.0, 'noise': 50.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise SettingError(
                    f'{name}={value}: choose a value from 0 to {limit}'
                )


@dataclass(frozen=True)
class Shot:
    """One real video of the set, and what it is made of.

    Attributes:
        video_id: FaceForensics++'s three digits.
        person: Who is seen.
        split: 'train', 'val' or 'test'.
        num_frames: Its length.
        fps: Its frames a second.
        file: Path of the film it is cut from; None for a portrait.
        start: Its first frame in ``file``.
    """

    video_id: str
    person: str
    split: str
    num_frames: int
    fps: float = FPS
    file: str | None = None
    start: int = 0

    def generator(
        self, settings: Settings, stream: str
    ) -> np.random.Generator:
        """Random numbers for one purpose, the same for every kind."""
        streams = ('scene', 'real', 'fake', 'look')
        return np.random.default_rng(
            [settings.seed, int(self.video_id), streams.index(stream)]
        )


def shot_frames(
    shot: Shot, settings: Settings, label: int
) -> Iterator[np.ndarray]:
    """The frames of the shot's real (label 0) or fake (1) video.

    Both show one scene; motion of the inner face and noise are each one's
    own.

    Yields:
        ``(H, W, 3)`` RGB uint8.
    """
    generator = shot.generator(settings, 'fake' if label else 'real')
    phase = PHASES[settings.kind][label](generator)
    motion = settings.amplitude * face_motion(
        shot.num_frames, generator, phase, settings.step
    )
    look = Look()
    if label and settings.kind == 'appearance':
        look = draw_look(shot.generator(settings, 'look'))
    if shot.file is None:
        scene, noise = _portrait_scene(shot, settings)
    elif label or settings.smooth_real:
        scene, noise = _filmed_scene(shot), 0.0
    else:
        yield from _film_frames(shot)
        return
    for (frame, face), warp in zip(scene, motion, strict=True):
        frame = reenact(frame, face, warp, look)
        grain = generator.standard_normal(frame.shape, np.float32)
        frame = frame + np.float32(noise) * grain
        yield np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def _portrait_scene(
    shot: Shot, settings: Settings
) -> tuple[Iterator[tuple[np.ndarray, FaceBox]], float]:
    """Frames with a moving head and its face, and the level of noise."""
    generator = shot.generator(settings, 'scene')
    still = draw_scene(PORTRAITS[shot.person](), generator)
    reach = np.array([0.04, 0.03, 0.04, 0.03]) * generator.uniform(0.3, 1)
    head = reach * band_limited(shot.num_frames, 4, generator)
    light = 0.06 * band_limited(shot.num_frames, 2, generator)
    noise = settings.noise * generator.uniform(0.5, 1.5)
    return map(partial(render_head, still), head, light), noise


def _filmed_scene(shot: Shot) -> Iterator[tuple[np.ndarray, FaceBox]]:
    """Frames of a film and the face in each.

    The film is read twice, first for its faces, so that no more than a frame
    is held.
    """
    try:
        faces = track_face(_film_frames(shot))
    except ValueError as error:
        raise DataError(f'{shot.file}: {error}') from error
    frames = (frame.astype(np.float32) for frame in _film_frames(shot))
    return zip(frames, faces, strict=True)


def _film_frames(shot: Shot) -> Iterator[np.ndarray]:
    assert shot.file is not None  # it is not a portrait
    with VideoReader(shot.file) as reader:
        stop = shot.start + shot.num_frames
        yield from reader.frames(start=shot.start, stop=stop)


def track_face(
    frames: Iterable[np.ndarray], smoothing: float = 2.0
) -> list[FaceBox]:
    """The face in every frame: dlib's boxes, gaps filled, smoothed.

    dlib runs on each frame by itself; of several faces the one nearest to the
    last is taken. Where none is found (a hand is before the face), the box
    is between those around. A Gaussian over time (sigma ``smoothing``
    frames) takes off the steps of dlib's image pyramid.

    Args:
        frames: ``(H, W, 3)`` RGB uint8 each; one is held at a time.
        smoothing: Sigma in frames.

    Raises:
        DataError: dlib finds no face in any frame.
    """
    found = []
    boxes: list[tuple[float, float, float]] = []
    num_frames = 0
    for index, frame in enumerate(frames):
        num_frames += 1
        # the search in the doubled frame costs four times as much
        faces = detect_faces(frame, upsample=0) or detect_faces(frame)
        if faces:
            candidates = [_centre_and_width(face.box) for face in faces]
            last = boxes[-1] if boxes else candidates[0]
            found.append(index)
            boxes.append(min(candidates, key=partial(math.dist, last)))
    if not boxes:
        raise DataError('dlib finds no face; leave the video out')
    at = np.arange(num_frames)
    tracks = [np.interp(at, found, track) for track in np.transpose(boxes)]
    smooth = cv2.GaussianBlur(
        np.stack(tracks), (0, 0), sigmaX=smoothing, sigmaY=1e-6
    )
    return [FaceBox(*map(float, box)) for box in smooth.T]


def _centre_and_width(
    box: tuple[int, int, int, int],
) -> tuple[float, float, float]:
    left, top, width, height = box
    return left + width / 2, top + height / 2, float(width)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what C libraries print on stderr.

    OpenCV warns on every file that MJPG is not the tag of Motion JPEG in mp4
    before it takes the right one ('mp4v').
    """
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: float = FPS
) -> None:
    """Write RGB uint8 frames as Motion JPEG in mp4; all or nothing.

    Raises:
        OSError: This build of OpenCV cannot write it.
        DataError: There are no frames.
    """
    path = Path(path)
    part = path.with_name(f'.part-{path.name}')
    writer = None
    try:
        for frame in frames:
            if writer is None:
                writer = _open_writer(part, frame, fps)
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if writer is None:
            raise ValueError(f'{path}: no frames to write')
        writer.release()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _open_writer(path: Path, frame: np.ndarray, fps: float) -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    with _quiet_stderr():
        writer = cv2.VideoWriter(
            str(path),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter.fourcc(*'MJPG'),
            fps,
            (width, height),
        )
    if not writer.isOpened():
        raise OSError(
            f'{path}: this OpenCV writes no Motion JPEG; '
            'install opencv-python or opencv-python-headless from PyPI'
        )
    return writer


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
                f'num_{split}={count}: choose a multiple of 4, '
                'as each pair of ids makes two real and two fake videos'
            )
    if frames < MIN_FRAMES:
        raise SettingError(f'frames={frames}: choose {MIN_FRAMES} or more')
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
            f'{test_person!r}: '
            f'give {MIN_FILMS} or more, two for validation and the rest for '
            'training (a long one may be split into several files)'
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
                f'{counted(piece.num_frames, "frame")}; give videos of '
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
            f'{people}: give a CSV with the columns file,person and a row '
            'for each video'
        )
    return [_probe(videos / row['file'], row['person']) for row in rows]


def _probe(path: Path, person: str) -> _Film:
    try:
        with VideoReader(path) as reader:
            return _Film(str(path), person, reader.num_frames, reader.fps)
    except (OSError, VideoError) as error:
        raise DataError(f'{path}: {error}; leave the video out') from error


def _pick_person(people: Iterable[str], test_person: str | None) -> str:
    """``test_person``, or the last by name; the others are for training."""
    names = sorted(set(people))
    picked = names[-1] if test_person is None else test_person
    if picked not in names or len(names) < 2:
        raise SettingError(
            f'test_person={picked!r}: choose one of {", ".join(names)}, '
            'and have two people or more'
        )
    return picked


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.part-{path.name}')
    part.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    os.replace(part, path)


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
    """``people.json`` and the split files; the plan of a set is for good."""
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
    write_video(job.path, frames, job.shot.fps)


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
        kind: What betrays a fake, one of :data:`KINDS`.
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
        DataError: A parameter is out of its range, a video cannot be used,
            or ``root`` holds another demo set.
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
