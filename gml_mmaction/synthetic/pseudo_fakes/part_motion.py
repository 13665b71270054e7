"""Parts of a face that move apart: eyes, brows, nose and mouth."""

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS

from .family import Face, Forgery, PseudoFake

__all__ = ['PartMotion']

SIDE = 224  # of the crops for which the lengths below are given, pixels


@TRANSFORMS.register_module()
class PartMotion(PseudoFake):
    """Eyes, brows, nose and mouth are warped, each by itself.

    Each part is turned, scaled and shifted about its centre; between the
    parts the warp fades out. Each frame by itself has one law in real and
    fake, as in :class:`.MotionSelfBlend`:

    - apart: the fake draws each part anew for each frame, the real holds one
      draw of each;
    - out of step: all parts swing smoothly. In the real they swing in one
      time, each with a phase of its own; in the fake each has its own time.
      No part alone looks wrong, only parts together.

    Source: apart: "video-level blending" (VB) of Z. Yan et al., "Generalizing
    Deepfake Video Detection with Plug-and-Play: Video-Level Blending and
    Spatiotemporal Adapter Tuning" (StA), CVPR 2025, whose parts turn by up to
    1 to 5 degrees, scale by up to 0.01 to 0.05 and shift by 0.5 to 2.5 pixels,
    here of crops of 224; there the four blended images are averaged and the
    genuine clip is left as it is. Out of step: the idea of "Beyond Flicker"
    (KiMoI), arXiv 2512.04175, that motion of parts is consistent, without its
    network. Periods of 4 to 16 frames: our choice.

    Args:
        in_time: Whether parts swing smoothly, out of step; None draws it.
    """

    def __init__(self, in_time: bool | None = None) -> None:
        self.in_time = in_time

    def forge(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> Forgery:
        """The same clip twice, morphed by two orders of one kind of warp."""
        length, side = clip.shape[:2]
        in_time = rng.random() < 0.5 if self.in_time is None else self.in_time
        swing = _swinging if in_time else _independent
        count = len(face.parts)
        unit = side / SIDE
        largest = np.stack(
            [
                np.radians(rng.uniform(1, 5, count)),
                rng.uniform(0.01, 0.05, count),
                unit * rng.uniform(0.5, 2.5, count),
                unit * rng.uniform(0.5, 2.5, count),
            ],
            axis=1,
        )
        real, fake = (largest * one for one in swing(length, count, rng))
        morph = _Morph(face, side)
        return Forgery(morph(clip, real), morph(clip, fake), morph.mask)


def _independent(
    length: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One draw held, and draws of their own: ``(T, parts, 4)``, -1 to 1."""
    fake = rng.uniform(-1, 1, (length, count, 4))
    return np.repeat(fake[:1], length, axis=0), fake


def _swinging(
    length: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """In one time, and each part in its own: ``(T, parts, 4)``."""
    start = rng.uniform(0, 2 * np.pi, (count, 4))
    periods = rng.uniform(4, 16, count)
    steps = 2 * np.pi / periods * rng.choice([-1, 1], count)
    times = np.arange(length)[:, None, None]
    real = start + steps[0] * times
    fake = start + steps[:, None] * times
    return np.sin(real), np.sin(fake)


class _Morph:
    """Reads each pixel where its parts have come from.

    The weight of a part is 1 within it and fades to 0 at twice its size;
    where parts meet, weights are divided by their sum. Only the box around
    all parts is computed.
    """

    def __init__(self, face: Face, side: int) -> None:
        every = np.concatenate([*face.parts.values()], axis=1)
        low = (every[..., :2] - 2 * every[..., 2:]).min(axis=(0, 1))
        high = (every[..., :2] + 2 * every[..., 2:]).max(axis=(0, 1))
        left, top = np.floor(low).astype(int).clip(0, side)
        right, bottom = np.ceil(high).astype(int).clip(0, side - 1) + 1
        self.box = slice(top, bottom), slice(left, right)
        y, x = np.mgrid[self.box].astype(np.float32)
        self.x, self.y = x, y
        fades = [
            self._fade(own.astype(np.float32)) for own in face.parts.values()
        ]
        total = np.maximum(np.sum(fades, axis=0), 1)
        self.weights = [fade / total for fade in fades]
        self.centres = [
            own[..., :2].mean(axis=1) for own in face.parts.values()
        ]
        length = len(face.hull)
        self.mask = np.zeros((length, side, side), np.float32)
        self.mask[(slice(None), *self.box)] = np.sum(fades, axis=0) > 0

    def _fade(self, ellipses: np.ndarray) -> np.ndarray:
        """``(T, E, 4)`` -> ``(T, h, w)``; once if nothing moves."""
        if (ellipses == ellipses[:1]).all():
            one = self._fade_of(ellipses[0])
            return np.broadcast_to(one, (len(ellipses), *one.shape))
        return np.stack([self._fade_of(own) for own in ellipses])

    def _fade_of(self, ellipses: np.ndarray) -> np.ndarray:
        far = [
            np.hypot((self.x - x) / a, (self.y - y) / b)
            for x, y, a, b in ellipses
        ]
        return (2 - np.min(far, axis=0)).clip(0, 1)

    def __call__(self, clip: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Morph a clip by the turn, scale and shift of its parts.

        Args:
            clip: ``(T, H, W, 3)``.
            moves: ``(T, parts, 4)``: radians, share, pixels.
        """
        out = clip.copy()
        for t, frame in enumerate(clip):
            from_x, from_y = self.x.copy(), self.y.copy()
            for weight, centre, (turn, scale, dx, dy) in zip(
                self.weights, self.centres, moves[t].astype(np.float32)
            ):
                u, v = self.x - centre[t, 0], self.y - centre[t, 1]
                from_x += weight[t] * (scale * u - turn * v + dx)
                from_y += weight[t] * (turn * u + scale * v + dy)
            out[t][self.box] = cv2.remap(
                frame, from_x, from_y, cv2.INTER_LINEAR
            )
        return out
