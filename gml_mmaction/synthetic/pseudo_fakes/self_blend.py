"""Self-blended clips: a clip blended with an altered copy of itself."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS

from gml_mmaction.errors import SettingError

from .family import (
    Face,
    Forgery,
    PseudoFake,
    about,
    blend,
    blurred,
    fill,
    warp,
)

__all__ = ['SelfBlend']

SIDE = 380  # of the crops for which the lengths below are given, pixels


@TRANSFORMS.register_module()
class SelfBlend(PseudoFake):
    """Self-blended images and videos (SBI, SBV): the seam of a swap.

    The inner face is cut out of an altered copy, moved a little, and blended
    in. One draw a clip, replayed in each of its frames, so that nothing
    jitters. By chance the copy or the clip itself is altered; in the second
    case the genuine clip of the pair is the altered one.

    Source: K. Shiohara, T. Yamasaki, "Detecting Deepfakes with Self-Blended
    Images", CVPR 2022; replayed over frames as in D. Nguyen et al.,
    "Vulnerability-Aware Spatio-Temporal Learning for Generalizable Deepfake
    Video Detection" (FakeSTormer), ICCV 2025. Their numbers: channels shifted
    by 20 grey levels with probability 0.3, brightness and contrast by 0.1,
    then scaled down or sharpened; moved by 3 % across and 1.5 % down, scaled
    by 0.95 to 1/0.95; the mask bent by smooth noise (50 of width 7 pixels),
    blurred twice by kernels of 5 to 25 pixels, and multiplied by 0.25, 0.5,
    0.75 or, as often as these together, by 1. Lengths are of crops of 380
    pixels and scale with the crop. Not taken over: the shift of hue,
    saturation and value by 0.3 of a level, which rounds away; the mask is the
    convex outline of the inner face, grown by 0.85 to 1.15, not one of several
    hulls.

    Args:
        p_source: Probability that the copy is altered, not the clip.
    """

    def __init__(self, p_source: float = 0.5) -> None:
        if not 0 <= p_source <= 1:
            raise SettingError(f'p_source={p_source}: use 0 to 1')
        self.p_source = p_source

    def forge(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> Forgery:
        """One draw, replayed over the frames."""
        alter = _draw_change(rng, clip.shape[1])
        changed = np.stack([alter(frame) for frame in clip])
        in_copy = rng.random() < self.p_source
        base, top = (clip, changed) if in_copy else (changed, clip)
        degrees, scale = 0.0, np.exp(rng.uniform(-1, 1) * -np.log(0.95))
        shift = clip.shape[1] * rng.uniform(-1, 1, 2) * (0.03, 0.015)
        move = [about(c, degrees, scale, shift) for c in face.centres]
        mask = _draw_masks(face, clip.shape[1], move, rng)
        top = np.stack([warp(*pair) for pair in zip(top, move)])
        return Forgery(base, blend(base, top, mask), mask)


def _draw_change(
    rng: np.random.Generator, side: int
) -> Callable[[np.ndarray], np.ndarray]:
    """A change of colour and sharpness, the same for every frame."""
    gain = 1 + rng.uniform(-0.1, 0.1)
    shift = rng.uniform(-20, 20, 3) * (rng.random() < 0.3)
    shift = shift + 255 * rng.uniform(-0.1, 0.1)
    levels = np.arange(256)[:, None]
    table = (127.5 + gain * (levels - 127.5) + shift).clip(0, 255)
    table = table.round().astype(np.uint8)[None]
    sharpen = rng.random() < 0.5
    amount, factor = rng.uniform(0.2, 0.5), int(rng.choice([2, 4]))

    def change(frame: np.ndarray) -> np.ndarray:
        frame = cv2.LUT(frame, table)
        if sharpen:
            soft = blurred(frame, side / SIDE)
            return cv2.addWeighted(frame, 1 + 2 * amount, soft, -2 * amount, 0)
        small = cv2.resize(
            frame,
            (side // factor, side // factor),
            interpolation=cv2.INTER_LINEAR,
        )
        return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)

    return change


def _draw_masks(
    face: Face, side: int, move: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Moved as the copy, bent, blurred twice: ``(T, side, side)``."""
    unit = side / SIDE
    grow = rng.uniform(0.85, 1.15)
    bent = _draw_bend(side, 50 * unit**2, 7 * unit, rng)
    # a kernel of k pixels is OpenCV's Gaussian of 0.15 k + 0.35
    widths = [(0.15 * k + 0.35) * unit for k in rng.integers(5, 26, 2)]
    strength = rng.choice([0.25, 0.5, 0.75, 1, 1, 1])
    masks: list[np.ndarray] = []
    for t, (hull, centre) in enumerate(zip(face.hull, face.centres)):
        if t and np.array_equal(hull, face.hull[t - 1]):
            masks.append(masks[-1])
            continue
        mask: Any = np.zeros((side, side), np.float32)
        outline = centre + grow * (hull - centre)
        fill(mask, outline)
        mask = cv2.remap(
            cv2.warpAffine(mask, move[t], (side, side)),
            *bent,
            cv2.INTER_LINEAR,
        )
        for width in widths:
            mask = blurred(mask, width)
        masks.append(strength * mask)
    return np.stack(masks).clip(0, 1).astype(np.float32)


def _draw_bend(
    side: int, amount: float, width: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Elastic deformation: where each pixel is read, x and y."""
    noise = rng.uniform(-1, 1, (2, side, side)).astype(np.float32)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    dx, dy = (amount * blurred(one, width) for one in noise)
    return x + dx, y + dy
