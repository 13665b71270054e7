"""Confidence intervals of AUC, AP and EER: a bootstrap over videos.

Test sets differ in the videos that they hold. So whole videos are drawn, with
replacement, and all clips and frames of a video go with it, as they are not
independent (Field and Welsh, "Bootstrapping Clustered Data", JRSS B 69, 2007).
An interval is between quantiles of the replicates (percentile bootstrap; Efron
and Tibshirani, 1993, chapter 13).

Reals and fakes are drawn apart, each as many as there are. Their numbers are
the test set's design and not an outcome; AP would vary with their share, and
no replicate can lack a class. Forgery methods are not drawn apart: strata of
a few videos would make intervals too narrow, by (n - 1) / n in variance.

An interval of AP is rather too narrow by the bias of small samples: of 1000
sets with 140 + 140 videos, 95 % intervals held the true AP of 0.85 in 932 and
of 0.97 in 905; those of AUC in 950 and 935.

The intervals do not include the variation between trainings or between
populations of videos, nor that videos are related. Fakes made from one source
video, or showing one person, count as independent, as the score files do not
say who is seen; this makes intervals somewhat too narrow.

Paper: gives single numbers, without intervals.
"""

from typing import Any, NamedTuple

import numpy as np

from gml_mmaction.io.text import counted

from .forgery_metric import closest_rates, forgery_scores
from .level_scores import Scores

__all__ = [
    'GRID',
    'Assessment',
    'Bootstrap',
    'Estimate',
    'Resampling',
    'assess',
    'bootstrap',
    'headline',
    'intervals_fact',
    'paired_difference',
    'why_unpaired',
]

NUMBERS = ('auc', 'ap', 'eer')
# Videos of a class below which an interval carries a warning. Of 1000 sets
# each, normal scores of a known AUC of 0.85, 95 % intervals held it in 950
# with 140 + 140 videos, in 949 with 30 + 30, in 900 with 12 + 12.
FEW = 30
BLOCK = 1_000_000  # rows times replicates at once, in some ten arrays
# Where bands are computed, rates in [0, 1]; dense near 0 for a log axis.
GRID = np.unique(np.r_[np.geomspace(1e-4, 1e-2, 41), np.linspace(0, 1, 201)])


class Resampling(NamedTuple):
    """How replicates are drawn.

    Attributes:
        replicates: Their number.
        confidence: Of the intervals, between 0 and 1.
        seed: Of the draws.
    """

    replicates: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def interval(self, values: np.ndarray) -> np.ndarray:
        """Quantiles over the first axis: low, high."""
        tail = (1 - self.confidence) / 2
        return np.quantile(values, [tail, 1 - tail], axis=0)


class Estimate(NamedTuple):
    """A number with its interval.

    Attributes:
        value: Of the test set itself.
        low: None, as ``high``, where all replicates agree, as they do when
            the classes are fully separated. A width of zero would claim
            certainty that a finite test set cannot give.
        high: See ``low``.
    """

    value: float
    low: float | None
    high: float | None

    def text(self, digits: int = 4) -> str:
        """As in ``0.8531 [0.8012, 0.8990]``."""
        if self.low is None:
            return f'{self.value:.{digits}f} [no interval]'
        value, low, high = (f'{number:.{digits}f}' for number in self)
        return f'{value} [{low}, {high}]'


class Bootstrap(NamedTuple):
    """What the replicates of one set of scores gave.

    Attributes:
        estimates: By ``'auc'``, ``'ap'`` and ``'eer'``.
        hits: ``(2, len(GRID))``, pointwise interval of the share of fakes
            called fake, over the false-alarm rates of ``GRID``.
        precision: ``(2, len(GRID))``, pointwise interval over the recalls of
            ``GRID``.
        aucs: ``(replicates,)``.
    """

    estimates: dict[str, Estimate]
    hits: np.ndarray
    precision: np.ndarray
    aucs: np.ndarray


class Assessment(NamedTuple):
    """One score file with its intervals.

    Attributes:
        scores: What was read.
        resampling: How replicates were drawn.
        overall: All fakes against all reals; None with one class only.
        methods: Each method's fakes against all reals, where several.
    """

    scores: Scores
    resampling: Resampling
    overall: Bootstrap | None
    methods: dict[str, Bootstrap]


def assess(scores: Scores, resampling: Resampling) -> Assessment:
    """Intervals of all fakes and, where there are several, of each method."""
    if len(set(scores.labels)) < 2:
        return Assessment(scores, resampling, None, {})
    names = scores.forgeries()
    return Assessment(
        scores,
        resampling,
        bootstrap(scores, resampling),
        {
            name: bootstrap(scores.against_reals(name), resampling)
            for name in (names if len(names) > 1 else ())
        },
    )


def bootstrap(scores: Scores, resampling: Resampling) -> Bootstrap:
    """Draw whole videos and compute all numbers of every replicate.

    The draws depend only on the seed and on ids and labels of the videos, so
    that two detectors on the same videos get the same ones.

    Args:
        scores: Of both classes.
        resampling: How to draw.
    """
    _, first, video = np.unique(
        scores.videos, return_index=True, return_inverse=True
    )
    drawn = _draw(scores.labels[first], resampling)
    thresholds = np.unique(scores.scores)[::-1]
    sides = [
        _ranked(scores.scores[own], video[own], thresholds)
        for own in (scores.labels == 0, scores.labels == 1)
    ]
    parts = []
    step = max(1, BLOCK // len(video))
    for start in range(0, resampling.replicates, step):
        block = drawn[start : start + step]
        points = [
            np.pad(np.cumsum(block[:, ranked], axis=1), [(0, 0), (1, 0)])[
                :, counts
            ]
            for ranked, counts in sides
        ]
        parts.append((*_numbers(*points), *_curves(*points)))
    auc, ap, eer, hits, precision = map(np.concatenate, zip(*parts))
    values: dict[str, Any] = forgery_scores(scores.labels, scores.scores)
    return Bootstrap(
        {
            name: _estimate(values[name], replicates, resampling)
            for name, replicates in zip(NUMBERS, (auc, ap, eer))
        },
        resampling.interval(hits),
        resampling.interval(precision),
        auc,
    )


def headline(
    scores: Scores, resampling: Resampling
) -> dict[str, Estimate | None]:
    """AUC and ACC alone with their intervals, for tables of many runs.

    The draws are those of :func:`bootstrap`, and so is the interval of AUC;
    it is computed from pairs of videos, some ten times as fast.

    Args:
        scores: Of one level, not empty.
        resampling: How to draw.

    Returns:
        ``'acc'`` at 0.5, ``'acc_val'`` at ``scores.threshold`` (None without
        one) and ``'auc'`` (None with one class only).
    """
    _, first, video = np.unique(
        scores.videos, return_index=True, return_inverse=True
    )
    drawn = _draw(scores.labels[first], resampling)
    rows = drawn @ np.bincount(video)
    values = forgery_scores(scores.labels, scores.scores, scores.threshold)
    result: dict[str, Estimate | None] = {}
    for name, least in (('acc', 0.5), ('acc_val', scores.threshold)):
        value = values.get(name)
        if least is None or value is None:
            result[name] = None
            continue
        right = (scores.scores >= least) == scores.labels
        shares = drawn @ np.bincount(video, right) / rows
        result[name] = _estimate(value, shares, resampling)
    result['auc'] = None
    if values['auc'] is not None:
        aucs = _auc_of_pairs(scores, video, drawn)
        result['auc'] = _estimate(values['auc'], aucs, resampling)
    return result


def _auc_of_pairs(
    scores: Scores, video: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """AUC of replicates: the share of pairs of rows in order, ties half."""
    fake = scores.labels == 1
    reals = np.unique(video[~fake])
    count = drawn.shape[1]
    in_order = np.empty((len(reals), count))
    for row, real in zip(in_order, reals):
        own = np.sort(scores.scores[video == real])
        below = [
            np.searchsorted(own, scores.scores[fake], side)
            for side in ('left', 'right')
        ]
        row[:] = np.bincount(video[fake], np.mean(below, axis=0), count)
    won = np.sum(drawn[:, reals] @ in_order * drawn, axis=1)
    sizes = [drawn @ np.bincount(video, own) for own in (~fake, fake)]
    return won / (sizes[0] * sizes[1])


def _ranked(
    scores: np.ndarray, videos: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank the rows of one class, the highest score first.

    Returns:
        Their videos, ``(n,)``, and how many of them are called fake: none
        first, then at each of the falling ``thresholds``, ``(K + 1,)``.
    """
    order = np.argsort(-scores)
    called = np.searchsorted(-scores[order], -thresholds, side='right')
    return videos[order], np.r_[0, called]


def _draw(labels: np.ndarray, resampling: Resampling) -> np.ndarray:
    """How often each video is in each replicate, ``(replicates, videos)``."""
    rng = np.random.default_rng(resampling.seed)
    drawn = np.empty((resampling.replicates, len(labels)), np.int32)
    for label in np.unique(labels):
        own = labels == label
        count = own.sum()
        drawn[:, own] = rng.multinomial(
            count, np.full(count, 1 / count), resampling.replicates
        )
    return drawn


def _numbers(
    alarms: np.ndarray, hits: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUC, AP and EER of replicates, as scikit-learn and we define them.

    Args:
        alarms: ``(replicates, K + 1)``, number of reals called fake at each
            of K thresholds, the strictest first, after a column of zeros.
        hits: The same of fakes.

    Returns:
        Three arrays of ``(replicates,)``.
    """
    reals, fakes = alarms[:, -1], hits[:, -1]
    more = np.diff(alarms, axis=1)
    auc = np.sum(more * (hits[:, 1:] + hits[:, :-1]), axis=1)
    auc = auc / (2.0 * reals * fakes)
    precision = hits / np.maximum(hits + alarms, 1)
    ap = np.sum(np.diff(hits, axis=1) * precision[:, 1:], axis=1) / fakes
    eer, _ = closest_rates(alarms, hits)
    return auc, ap, eer


def _curves(
    alarms: np.ndarray, hits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hit rates and precisions of replicates over ``GRID``.

    Between operating points a ROC is straight and a precision that of the
    next recall reached, so that the areas below are AUC and AP.

    Args:
        alarms: See :func:`_numbers`.
        hits: See :func:`_numbers`.

    Returns:
        Two arrays of ``(replicates, len(GRID))``.
    """
    shape = (len(hits), len(GRID))
    rates, precision = np.empty(shape), np.empty(shape)
    for i, (alarm, hit) in enumerate(zip(alarms, hits)):
        # counts are whole: a rate that rounding shifts keeps its place
        rates[i] = np.interp(GRID * alarm[-1] + 1e-9, alarm, hit) / hit[-1]
        # the first with a hit is taken for recall 0, where nothing is called
        recalls = np.maximum(GRID * hit[-1] - 1e-9, 1e-9)
        place = np.searchsorted(hit, recalls)
        precision[i] = hit[place] / (hit[place] + alarm[place])
    return rates, precision


def _estimate(
    value: float, replicates: np.ndarray, resampling: Resampling
) -> Estimate:
    if np.ptp(replicates) < 1e-12:
        return Estimate(float(value), None, None)
    return Estimate(float(value), *map(float, resampling.interval(replicates)))


def why_unpaired(first: Scores, other: Scores) -> str:
    """Why two detectors cannot be compared video by video; '' if they can."""
    videos = [set(zip(s.videos, s.labels)) for s in (first, other)]
    differ = len(videos[0] ^ videos[1])
    if differ == len(videos[0]) + len(videos[1]):
        return 'they are of different videos'
    if differ:
        return f'{counted(differ, "video")} in only one of the two'
    if first.manifest != other.manifest:
        return 'their manifests differ'
    return ''


def paired_difference(first: Assessment, other: Assessment) -> Estimate:
    """AUC of ``other`` less that of ``first``, on the same videos.

    Both numbers of a replicate are of the same draw of videos. What makes a
    video easy or hard for both cancels out, which makes the interval much
    narrower than the two intervals side by side suggest.

    Args:
        first: With both classes.
        other: Of the same videos (:func:`why_unpaired`) and resampling.
    """
    before, after = first.overall, other.overall
    assert before is not None
    assert after is not None
    return _estimate(
        after.estimates['auc'].value - before.estimates['auc'].value,
        after.aucs - before.aucs,
        first.resampling,
    )


def intervals_fact(resampling: Resampling) -> str:
    """Say in one line how intervals were made."""
    return (
        f'{100 * resampling.confidence:g} % percentile intervals, '
        f'{resampling.replicates} bootstrap replicates over videos, reals and '
        f'fakes drawn apart, seed {resampling.seed}'
    )
