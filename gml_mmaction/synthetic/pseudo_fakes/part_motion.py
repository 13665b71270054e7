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
    Spatiotemporal Adapter Tuning" (StA), CVPR 2025, whose parts turn by up to 1 to 5 degrees,
    scale by up to 0.01 to 0.05 and shift by 0.5 to 2.5 pixels; there the four
    blended images are averaged and the genuine clip is left as it is. Out of
    step: the idea of "Beyond Flicker" (KiMoI), arXiv 2512.04175, that motion
    of parts is consistent, without its network. Periods of 4 to 16 frames:
    our choice.

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
        shares = _shares(face, side)
        weight = np.sum([own for own, _ in shares], axis=0)
        return Forgery(
            _morphed(clip, shares, real),
            _morphed(clip, shares, fake),
            (weight > 0).astype(np.float32),
        )


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


def _shares(face: Face, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each part its weights ``(T, H, W)`` and its centres ``(T, 2)``.

    The weight is 1 within a part and fades to 0 at twice its size. Where
    parts meet, their weights are divided by their sum.
    """
    y, x = np.mgrid[:side, :side].astype(np.float32)
    found = []
    for own in face.parts.values():
        centre, axes = own[..., :2], own[..., 2:]
        far = np.hypot(
            (x - centre[..., 0, None, None]) / axes[..., 0, None, None],
            (y - centre[..., 1, None, None]) / axes[..., 1, None, None],
        )
        fade = (2 - far.min(axis=1)).clip(0, 1).astype(np.float32)
        found.append((fade, centre.mean(axis=1)))
    total = np.maximum(np.sum([fade for fade, _ in found], axis=0), 1)
    return [(fade / total, centre) for fade, centre in found]


def _morphed(
    clip: np.ndarray,
    shares: list[tuple[np.ndarray, np.ndarray]],
    moves: np.ndarray,
) -> np.ndarray:
    """Read each pixel where its parts have come from."""
    y, x = np.mgrid[: clip.shape[1], : clip.shape[2]].astype(np.float32)
    frames = []
    for t, frame in enumerate(clip):
        from_x, from_y = x.copy(), y.copy()
        for (weight, centre), (turn, scale, dx, dy) in zip(shares, moves[t]):
            u, v = x - centre[t, 0], y - centre[t, 1]
            from_x += weight[t] * (scale * u - turn * v + dx)
            from_y += weight[t] * (turn * u + scale * v + dy)
        frames.append(cv2.remap(frame, from_x, from_y, cv2.INTER_LINEAR))
    return np.stack(frames)
