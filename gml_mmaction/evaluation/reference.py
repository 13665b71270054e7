"""What genuine validation videos and the training data are like.

A checkpoint that was validated carries it. From it follow, for a new video,

- the scale of heat: what no usual frame of a genuine video reaches;
- what a score means in a video of many faces, or of few clips;
- whether the video is like those that the detector knows.

Paper: silent on all three. Bounds and factors here are our choice.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from gml_mmaction.io.records import Count, Record, Share
from gml_mmaction.io.rules import NUMBER, Rule, list_of, one_of
from gml_mmaction.io.text import counted

from .forgery_metric import VIDEO_RULES
from .scores import ClipScore

__all__ = [
    'LEAST_TRACKS',
    'PROPERTIES',
    'Corrected',
    'GenuineScores',
    'HeatScale',
    'Property',
    'Quantiles',
    'Reference',
    'Unlike',
    'quantiles_of',
    'tracks_of',
]

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LEAST_TRACKS = 20  # genuine ones, from which on scores are corrected
MOST_TRACKS = 1000  # that a checkpoint carries
TAIL, LEAST_TAIL = 0.25, 3  # share and number of scores that make an end
NARROWEST = 0.05  # scale of an end, in logits


def _ascends(values: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(values, values[1:]))


Quantiles = Annotated[
    list[Any],
    Rule(
        f'{len(LEVELS)} numbers that ascend',
        lambda v: list_of(NUMBER, len(LEVELS)).holds(v) and _ascends(v),
    ),
]


def quantiles_of(values: Sequence[float] | np.ndarray) -> list[float]:
    """Quantiles at ``LEVELS``, each a value that occurs.

    Args:
        values: At least one.
    """
    found = np.quantile(np.asarray(values, float), LEVELS, method='nearest')
    return [float(f'{value:.6g}') for value in found]


def tracks_of(scores: Sequence[ClipScore]) -> list[list[float]]:
    """P(fake) of the clips of each genuine track, in order of time."""
    tracks: dict[tuple[str, int], list[ClipScore]] = {}
    for clip in scores:
        if clip.label == 0:
            key = clip.video_id, clip.track
            tracks.setdefault(key, []).append(clip)
    return [
        [one.score for one in sorted(tracks[key], key=_place)]
        for key in sorted(tracks)
    ]


def _place(clip: ClipScore) -> int:
    return clip.clip_index


class Property(NamedTuple):
    """Something that is measured of each video.

    Attributes:
        words: What it is.
        unit: In which it is given.
        factor: By how much it may be beyond the middle 98 per cent of the
            training; 0 if it is ``margin`` that counts.
        margin: The same as a difference.
        withholds: Whether there is no verdict beyond.
    """

    words: str
    unit: str
    factor: float = 0.0
    margin: float = 0.0
    withholds: bool = True


# A longer video is no reason for no verdict: its number of clips is accounted
# for.
PROPERTIES = {
    'rate': Property('frame rate', 'frames taken a second', factor=1.1),
    'face': Property('size of the face', 'pixels', factor=1.5),
    'bits': Property('compression', 'bits a pixel', factor=1.5),
    'length': Property('length', 's', factor=1.5, withholds=False),
    'brightness': Property('brightness', 'grey levels', margin=40.0),
    'sharpness': Property('sharpness', 'grey levels', factor=1.5),
}


class Unlike(NamedTuple):
    """A property in which a video is unlike the training data."""

    name: str
    value: float
    low: float
    high: float

    @property
    def withholds(self) -> bool:
        """Whether there is no verdict because of it."""
        return PROPERTIES[self.name].withholds

    @property
    def text(self) -> str:
        """Which property it is, how far it is away, and what follows."""
        return self._text if self.withholds else f'{self._text}; a note only'

    @property
    def _text(self) -> str:
        kind = PROPERTIES[self.name]
        above = self.value > self.high
        end = self.high if above else self.low
        text = (
            f'{kind.words} {self.value:.3g} {kind.unit}, in the training '
            f'{self.low:.3g} to {self.high:.3g}'
        )
        if not kind.factor:
            side = 'above' if above else 'below'
            return f'{text} ({abs(self.value - end):.3g} {side} that)'
        if not min(self.value, end) > 0:
            return text
        ratio = self.value / end if above else end / self.value
        side = 'the highest' if above else 'the lowest'
        part = f'{ratio:.3g} times' if above else f'1/{ratio:.3g} of'
        return f'{text} ({part} {side})'


class HeatScale(Record, frozen=True, kw_only=True):
    """Heat in genuine validation videos, quantiles at ``LEVELS``.

    Attributes:
        kind: ``'clue'`` or ``'cam'``.
        values: Of all places of all frames.
        peaks: Of the highest value in each frame.
        frames: How many there are.
    """

    kind: Annotated[str, one_of('clue', 'cam')]
    values: Quantiles
    peaks: Quantiles
    frames: Count

    @property
    def ends(self) -> tuple[float, float]:
        """Where heat begins to show and where it is full.

        95 per cent of the genuine frames show none. It is full at twice that
        distance from the median of all places.
        """
        begin = self.peaks[LEVELS.index(0.95)]
        usual = self.values[LEVELS.index(0.5)]
        return begin, 2 * begin - usual


class Corrected(NamedTuple):
    """A video's score among genuine videos.

    Attributes:
        score: What one genuine validation track exceeds as rarely as a
            genuine video with as many tracks and clips exceeds the video's
            score; comparable with the threshold.
        chance: How often that is, 0 to 1.
        track: Number of the track that decides.
    """

    score: float
    chance: float
    track: int


class Reference(Record, frozen=True, kw_only=True):
    """What a checkpoint knows of genuine videos and of its training data.

    Attributes:
        heat: None where the network gives no map.
        tracks: P(fake) of the clips of genuine validation tracks, in order of
            time.
        inputs: By the names of ``PROPERTIES``, quantiles at ``LEVELS`` over
            the videos, faces or clips of training and validation.
    """

    heat: HeatScale | None = None
    tracks: list[list[Share]] = []
    inputs: dict[str, Quantiles] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(self.tracks):
            raise ValueError('a genuine track has no clips')

    def unlike(self, found: Mapping[str, float | None]) -> list[Unlike]:
        """The properties that are beyond those of the training.

        Args:
            found: By the names of ``PROPERTIES``; None where unknown.
        """
        return [
            one
            for name, value in found.items()
            if value is not None and name in self.inputs
            if (one := self._beyond(name, value)) is not None
        ]

    def _beyond(self, name: str, value: float) -> Unlike | None:
        quantiles, kind = self.inputs[name], PROPERTIES[name]
        low = quantiles[LEVELS.index(0.01)]
        high = quantiles[LEVELS.index(0.99)]
        factor = kind.factor or 1.0
        if low / factor - kind.margin <= value <= high * factor + kind.margin:
            return None
        return Unlike(name, value, low, high)

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it: scores of clips are only counted."""
        return dict(
            heat=self.heat
            and dict(
                kind=self.heat.kind,
                levels=list(LEVELS),
                values=self.heat.values,
                peaks=self.heat.peaks,
                frames=self.heat.frames,
            ),
            genuine_tracks=len(self.tracks),
            genuine_clips=sum(map(len, self.tracks)),
            levels=list(LEVELS),
            inputs={k: v for k, v in self.inputs.items() if k in PROPERTIES},
        )

    @property
    def words(self) -> str:
        """What it is made of, for a reader."""
        return (
            f'{counted(len(self.tracks), "genuine face")} of the validation '
            f'({counted(sum(map(len, self.tracks)), "clip")})'
        )


class GenuineScores:
    """How high genuine tracks score, by their number of clips.

    A track's score is that of its clips. Fewer clips give scores that are
    spread wider: what tracks of n clips would score is seen by parts of n
    clips of the genuine tracks. Of tracks that are longer than these, the
    whole ones are taken: a mean of more clips has no wider spread; for
    ``'max'``, which rises, several of them count as one.

    In a video of m tracks, one of them exceeds a score of chance p by chance
    ``1 - (1 - p)^m`` (Sidak; if they depend on each other it is rarer). The
    video's score becomes the one that a single whole validation track exceeds
    as rarely. So the threshold, which was chosen on such tracks, keeps its
    rate of false alarms however many faces, cuts and clips there are.

    Between the scores that were seen, chances are interpolated, in logits; in
    the highest quarter and beyond they fall off exponentially.

    Args:
        tracks: P(fake) of the clips of genuine tracks, ``LEAST_TRACKS`` or
            more.
        rule: Key of ``VIDEO_RULES``.
    """

    def __init__(self, tracks: Sequence[Sequence[float]], rule: str) -> None:
        self._tracks = tracks
        self._rule = rule
        self._longest = max(map(len, tracks))
        self._of_length = functools.lru_cache(maxsize=64)(self._fit)

    def correct(self, tracks: Sequence[Sequence[float]]) -> Corrected:
        """A video's score as if it had one track of the validation's length.

        Args:
            tracks: P(fake) of the clips of the video's tracks.
        """
        merge = VIDEO_RULES[self._rule]
        scores = [float(merge(clips)) for clips in tracks]
        chances = [
            self.chance(score, len(clips))
            for score, clips in zip(scores, tracks)
        ]
        place = min(range(len(tracks)), key=lambda i: (chances[i], -scores[i]))
        least = chances[place]
        more = len(tracks[0]) - self._longest
        same = more == 0 or (more > 0 and self._rule != 'max')
        if same and len(tracks) == 1:
            return Corrected(scores[0], least, 0)
        chance = _of_several(least, len(tracks))
        score = self._of_length(self._longest).score(chance)
        return Corrected(score, chance, place)

    def chance(self, score: float, clips: int) -> float:
        """How often a genuine track of so many clips scores so high."""
        chance = self._of_length(min(clips, self._longest)).chance(score)
        if self._rule == 'max' and clips > self._longest:
            return _of_several(chance, clips / self._longest)
        return chance

    def _fit(self, clips: int) -> '_Distribution':
        merge = VIDEO_RULES[self._rule]
        return _Distribution(
            [
                float(merge(part))
                for track in self._tracks
                for part in _parts(track, clips)
            ]
        )


def _of_several(chance: float, count: float) -> float:
    """How often one of several happens that each happen so often."""
    return float(-np.expm1(count * np.log1p(-min(chance, 1 - 1e-12))))


def _parts(track: Sequence[float], clips: int) -> list[Sequence[float]]:
    """The parts of a track of so many clips; or all of it, if it is short."""
    count = len(track) // clips
    if count < 2:
        return [track[:clips]]
    return [track[i * clips : (i + 1) * clips] for i in range(count)]


class _Distribution:
    """Chances of scores, from a sample, in logits.

    The middle half is interpolated; each outer quarter falls off
    exponentially, with its mean excess, which is heavier than the end of a
    normal distribution: no chance hangs on a single score.

    Args:
        scores: ``(N,)``, 0 to 1.
    """

    def __init__(self, scores: Sequence[float]) -> None:
        values = np.sort(_logit(np.asarray(scores, float)))
        count = len(values)
        outer = min(max(LEAST_TAIL, round(TAIL * count)), count // 2)
        above = 1 - (np.arange(count) + 0.5) / count
        inner = slice(outer, count - outer) if count > 2 * outer else slice(0)
        low, high = (
            values[outer - 1 : outer + 1].mean(),
            values[count - outer - 1 : count - outer + 1].mean(),
        )
        x = np.r_[low, values[inner], high]
        share = np.r_[1 - outer / count, above[inner], outer / count]
        # equal scores are one, in the middle of their chances
        self._x, place, number = np.unique(
            x, return_inverse=True, return_counts=True
        )
        self._above = np.bincount(place, share) / number
        over = values[count - outer :].mean() - high
        under = low - values[:outer].mean()
        self._upper, self._lower = max(NARROWEST, over), max(NARROWEST, under)

    def chance(self, score: float) -> float:
        """How often a score is so high, above 0 and below 1."""
        x = float(_logit(np.asarray(score, float)))
        low, high = self._x[0], self._x[-1]
        if x > high:
            return float(self._above[-1] * np.exp((high - x) / self._upper))
        if x < low:
            below = (1 - self._above[0]) * np.exp((x - low) / self._lower)
            return float(1 - below)
        return float(np.interp(x, self._x, self._above))

    def score(self, chance: float) -> float:
        """The score that is exceeded so often."""
        chance = float(np.clip(chance, 1e-300, 1 - 1e-12))
        first, last = self._above[0], self._above[-1]
        if chance < last:
            x = self._x[-1] + self._upper * np.log(last / chance)
        elif chance > first:
            share = (1 - chance) / (1 - first)
            x = self._x[0] + self._lower * np.log(share)
        else:
            x = np.interp(chance, self._above[::-1], self._x[::-1])
        return float(1 / (1 + np.exp(-x)))


def _logit(scores: np.ndarray) -> np.ndarray:
    inside = scores.clip(1e-7, 1 - 1e-7)
    return np.log(inside / (1 - inside))
