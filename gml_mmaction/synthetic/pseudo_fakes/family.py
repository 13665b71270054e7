"""What the families of pseudo-fakes share: the face, its mask, the blend.

Shapes: a clip is T RGB frames, ``(T, H, W, 3)`` uint8; a mask ``(T, H, W)``
float32 in [0, 1]. Points are (x, y) in pixels of the crop.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

__all__ = [
    'Face',
    'Forgery',
    'PseudoFake',
    'about',
    'blend',
    'face_in_crop',
    'face_of_points',
    'fill',
    'soft_mask',
    'warp',
]

# In sides of the crop, which is twice as large as the box that dlib finds
# (paper, Sec. 3): centre and semi-axes of the inner face, from the brows to
# the chin, and of its parts.
INNER_FACE = (0.5, 0.52, 0.19, 0.225)
PARTS = {
    'eyes': ((0.41, 0.425, 0.055, 0.035), (0.59, 0.425, 0.055, 0.035)),
    'brows': ((0.41, 0.365, 0.065, 0.03), (0.59, 0.365, 0.065, 0.03)),
    'nose': ((0.5, 0.51, 0.055, 0.07),),
    'mouth': ((0.5, 0.635, 0.085, 0.05),),
}
NOSE_BASE = (0.5, 0.565)
# Of 68 points, in dlib's order.
GROUPS = {
    'eyes': (slice(36, 42), slice(42, 48)),
    'brows': (slice(17, 22), slice(22, 27)),
    'nose': (slice(27, 36),),
    'mouth': (slice(48, 68),),
}
SMOOTH = 1.0  # frames; landmarks of a face at rest jump by a pixel


class Face(NamedTuple):
    """Where a face and its parts are in each frame of a clip.

    Attributes:
        hull: Points whose convex hull is the inner face, ``(T, K, 2)``.
        parts: By name, ellipses ``(T, E, 4)``: centre and semi-axes. Eyes and
            brows are two ellipses that move as one part.
    """

    hull: np.ndarray
    parts: dict[str, np.ndarray]

    @property
    def centres(self) -> np.ndarray:
        """Of the inner face in each frame, ``(T, 2)``."""
        return (self.hull.min(axis=1) + self.hull.max(axis=1)) / 2


class Forgery(NamedTuple):
    """A fake and the genuine clip to tell it from; equal where the mask is 0.

    Attributes:
        real: ``(T, H, W, 3)`` uint8. It differs from the clip it was made of
            where a family changes both, so that only the wanted trace tells.
        fake: ``(T, H, W, 3)`` uint8.
        mask: ``(T, H, W)`` float32, 0 to 1: where they may differ.
    """

    real: np.ndarray
    fake: np.ndarray
    mask: np.ndarray


class PseudoFake(BaseTransform):
    """A family of pseudo-fakes.

    As a transform it turns the clip in ``results['imgs']`` into a fake:
    ``imgs``, ``label`` and ``method`` are the fake's, ``genuine`` is the clip
    to tell it from and ``mask`` is where they may differ. It belongs behind
    ``FaceCrop``. Where ``results['points']`` has landmarks, ``(T, 5, 2)`` or
    ``(T, 68, 2)`` in sides of the crop, it follows them. What it draws follows
    from NumPy's global state, of which it takes the same four numbers each
    time.
    """

    @abstractmethod
    def forge(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> Forgery:
        """Make a fake of a clip, which is not changed.

        Args:
            clip: ``(T, H, W, 3)`` uint8, RGB; H = W.
            face: Where the face is.
            rng: All draws come from it.
        """

    def transform(self, results: dict) -> dict:
        """Replace ``results['imgs']`` by a fake."""
        seeds = np.random.randint(2**32, size=4, dtype=np.uint32)
        clip = np.stack(results['imgs'])
        length, side, _, _ = clip.shape
        points = results.get('points')
        face = (
            face_in_crop(length, side)
            if points is None
            else face_of_points(side * np.asarray(points, float))
        )
        made = self.forge(clip, face, np.random.default_rng(seeds))
        results.update(
            imgs=list(made.fake),
            genuine=list(made.real),
            mask=made.mask,
            label=1,
            method=type(self).__name__,
        )
        return results


def face_in_crop(num_frames: int, side: int) -> Face:
    """Where ``FaceCrop`` puts a face: the same in every frame.

    Paper: the square around a face has twice the side of its box, so the
    inner face is an ellipse in the middle.
    """
    x, y, a, b = side * np.array(INNER_FACE)
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    hull = np.stack([x + a * np.cos(turn), y + b * np.sin(turn)], axis=1)
    return Face(
        np.repeat(hull[None], num_frames, axis=0),
        {
            name: np.repeat(side * np.array(own)[None], num_frames, axis=0)
            for name, own in PARTS.items()
        },
    )


def face_of_points(points: np.ndarray) -> Face:
    """Where a face is by its landmarks, smoothed in time.

    Of 68 points, the outline is their hull, and parts are where their points
    are. Of 5, eyes and base of the nose, the face of :func:`face_in_crop` is
    turned, scaled and moved to them.

    Args:
        points: ``(T, 68 or 5, 2)``, pixels; dlib's order.
    """
    width = 2 * int(np.ceil(3 * SMOOTH)) + 1
    # time as rows; the ends are mirrored
    smooth: Any = cv2.GaussianBlur(
        points.reshape(len(points), -1),
        (1, width),
        0.01,
        sigmaY=SMOOTH,
        borderType=cv2.BORDER_REPLICATE,
    ).reshape(points.shape)
    if smooth.shape[1] == 5:
        return _face_of_5(smooth)
    return Face(
        smooth,
        {
            name: np.stack([_around(smooth[:, own]) for own in groups], axis=1)
            for name, groups in GROUPS.items()
        },
    )


def _around(points: np.ndarray) -> np.ndarray:
    """An ellipse around points, ``(T, K, 2)`` -> ``(T, 4)``.

    It is at least half as high as wide: eyes close.
    """
    low, high = points.min(axis=1), points.max(axis=1)
    axes = 0.6 * (high - low)
    axes[:, 1] = np.maximum(axes[:, 1], axes[:, 0] / 2)
    return np.concatenate([(low + high) / 2, axes], axis=1)


def _face_of_5(points: np.ndarray) -> Face:
    plain = face_in_crop(1, 1)
    (left, right), nose = plain.parts['eyes'][0, :, :2], NOSE_BASE
    known = np.array([left, right, nose]) @ (1, 1j)
    found = (
        np.stack(
            [
                points[:, 2:4].mean(
                    axis=1
                ),  # the eye on the left of the image
                points[:, 0:2].mean(axis=1),
                points[:, 4],
            ],
            axis=1,
        )
        @ (1, 1j)
    )
    about_mean = known - known.mean()
    turn = (found * about_mean.conj()).sum(axis=1, keepdims=True)
    turn = turn / (about_mean * about_mean.conj()).sum()
    shift = found.mean(axis=1, keepdims=True) - turn * known.mean()

    def moved(places: np.ndarray) -> np.ndarray:
        """``(K, 2)`` -> ``(T, K, 2)``."""
        there = turn * (places @ (1, 1j)) + shift
        return np.stack([there.real, there.imag], axis=-1)

    return Face(
        moved(plain.hull[0]),
        {
            name: np.concatenate(
                [moved(own[0, :, :2]), abs(turn)[..., None] * own[:, :, 2:]],
                axis=-1,
            )
            for name, own in plain.parts.items()
        },
    )


def soft_mask(
    face: Face, side: int, *, grow: float = 1.0, edge: float = 0.03
) -> np.ndarray:
    """The inner face with a soft edge, ``(T, side, side)`` float32.

    Args:
        face: Where it is.
        side: Of the crop, in pixels.
        grow: The outline is so many times as large, about its centre.
        edge: Standard deviation of the blur, in sides of the crop.
    """
    masks = np.zeros((len(face.hull), side, side), np.float32)
    for mask, hull, centre in zip(masks, face.hull, face.centres):
        outline = centre + grow * (hull - centre)
        fill(mask, outline)
    masks = np.stack([blurred(mask, edge * side) for mask in masks])
    return masks.clip(0, 1)  # the blur's weights sum to 1 up to rounding


def fill(mask: np.ndarray, outline: np.ndarray) -> None:
    """Set a mask to 1 within the convex hull of points, ``(K, 2)``."""
    hull = cv2.convexHull(outline.round().astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur that reaches three standard deviations, and no further."""
    reach = 2 * int(np.ceil(3 * sigma)) + 1
    return cv2.GaussianBlur(image, (reach, reach), sigma)


def blend(base: np.ndarray, top: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``base`` where the mask is 0, ``top`` where it is 1; clips, uint8."""
    share = mask[..., None]
    mixed = base + share * (top.astype(np.float32) - base)
    return mixed.round().clip(0, 255).astype(np.uint8)


def warp(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An affine warp, bilinear; ``matrix`` as :func:`about` makes it."""
    return cv2.warpAffine(
        frame,
        matrix,
        frame.shape[1::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def about(
    centre: np.ndarray, degrees: float, scale: float, shift: np.ndarray
) -> np.ndarray:
    """Turn and scale about a point, then shift, ``(2, 3)``."""
    matrix = cv2.getRotationMatrix2D(
        (float(centre[0]), float(centre[1])), float(degrees), float(scale)
    )
    matrix[:, 2] += shift
    return matrix
