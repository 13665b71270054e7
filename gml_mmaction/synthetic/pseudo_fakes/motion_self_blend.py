"""Self-blended motion: the inner face moves as no face does."""

import numpy as np
from mmaction.registry import TRANSFORMS

from gml_mmaction.errors import SettingError

from .family import (
    Face,
    Forgery,
    PseudoFake,
    about,
    blend,
    soft_mask,
    warp,
)

__all__ = ['MotionSelfBlend', 'wandering_phases']


@TRANSFORMS.register_module()
class MotionSelfBlend(PseudoFake):
    """A clip blended with a copy that is warped anew in each frame.

    Turn, scale and shift of the copy, ``(T, 4)``, tell real from fake by
    their order in time alone. Each frame by itself has one law in both:

    - first order (F^M, Eq. 1): the fake draws them anew for each frame, or
      repeats the last frame's; the real holds one draw;
    - second order (F^MM, Eq. 2): in both they swing, ``sin(phase)``, by steps
      of one length; the real's phases go one way, the fake's steps have the
      wrong order: forth or back at random. Pairs of successive frames have
      one law in both as well, which a real that is held could not give.

    A video codec behind it spends bits by motion, and so writes motion into
    single frames; JPEG does not.

    Source: ours, after the demo's kinds ``jitter`` and ``consistency``
    (:mod:`gml_mmaction.synthetic.kinds`). Constants: our choice.

    Args:
        order: 1 or 2; None draws one for each clip, 1 in two of three.
        rotation: Largest turn, degrees.
        scale: Largest logarithm of the scale.
        shift: Largest shift, in sides of the crop.
        least: A clip has so much of these at least, and at most all.
        hold: Of first order, probability that a frame repeats the last.
    """

    def __init__(
        self,
        order: int | None = None,
        rotation: float = 5.0,
        scale: float = 0.05,
        shift: float = 0.01,
        least: float = 0.2,
        hold: float = 0.3,
    ) -> None:
        if order not in (None, 1, 2):
            raise SettingError(f'order={order}: use 1, 2 or None')
        for name, value in (('least', least), ('hold', hold)):
            if not 0 <= value <= 1:
                raise SettingError(f'{name}={value}: use 0 to 1')
        self.order = order
        self.largest = np.array([rotation, scale, shift, shift])
        self.least = least
        self.hold = hold

    def forge(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> Forgery:
        """The same clip twice, with two orders of one kind of warp."""
        side = clip.shape[1]
        order = self.order or int(rng.choice([1, 1, 2]))
        swing = self._independent if order == 1 else self._swinging
        strength = self.largest * rng.uniform(self.least, 1)
        real, fake = (strength * one for one in swing(len(clip), rng))
        mask = soft_mask(face, side, grow=rng.uniform(0.85, 1.1))
        return Forgery(
            _warped(clip, face, mask, real),
            _warped(clip, face, mask, fake),
            mask,
        )

    def _independent(
        self, length: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """One draw held, and draws of their own: ``(T, 4)``, -1 to 1."""
        fake = rng.uniform(-1, 1, (length, 4))
        for t in range(1, length):
            if rng.random() < self.hold:
                fake[t] = fake[t - 1]
        return np.repeat(fake[:1], length, axis=0), fake

    @staticmethod
    def _swinging(
        length: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Steps in the right order and in a wrong one: ``(T, 4)``."""
        step = rng.uniform(0.3, 1.2)
        start = rng.uniform(0, 2 * np.pi, 4)
        ways = rng.choice([-1, 1], 4)
        real = start + step * ways * np.arange(length)[:, None]
        fake = start + step * wandering_phases(length, 4, rng)
        return np.sin(real), np.sin(fake)


def wandering_phases(
    length: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """``count`` walks that go a step forth or back: ``(length, count)``."""
    steps = rng.choice([-1, 1], (length, count))
    return np.cumsum(steps, axis=0) - steps[0]


def _warped(
    clip: np.ndarray, face: Face, mask: np.ndarray, moves: np.ndarray
) -> np.ndarray:
    """The clip, and in its mask its copy, moved by ``(T, 4)``."""
    side = clip.shape[1]
    copies = [
        warp(frame, about(centre, turn, np.exp(scale), side * shift))
        for frame, centre, (turn, scale, *xy) in zip(clip, face.centres, moves)
        for shift in [np.array(xy)]
    ]
    return blend(clip, np.stack(copies), mask)
