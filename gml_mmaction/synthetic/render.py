"""Talking heads from a portrait, and faces re-rendered in a frame.

Pure functions of images and numbers; :mod:`gml_mmaction.synthetic.shots` and
:mod:`gml_mmaction.synthetic.kinds` choose the numbers.

Frames are ``(H, W, 3)`` RGB, float32, 0 to 255. A face is a dlib-like square
box; ``(u, v)`` are coordinates in it: the origin in its centre, u to the
face's right in the image, v down, in face widths.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

FRAME_SIZE = 256
MOTIONS = ('shift_x', 'shift_y', 'roll', 'zoom', 'mouth', 'smile', 'eyes')
_RADII = (0.44, 0.54)  # of the inner face, brows to chin, in face widths
_EYES_V, _MOUTH_V = -0.26, 0.21  # measured on the portraits below


class FaceBox(NamedTuple):
    """A face box: centre and width in pixels, roll in radians."""

    x: float
    y: float
    width: float
    roll: float = 0.0

    def moved(self, head: np.ndarray) -> 'FaceBox':
        """The box after ``head``: (shift_x, shift_y, roll, zoom).

        Shifts are in face widths, roll in radians; zoom adds to scale 1.
        """
        shift_x, shift_y, roll, zoom = (float(value) for value in head)
        return FaceBox(
            self.x + shift_x * self.width,
            self.y + shift_y * self.width,
            self.width * (1 + zoom),
            self.roll + roll,
        )

    def coordinates(
        self, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels ``x``, ``y`` as ``(u, v)`` in this face."""
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        x, y = (x - self.x) / self.width, (y - self.y) / self.width
        return x * cos + y * sin, y * cos - x * sin


class Portrait(NamedTuple):
    """A still picture, ``(H, W, 3)`` RGB uint8, and where its face is."""

    image: np.ndarray
    face: FaceBox


class Look(NamedTuple):
    """How the re-rendered inner face differs from the face around it.

    ``Look()`` differs in nothing. ``blur`` is a Gaussian's sigma in face
    widths; ``gain`` and ``tint`` (one per channel, in grey levels) change
    contrast and colour; ``soft`` is the width of the blended rim as a part
    of the inner face's radius, small for a seam.
    """

    blur: float = 0.0
    gain: float = 1.0
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    soft: float = 0.5


class Scene(NamedTuple):
    """A still ``image`` (a frame), the face in it, and how freely it moves.

    ``freedom``, ``(H, W)``, is 1 on the head and falls to 0 towards the
    background, which stays at rest.
    """

    image: np.ndarray
    face: FaceBox
    freedom: np.ndarray


def _grace_hopper() -> Portrait:
    from matplotlib import cbook

    path = cbook.get_sample_data('grace_hopper.jpg', asfileobj=False)
    data = np.frombuffer(Path(path).read_bytes(), np.uint8)
    image = cv2.imdecode(data, 1)
    assert image is not None  # matplotlib ships it
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return Portrait(image, FaceBox(268, 240, 190))


def _astronaut() -> Portrait:
    from skimage import data

    return Portrait(data.astronaut(), FaceBox(221, 126, 92))


# Both are in the public domain (photographs by the US Navy and NASA).
PORTRAITS = {'astronaut': _astronaut, 'grace_hopper': _grace_hopper}


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _pixel_grid(size: int = FRAME_SIZE) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return x, y


def _place(portrait: Portrait, rng: np.random.Generator) -> Scene:
    """The portrait scaled, rolled, mirrored and shifted into a frame."""
    image, face = portrait
    if rng.random() < 0.5:
        image = image[:, ::-1]
        face = face._replace(x=image.shape[1] - 1 - face.x)
    width, roll = rng.uniform(90, 108), rng.uniform(-0.04, 0.04)
    x = FRAME_SIZE * rng.uniform(0.47, 0.53)
    y = FRAME_SIZE * rng.uniform(0.46, 0.51)
    scale = width / face.width
    if scale < 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / scale)
    matrix = cv2.getRotationMatrix2D(
        (face.x, face.y), -np.degrees(roll), scale
    )
    matrix[:, 2] = matrix[:, 2] + (x - face.x, y - face.y)
    frame = cv2.warpAffine(
        image,
        matrix,
        (FRAME_SIZE, FRAME_SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    ).astype(np.float32)
    face = FaceBox(x, y, width, roll)
    u, v = face.coordinates(*_pixel_grid())
    radius = np.hypot(u, v / 1.15 + 0.05)
    return Scene(frame, face, 1 - _smoothstep((radius - 0.7) / 0.5))


def _restyle(scene: Scene, rng: np.random.Generator) -> Scene:
    """Other colours, light, sharpness and background."""
    image, face, freedom = scene
    grey = image.mean(axis=2, keepdims=True)
    image = grey + rng.uniform(0.6, 1.2) * (image - grey)
    image = 255 * np.clip(image / 255, 0, 1) ** rng.uniform(0.75, 1.4)
    image = image * rng.uniform(0.88, 1.12, 3) * rng.uniform(0.85, 1.1)
    image = image + rng.uniform(0, 15)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.7))
    backdrop = cv2.resize(
        rng.uniform(20, 220, (4, 4, 3)),
        (FRAME_SIZE, FRAME_SIZE),
        interpolation=cv2.INTER_CUBIC,
    )
    u, v = face.coordinates(*_pixel_grid())
    head = np.hypot(u, v / 1.2 + 0.2)
    body = np.hypot(u / 1.4, np.minimum(v - 1.5, 0))
    outside = _smoothstep((np.minimum(head, body) - 0.7) / 0.4)
    weight = (rng.uniform(0.2, 0.8) * outside)[..., None]
    image = np.clip((1 - weight) * image + weight * backdrop, 0, 255)
    return Scene(image.astype(np.float32), face, freedom)


def draw_scene(portrait: Portrait, generator: np.random.Generator) -> Scene:
    """A video's still picture, no two alike.

    Scale (a face of 90 to 108 pixels in a frame of 256), place, roll, mirror,
    gamma, colour, sharpness and background are drawn.
    """
    return _restyle(_place(portrait, generator), generator)


def render_head(
    scene: Scene, head: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, FaceBox]:
    """A frame in which the head has moved, and its face box.

    ``head`` as in :meth:`FaceBox.moved`; ``light``: (gain, slope), the
    relative change of brightness and its change from the left border to the
    right one.
    """
    face, rest = scene.face.moved(head), scene.face
    x, y = _pixel_grid()
    u, v = face._replace(roll=float(head[2])).coordinates(x, y)
    source_x = x + scene.freedom * (rest.x + u * rest.width - x)
    source_y = y + scene.freedom * (rest.y + v * rest.width - y)
    frame = cv2.remap(
        scene.image,
        source_x.astype(np.float32),
        source_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    gain = 1 + light[0] + light[1] * (x[:1] / FRAME_SIZE - 0.5)
    return frame * gain[..., None].astype(np.float32), face


def _bump(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.exp(-(u * u + v * v) / 2)


def displacement(
    u: np.ndarray, v: np.ndarray, motion: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the inner face's points go: ``(du, dv)`` at ``(u, v)``.

    ``motion``: one number for each of :data:`MOTIONS`, in face widths, about
    the largest shift that it causes. Mouth and eyes open, the smile widens.
    """
    shift_x, shift_y, roll, zoom, mouth, smile, eyes = motion
    mouth_u, mouth_v = u / 0.22, (v - _MOUTH_V) / 0.12
    eye_u, eye_v = (np.abs(u) - 0.2) / 0.12, (v - _EYES_V) / 0.08
    lips, lids = _bump(mouth_u, mouth_v), _bump(eye_u, eye_v)
    du = shift_x - 2 * roll * v + 2 * zoom * u + smile * mouth_u * lips
    dv = shift_y + 2 * roll * u + 2 * zoom * v + mouth * mouth_v * lips
    return du, dv + 0.5 * eyes * eye_v * lids


def reenact(
    frame: np.ndarray, face: FaceBox, motion: np.ndarray, look: Look
) -> np.ndarray:
    """The frame with its inner face rendered anew and blended in.

    The inner face (an ellipse) is warped by :func:`displacement`, which fades
    out in the rim, takes on the ``look`` and is laid over the frame with a
    soft mask. The rest of the frame stays as it is, to the bit.
    """
    reach = 0.6 * face.width
    left, top = (max(int(c - reach), 0) for c in (face.x, face.y))
    patch = frame[top : int(face.y + reach), left : int(face.x + reach)]
    y, x = np.mgrid[: patch.shape[0], : patch.shape[1]].astype(np.float32)
    x, y = x + left, y + top
    u, v = face.coordinates(x, y)
    radius = np.hypot(u / _RADII[0], v / _RADII[1])
    du, dv = displacement(u, v, motion)
    fade = face.width * _smoothstep((1 - radius) / 0.5)
    cos, sin = np.cos(face.roll), np.sin(face.roll)
    inner = cv2.remap(
        frame,
        (x - fade * (du * cos - dv * sin)).astype(np.float32),
        (y - fade * (du * sin + dv * cos)).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if look.blur:
        inner = cv2.GaussianBlur(inner, (0, 0), look.blur * face.width)
    inner = 128 + look.gain * (inner - 128) + np.array(look.tint, np.float32)
    mask = _smoothstep((1 - radius) / look.soft)[..., None]
    frame = frame.copy()
    frame[top : top + len(patch), left : left + patch.shape[1]] = (
        mask * inner + (1 - mask) * patch
    )
    return frame
