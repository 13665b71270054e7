"""The frames of a real video of the demo, and of the fake that is made of it.

The scene is a portrait that moves its head, or a film.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.faces import detect_faces
from gml_mmaction.video import VideoReader

from .kinds import KINDS, PHASES, face_motion
from .render import PORTRAITS, FaceBox, Look, draw_scene, reenact, render_head

__all__ = [
    'Settings',
    'Shot',
    'band_limited',
    'draw_look',
    'shot_frames',
    'track_face',
]

FPS = 25


@dataclass(frozen=True)
class Settings:
    """What all videos of one demo set have in common.

    Attributes:
        kind: What betrays a fake, one of :data:`~.kinds.KINDS`.
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
                f'kind={self.kind!r}: no such kind. Remedy: one of '
                f'{", ".join(KINDS)}'
            )
        limits = {'amplitude': 0.1, 'step': 1.0, 'noise': 50.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise SettingError(
                    f'{name}={value}: out of bounds. Remedy: 0 to {limit}'
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
        raise DataError('dlib finds no face. Remedy: leave the video out')
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
