"""Which frames of a video are taken: every n-th, or by time at a rate.

Paper: saves every 2nd frame (Sec. 3), of videos of mostly 25 frames a second;
silent on other rates. A motion that is shown at half the rate looks twice as
fast. So a detector takes frames by time, at the rate of its training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gml_mmaction.io.records import Record
from gml_mmaction.io.text import nth

from .frames import Frames

__all__ = ['MAX_RATE', 'Rates', 'Taken', 'at_rate', 'every', 'rates_of']

NEAR = 1.1  # rates whose ratio is smaller count as equal
UNEVEN = 0.25  # of the usual step
GAP, GAP_STEPS = 0.5, 5  # seconds and usual steps; longer is a gap
LATE = 1.5  # steps at the trained rate; longer is late
FEW = 0.1  # share of late steps above which there is a note
MIN_RATE, MAX_RATE = 0.001, 1000.0  # frames a second; others are ignored


class Rates(Record, frozen=True, forbid_unknown_fields=True):
    """The spread of the rates in a data set, in saved frames a second.

    Attributes:
        low: 5 per cent of the videos have a lower rate.
        median: Half of the videos have a lower rate.
        high: 5 per cent of the videos have a higher rate.

    Raises:
        ValueError: They do not ascend, or are rates that no video has.
    """

    low: float
    median: float
    high: float

    def __post_init__(self) -> None:
        low, median, high = self.low, self.median, self.high
        if not MIN_RATE <= low <= median <= high <= MAX_RATE:
            raise ValueError(
                f'rates {low:g}, {median:g} and {high:g}, expected low, '
                f'median and high from {MIN_RATE:g} to {MAX_RATE:g}'
            )

    def __str__(self) -> str:
        if self.high < self.low * 1.01:
            return f'{self.median:.4g}'
        return f'{self.median:.4g} ({self.low:.4g} to {self.high:.4g})'

    def near(self, rate: float) -> bool:
        """Whether a rate is in the spread, or within a tenth of it."""
        return self.low / NEAR <= rate <= self.high * NEAR


def rates_of(values: Sequence[float]) -> Rates | None:
    """The spread of the rates of videos; None if no rate is valid."""
    believed = [value for value in values if MIN_RATE <= value <= MAX_RATE]
    if not believed:
        return None
    ends = np.quantile(believed, (0.05, 0.5, 0.95), method='nearest')
    return Rates(*(round(float(value), 3) for value in ends))


@dataclass(frozen=True)
class Taken:
    """The frames of a video that are taken.

    Faces are followed by position: the k-th frame that is taken is at
    ``k * stride``, as if the video had the rate of the training.

    Attributes:
        indices: Of the frames in the video, ascending.
        stride: From one position to the next.
        num_frames: Of the video.
        rate: Mean number of frames taken a second; None if unknown.
        gaps: Each k with a gap in time before the k-th taken frame.
        notes: What is odd, one line each.
    """

    indices: Sequence[int]
    stride: int
    num_frames: int
    rate: float | None = None
    gaps: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    def source(self, position: int) -> int:
        """The frame of the video at a position; ``num_frames`` behind all."""
        k, rest = divmod(position, self.stride)
        if k >= len(self.indices):
            return self.num_frames
        return min(self.indices[k] + rest, self.source_after(k))

    def source_after(self, k: int) -> int:
        """The frame of the video that is taken after the k-th."""
        if k + 1 < len(self.indices):
            return self.indices[k + 1]
        return self.num_frames

    def until(self, stop: int) -> 'Taken':
        """The same without frame ``stop`` of the video and later ones."""
        kept = int(np.searchsorted(self.indices, stop))
        return replace(
            self,
            indices=self.indices[:kept],
            num_frames=min(stop, self.num_frames),
        )


def every(reader: Frames, stride: int) -> Taken:
    """Take every ``stride``-th frame, at any time (Sec. 3)."""
    indices = range(0, reader.num_frames, stride)
    times = _times(reader)
    rate = None if times is None else _mean_rate(times[:: indices.step])
    return Taken(indices, stride, reader.num_frames, rate)


def at_rate(reader: Frames, rates: Rates, stride: int) -> Taken:
    """Take frames by time, as many a second as in the training.

    If the video is even and every n-th frame gives a rate within the spread
    of the training, these are taken, as their steps are all equal. Else the
    frame nearest to each moment is taken. No frame is taken twice: if there
    are too few, all are taken, and a note says so.

    Args:
        reader: An open video.
        rates: Of the training.
        stride: From one position to the next.
    """
    times = _times(reader)
    if times is None:
        which = 'all frames' if stride == 1 else f'every {nth(stride)} frame'
        note = f'its frame rate is not known; {which} taken'
        return replace(every(reader, stride), notes=(note,))
    step = _even_step(times, rates)
    indices: Sequence[int] = range(0, len(times), step or 1)
    if step is None:
        indices = _nearest(times, rates.median)
    late = int(np.count_nonzero(np.diff(times) > LATE / rates.low))
    times = times[np.asarray(indices, int)]
    gaps = _gaps(times)
    return Taken(
        indices,
        stride,
        reader.num_frames,
        _mean_rate(times),
        frozenset(gaps),
        tuple(_notes(times, rates, gaps, late - len(gaps))),
    )


def _times(reader: Frames) -> np.ndarray | None:
    """When each frame is shown, in seconds from the first."""
    times = [reader.seconds_at(index) for index in range(reader.num_frames)]
    if None in times:
        return None
    return np.array(times, float) - times[0]


def _mean_rate(times: np.ndarray) -> float | None:
    """Frames a second, without gaps."""
    steps = np.delete(np.diff(times), [k - 1 for k in _gaps(times)])
    span = float(steps.sum())
    return round(len(steps) / span, 3) if span > 0 else None


def _even_step(times: np.ndarray, rates: Rates) -> int | None:
    """The n for which every n-th frame has the trained rate; None if no n."""
    steps = np.diff(times)
    if not len(steps):
        return 1
    usual = float(np.median(steps))
    if not np.all(np.abs(steps - usual) <= UNEVEN * usual) or not usual:
        return None
    fps = (len(times) - 1) / float(times[-1])
    whole = max(1, int(fps / rates.median))
    step = min(
        (whole, whole + 1), key=lambda n: abs(np.log(fps / n / rates.median))
    )
    return step if rates.near(fps / step) else None


def _nearest(times: np.ndarray, rate: float) -> list[int]:
    """The frames that are nearest to the moments 0, 1 / rate, 2 / rate ..."""
    middles = (times[1:] + times[:-1]) / 2 * rate
    begin = np.concatenate([[-1.0], middles])
    usual = np.median(np.diff(times)) if len(times) > 1 else 0.0
    end = np.concatenate([middles, [(times[-1] + usual / 2) * rate]])
    return np.flatnonzero(np.floor(end + 1e-6) > begin + 1e-6).tolist()


def _gaps(times: np.ndarray) -> list[int]:
    steps = np.diff(times)
    if not len(steps):
        return []
    least = max(GAP, GAP_STEPS * float(np.median(steps)))
    return (np.flatnonzero(steps > least) + 1).tolist()


def _notes(
    times: np.ndarray, rates: Rates, gaps: Sequence[int], late: int
) -> list[str]:
    """Notes on what is odd; ``late`` counts steps that are too long."""
    notes = []
    steps = np.diff(times)
    if gaps:
        longest = max(steps[k - 1] for k in gaps)
        places = '1 place' if len(gaps) == 1 else f'{len(gaps)} places'
        notes.append(
            f'no frames for up to {longest:.1f} s in {places}; after each, '
            'faces are searched for again'
        )
    steps = np.delete(steps, [k - 1 for k in gaps])
    if not len(steps):
        return notes
    mean = 1 / steps.mean() if steps.mean() else np.inf
    if mean < rates.low / NEAR:
        notes.append(
            f'{mean:.3g} frames a second, fewer than the {rates} '
            'wanted: motion looks faster than it is'
        )
    elif late > FEW * len(steps):
        notes.append(
            f'{late} of {len(steps)} frames come later than at {rates} '
            'frames a second; there, motion looks faster than it is'
        )
    return notes
