"""What the families of pseudo-fakes share: the face, its mask, the blend.

Shapes: a clip is T RGB frames, ``(T, H, W, 3)`` uint8; a mask ``(T, H, W)``
float32 in [0, 1]. Points are (x, y) in pixels of the crop.
"""

from abc import abstractmethod
from typing import NamedTuple

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


class Face(NamedTuple):
    """Where a face and its parts are in each frame of a clip.

    Attributes:
        hull: Outline of the inner face, ``(T, K, 2)``, convex.
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
    ``FaceCrop``. What it draws follows from NumPy's global state, of which it
    takes the same four numbers each time.
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
        made = self.forge(
            clip, face_in_crop(*clip.shape[:2]), np.random.default_rng(seeds)
        )
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
        cv2.fillConvexPoly(mask, outline.round().astype(np.int32), 1)
    masks = np.stack([blurred(mask, edge * side) for mask in masks])
    return masks.clip(0, 1)  # the blur's weights sum to 1 up to rounding


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
