"""Slips in time: the inner face, or the frame, stands still or jumps."""

from abc import abstractmethod

import numpy as np
from mmaction.registry import TRANSFORMS

from gml_mmaction.errors import SettingError

from .family import Face, Forgery, PseudoFake, blend, soft_mask

__all__ = ['FaceDropout', 'FaceRepeat', 'TemporalDropout', 'TemporalRepeat']


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
            raise SettingError(f'longest={longest}: use 1 or more')
        self.longest = longest

    @abstractmethod
    def times(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Frame whose inner face is shown at each time, ``(length,)``."""

    def mask(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> np.ndarray:
        """Where another time is shown, ``(T, H, W)``."""
        return soft_mask(face, clip.shape[1], grow=rng.uniform(0.85, 1.1))

    def forge(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> Forgery:
        """Blend in what is seen at another time."""
        mask = self.mask(clip, face, rng)
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
        # of one frame at the end of the clip nothing would be seen
        if rng.random() < 0.5:
            times[min(at, max(1, length - 2)) :] += count
        else:
            times[: max(at, min(2, length - 1))] -= count
        return times.clip(0, length - 1)


class WholeFrame:
    """A slip of whole frames, as AltFreezing makes them.

    Nothing is blended, so that time alone tells. A frame that is shown twice
    is common in genuine videos, too; those who train with it call it fake.
    """

    def mask(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> np.ndarray:
        """Everywhere."""
        return np.ones(clip.shape[:3], np.float32)


@TRANSFORMS.register_module()
class TemporalRepeat(WholeFrame, FaceRepeat):
    """A frame is shown for a while, then the clip goes on behind it.

    Source: "temporal repeat" of AltFreezing (:class:`TimeSlip`). How many
    frames is our choice.
    """


@TRANSFORMS.register_module()
class TemporalDropout(WholeFrame, FaceDropout):
    """Some frames are left out; an end of the clip stands still instead.

    Source: "temporal dropout" of AltFreezing (:class:`TimeSlip`). How many
    frames is our choice.
    """
