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

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from gml_mmaction.io.records import UNSET
from gml_mmaction.io.text import counted, markdown_table, printable

from .controls import control_columns
from .forgery_metric import ALL_LEVELS, closest_rates, forgery_scores
from .pairs import Pairs, matched_pairs
from .scores import (
    Scored,
    ScoreFileError,
    ScoresFile,
    read_scores_file,
    split_frames,
)

__all__ = [
    'GRID',
    'Assessment',
    'Bootstrap',
    'Estimate',
    'Resampling',
    'ScoreFileError',
    'Scores',
    'assess',
    'bootstrap',
    'default_names',
    'headline',
    'intervals_fact',
    'level_scores',
    'paired_difference',
    'read_scores',
    'score_report',
    'score_table',
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


class Scores(NamedTuple):
    """Scores of one detector on one test set, at one level.

    Attributes:
        name: For legends and tables.
        level: ``'video'``, ``'clip'`` or ``'frame'``.
        labels: ``(N,)``, 0 = real, 1 = fake.
        scores: ``(N,)``, P(fake) in [0, 1].
        videos: ``(N,)``, the video's id.
        methods: ``(N,)``, how it was made.
        source: The data set, None if unknown.
        manifest: SHA-256 of the prepared set's manifest, None if unknown.
        threshold: Of this level, from the source's validation set.
        untrained: AUC of networks of random weights in the same test, one
            value each, by method, ``''`` for all fakes; empty if unknown.
        pairs: Fakes beside their originals, of whole videos; None at other
            levels, and where no original is known.
    """

    name: str
    level: str
    labels: np.ndarray
    scores: np.ndarray
    videos: np.ndarray
    methods: np.ndarray
    source: str | None = None
    manifest: str | None = None
    threshold: float | None = None
    untrained: Mapping[str, Sequence[float]] = MappingProxyType({})
    pairs: Pairs | None = None

    def count(self, label: int) -> int:
        """Number of videos of a class."""
        return len(set(self.videos[self.labels == label]))

    def forgeries(self) -> list[str]:
        """Names of the forgery methods."""
        return sorted(set(self.methods[self.labels == 1]))

    def against_reals(self, method: str) -> 'Scores':
        """One method's fakes and all reals."""
        kept = (self.labels == 0) | (self.methods == method)
        arrays = ('labels', 'scores', 'videos', 'methods')
        return self._replace(**{k: getattr(self, k)[kept] for k in arrays})


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


def read_scores(
    path: str | Path, level: str = 'video', name: str | None = None
) -> Scores:
    """Read a file that ``gml test`` wrote.

    Args:
        path: ``scores.json`` or ``scores_<target>.json``; see
            :class:`~gml_mmaction.evaluation.ForgeryMetric`.
        level: One of ``ALL_LEVELS``.
        name: For legends; the file's stem if not given.

    Raises:
        OSError: The file cannot be read.
        ScoreFileError: It is not such a file, or holds no scores of the
            level, or such as are not in [0, 1].
    """
    scores = level_scores(
        read_scores_file(path), level, name or Path(path).stem
    )
    problem = _problem(scores)
    if problem:
        raise ScoreFileError(f'{path}: {problem}')
    return scores


def level_scores(content: ScoresFile, level: str, name: str) -> Scores:
    """What a file holds of a level: arrays, empty if it has no such score."""
    levels: dict[str, Sequence[Scored]] = dict(
        video=content.videos,
        clip=content.clips,
        frame=split_frames(content.clips),
    )
    rows = levels[level]
    return Scores(
        name=name,
        level=level,
        labels=np.array([row.label for row in rows], int),
        scores=np.array([row.score for row in rows], float),
        videos=np.array([row.video_id for row in rows], str),
        methods=np.array([row.method for row in rows], str),
        source=content.source,
        manifest=content.manifest,
        threshold=content.thresholds.get(level),
        untrained=_untrained_aucs(content, level),
        pairs=matched_pairs(content.videos) if level == 'video' else None,
    )


def _untrained_aucs(content: ScoresFile, level: str) -> dict[str, list[float]]:
    if content.untrained is UNSET:
        return {}
    key = f'{level}/auc'
    return {
        name.removeprefix(key).removeprefix('/'): values
        for name, values in content.untrained.items()
        if name == key or name.startswith(f'{key}/')
    }


def _problem(scores: Scores) -> str:
    """One line on what makes scores useless, '' if nothing does."""
    level = scores.level
    if not len(scores.scores):
        others = ', '.join(name for name in ALL_LEVELS if name != level)
        return f'it has no scores of a {level}. Remedy: another of {others}'
    both = set(scores.videos[scores.labels == 0])
    both &= set(scores.videos[scores.labels == 1])
    if both:
        return (
            f'video {min(both)} is labelled both real and fake. '
            'Remedy: one label for each video'
        )
    return ''


def default_names(paths: Sequence[str | Path]) -> list[str]:
    """Name files by where paths differ, without ``scores_`` and suffix.

    ``runs/gml/scores_cdf.json`` and ``runs/xception/scores_cdf.json`` become
    ``gml/cdf`` and ``xception/cdf``.
    """
    parents = [os.path.abspath(Path(path).parent) for path in paths]
    common = os.path.commonpath(parents)
    return [
        Path(
            os.path.relpath(parent, common),
            Path(path).stem.removeprefix('scores_'),
        ).as_posix()
        for parent, path in zip(parents, paths)
    ]


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


def score_report(assessments: Sequence[Assessment]) -> dict[str, Any]:
    """All numbers, ready for JSON.

    Args:
        assessments: Of one level and resampling.

    Returns:
        ``level``, ``replicates``, ``confidence``, ``seed``, ``rows`` (the
        method is None in those of all fakes; a number is ``[value, low,
        high]``, or None with one class only), ``differences`` to the first
        file, and ``notes`` on what not to trust.
    """
    first, *others = assessments
    rows, differences, notes = [], [], []
    for assessment in assessments:
        rows += _report_rows(assessment)
        notes += _notes(assessment)
    for other in others:
        if first.overall is None or other.overall is None:
            continue
        names = f'{other.scores.name} minus {first.scores.name}'
        reason = why_unpaired(first.scores, other.scores)
        if reason:
            notes.append(f'{names}: no paired difference, as {reason}')
        else:
            difference = paired_difference(first, other)
            differences.append(dict(name=names, auc=[*difference]))
    return dict(
        level=first.scores.level,
        **first.resampling._asdict(),
        rows=rows,
        differences=differences,
        notes=notes,
    )


def _report_rows(assessment: Assessment) -> list[dict]:
    scores = assessment.scores
    results = [(None, assessment.overall), *assessment.methods.items()]
    rows = []
    for method, result in results:
        chosen = scores.against_reals(method) if method else scores
        numbers = result.estimates if result else {}
        rows.append(
            dict(
                name=scores.name,
                source=scores.source,
                manifest=scores.manifest,
                method=method,
                real_videos=chosen.count(0),
                fake_videos=chosen.count(1),
                scores=len(chosen.scores),
                **{k: numbers[k] if numbers else None for k in NUMBERS},
                untrained=scores.untrained.get(method or ''),
                pairs=None if method else scores.pairs,
            )
        )
    return rows


def _notes(assessment: Assessment) -> list[str]:
    """Lines on numbers that are missing or not to be trusted."""
    scores, few = assessment.scores, []
    if assessment.overall is None:
        kind = 'fake' if scores.labels[0] else 'real'
        return [
            f'{scores.name}: all {scores.count(scores.labels[0])} videos are '
            f'{kind}; AUC, AP and EER need both classes'
        ]
    notes = []
    for row in _report_rows(assessment):
        who = ', '.join(filter(None, [scores.name, row['method']]))
        counts = [row['real_videos'], row['fake_videos']]
        if min(counts) < FEW:
            few.append(f'{row["method"] or "all"} {counts[0]} + {counts[1]}')
        if row['auc'].low is None:
            notes.append(f'{who}: {_no_interval(row, assessment.resampling)}')
    if few:
        notes.append(
            f'{scores.name}: fewer than {FEW} videos of a class (real + fake: '
            f'{"; ".join(few)}); such intervals tend to be too narrow'
        )
    return notes


def _no_interval(row: dict, resampling: Resampling) -> str:
    """What can be said where all replicates have the same AUC.

    Of separated classes, k disjoint pairs of a real and a fake are k
    independent trials without a failure.
    """
    line = 'no interval, as all replicates have the same AUC'
    if row['auc'].value < 1:
        return line
    pairs = min(row['real_videos'], row['fake_videos'])
    confidence = resampling.confidence
    low = binomtest(pairs, pairs).proportion_ci(confidence).low
    return (
        f'{line}; that {pairs} disjoint pairs of a real and a fake video are '
        f'in order bounds it by {low:.3f} from below (Clopper-Pearson, '
        f'{100 * confidence:g} %)'
    )


def score_table(report: Mapping) -> str:
    """Lay :func:`score_report` out as Markdown."""
    level = report['level']
    names = [f'{level} {number.upper()}' for number in NUMBERS]
    extra = control_columns(
        level,
        [row.get('untrained') or () for row in report['rows']],
        [_pairs(row) for row in report['rows']],
    )
    rows = [['scores', 'fakes', 'real videos', 'fake videos', *names, *extra]]
    for place, row in enumerate(report['rows']):
        rows.append(
            [
                row['name'],
                row['method'] or 'all',
                str(row['real_videos']),
                str(row['fake_videos']),
                *(_text(row[number]) for number in NUMBERS),
                *(own[place] for own in extra.values()),
            ]
        )
    lines = markdown_table(rows)
    if report['differences']:
        header = ['paired difference', f'{level} AUC']
        pairs = [[d['name'], _text(d['auc'])] for d in report['differences']]
        lines += ['', *markdown_table([header, *pairs])]
    used = Resampling(*(report[name] for name in Resampling._fields))
    notes = [intervals_fact(used), *report['notes']]
    lines += ['', *(f'- {printable(line)}' for line in notes)]
    return '\n'.join(lines) + '\n'


def intervals_fact(resampling: Resampling) -> str:
    """Say in one line how intervals were made."""
    return (
        f'{100 * resampling.confidence:g} % percentile intervals, '
        f'{resampling.replicates} bootstrap replicates over videos, reals and '
        f'fakes drawn apart, seed {resampling.seed}'
    )


def _text(number: Sequence | None) -> str:
    return '-' if number is None else Estimate(*number).text()


def _pairs(row: Mapping) -> str | None:
    pairs = row.get('pairs')
    return Pairs(*pairs).words if pairs else None
