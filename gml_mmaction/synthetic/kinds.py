"""What betrays a fake of the demo: laws of motion that differ in one thing.

``appearance``
    Single frames: the inner face is blurred, off-colour, with a seam. It
    moves as the real ones do.
``jitter``
    Frame-to-frame motion (F^M, Eq. 1). Each frame by itself is distributed
    exactly as in the real videos.
``consistency``
    The change of motion (F^MM, Eq. 2). Single frames and pairs of successive
    saved frames are distributed exactly as in the real videos; pairs further
    apart are not.
``triplet``
    Three frames in their order, and no less. Pairs of saved frames are
    distributed exactly as in the real videos, however far apart they are.

Why exactly. Each motion of the inner face is ``amplitude * sin(phase_t)``,
each with its own phase, ``phase_0`` uniform on the circle.

- real (:func:`smooth_phase`): the phase goes one way by a fixed step;
- jitter (:func:`jitter_phase`): every phase is drawn anew. ``phase_t`` is
  uniform for every t in both, and the motions are independent;
- consistency (:func:`consistency_phase`): the phase goes forth or back by the
  same step at random. ``phase_t`` is uniform and independent of the direction
  it takes next, as in the real videos, so ``(phase_t, phase_t+1)`` has one
  law in both;
- triplet (:func:`triplet_phase`): its real videos are its own. The phase goes
  one way by three steps in turn, a, b, c, a, b, ...; in the fakes by c, b, a,
  c, b, ... So the fakes have the law of real videos that are shown backwards,
  and the steps between two frames add up to the same three sums in both.

Crops are saved from every 2nd frame (Sec. 3), and two free steps would add up
to -2, 0 or +2 steps, never 0 in a real video. Hence directions and steps are
held over ``hold=2`` source frames, from even frame to even frame: what is said
above of pairs holds for the saved frames. (For `consistency` it does not where
saving starts at an odd frame; it starts at frame 0 where the face is found
there. For `triplet` it does: half a step at either end is the same forwards
and backwards.)

A random walk does not get as far as a steady one: of `consistency`, ONE pair
of saved frames tells what is fake if it is two apart. The best classifier of
the seven motions' exact values has an AUC of 0.50 for pairs one apart, of 0.99
for two apart (``tests/synthetic/test_demo.py``). A network that sees a
whole clip needs no second difference for it; of `triplet`, no set of pairs
tells anything.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .render import MOTIONS

__all__ = [
    'KINDS',
    'PHASES',
    'Kind',
    'Phase',
    'consistency_phase',
    'face_motion',
    'jitter_phase',
    'smooth_phase',
    'triplet_phase',
]

# The three steps of `triplet`, in mean steps; the sines of their phases tell
# the two orders apart without fault (AUC 1.000).
CYCLE = (0.5, 1.0, 2.0)

# (num_frames, generator, step) -> phases, (num_frames,), in radians
Phase = Callable[[int, np.random.Generator, float], np.ndarray]


def smooth_phase(
    num_frames: int, generator: np.random.Generator, step: float
) -> np.ndarray:
    """Phases that go one way, forth or back, by ``step`` a frame.

    Returns:
        ``(num_frames,)`` radians; each is uniform modulo 2 pi.
    """
    direction = generator.choice([-1, 1])
    start = generator.uniform(0, 2 * np.pi)
    return start + direction * step * np.arange(num_frames)


def jitter_phase(
    num_frames: int, generator: np.random.Generator, step: float = 0.0
) -> np.ndarray:
    """Phases drawn anew for every frame; ``step`` is not used.

    Returns:
        ``(num_frames,)`` radians, independent, uniform on [0, 2 pi).
    """
    return generator.uniform(0, 2 * np.pi, num_frames)


def consistency_phase(
    num_frames: int,
    generator: np.random.Generator,
    step: float,
    hold: int = 2,
) -> np.ndarray:
    """Phases that go forth or back by ``step``, at random.

    The direction is drawn for ``hold`` frames at a time, counted from frame
    0: frames saved every ``hold`` are each a whole move apart.

    Returns:
        ``(num_frames,)`` radians; each is uniform modulo 2 pi.
    """
    start = generator.uniform(0, 2 * np.pi)
    directions = generator.choice([-1, 1], -(-num_frames // hold))
    moves = step * np.repeat(directions, hold)[: num_frames - 1]
    return start + np.concatenate([[0], np.cumsum(moves)])


def triplet_phase(
    num_frames: int,
    generator: np.random.Generator,
    step: float,
    hold: int = 2,
    *,
    first: int,
    backwards: bool = False,
) -> np.ndarray:
    """Phases that go one way, forth or back, by three steps in turn.

    The steps are ``step`` times :data:`CYCLE`, each held for ``hold`` frames,
    counted from frame 0.

    Args:
        num_frames: Frames of the video.
        generator: Of the direction and the start.
        step: Radians a frame, the middle of the three.
        hold: Frames that a step is held for.
        first: Index of the first step.
        backwards: Take the steps in the other order.

    Returns:
        ``(num_frames,)`` radians; each is uniform modulo 2 pi.
    """
    direction = generator.choice([-1, 1])
    start = generator.uniform(0, 2 * np.pi)
    turn = -1 if backwards else 1
    order = first + turn * (np.arange(num_frames - 1) // hold)
    moves = direction * step * np.take(CYCLE, order, mode='wrap')
    return start + np.concatenate([[0], np.cumsum(moves)])


def draw_triplet(
    generator: np.random.Generator, *, backwards: bool = False
) -> Phase:
    """One of the three steps for all motions of a video to start with."""
    first = int(generator.integers(len(CYCLE)))
    return partial(triplet_phase, first=first, backwards=backwards)


# Draws what the motions of one video have in common.
DrawPhase = Callable[[np.random.Generator], Phase]


class Kind(NamedTuple):
    """How real and fake videos of a kind move."""

    real: DrawPhase
    fake: DrawPhase


PHASES = {
    'appearance': Kind(lambda _: smooth_phase, lambda _: smooth_phase),
    'jitter': Kind(lambda _: smooth_phase, lambda _: jitter_phase),
    'consistency': Kind(lambda _: smooth_phase, lambda _: consistency_phase),
    'triplet': Kind(draw_triplet, partial(draw_triplet, backwards=True)),
}


KINDS = tuple(PHASES)


def face_motion(
    num_frames: int,
    generator: np.random.Generator,
    phase: Phase,
    step: float,
) -> np.ndarray:
    """The inner face's motion: the sines of independent phases.

    Each of :data:`~.render.MOTIONS` has its own step, 0.7 to 1.3 times
    ``step`` (radians a frame), fixed for the video.

    Returns:
        ``(num_frames, 7)``, each in [-1, 1], one column a motion.
    """
    steps = step * generator.uniform(0.7, 1.3, len(MOTIONS))
    phases = [phase(num_frames, generator, own) for own in steps]
    return np.sin(np.stack(phases, axis=1))
