"""Slips in time: the inner face stands still for a while, or jumps."""

from abc import abstractmethod

import numpy as np
from mmaction.registry import TRANSFORMS

from .family import Face, Forgery, PseudoFake, blend, soft_mask

__all__ = ['FaceDropout', 'FaceRepeat']


class TimeSlip(PseudoFake):
    """The inner face of frame t is that of another frame of the clip.

    Around it time goes on. A whole frame that is shown twice is common in
    genuine videos and would be no fake.

    Source: Z. Wang et al., "AltFreezing for More General Video Face Forgery
    Detection", CVPR 2023, and D. Nguyen et al., FakeSTormer, ICCV 2025, which
    repeat and drop whole frames of their fakes. Inside the mask alone: our
    choice.

    Args:
        longest: Frames that stand still or are left out, at most; 1 or more.
    """

    def __init__(self, longest: int = 3) -> None:
        if longest < 1:
            raise ValueError(f'longest={longest}: use 1 or more')
        self.longest = longest

    @abstractmethod
    def times(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Frame whose inner face is shown at each time, ``(length,)``."""

    def forge(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> Forgery:
        """Blend in the inner face of another time."""
        mask = soft_mask(face, clip.shape[1], grow=rng.uniform(0.85, 1.1))
        times = self.times(len(clip), rng)
        return Forgery(clip, blend(clip, clip[times], mask), mask)


@TRANSFORMS.register_module()
class FaceRepeat(TimeSlip):
    """The inner face stands still, then goes on with the frame around it."""

    def times(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """One frame's inner face is shown again, up to ``longest`` times."""
        count = int(rng.integers(1, min(self.longest, length - 1) + 1))
        first = int(rng.integers(0, length - count))
        times = np.arange(length)
        times[first : first + count + 1] = first
        return times


@TRANSFORMS.register_module()
class FaceDropout(TimeSlip):
    """The inner face jumps: some of its frames are left out.

    From the jump on it is ahead of the frame around it, or before the jump it
    lags behind. At that end of the clip, where there are no further frames,
    it stands still.
    """

    def times(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Ahead behind the jump, or behind before it."""
        count = int(rng.integers(1, min(self.longest, length - 1) + 1))
        at = int(rng.integers(1, length))
        times = np.arange(length)
        if rng.random() < 0.5:
            times[at:] += count
        else:
            times[:at] -= count
        return times.clip(0, length - 1)
