"""ROC, precision-recall, histograms and bars per method, from score files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from gml_mmaction.evaluation.bootstrap import (
    GRID,
    Assessment,
    Bootstrap,
    Estimate,
)
from gml_mmaction.evaluation.level_scores import Scores
from gml_mmaction.io.text import figure_text

from .palette import COLOURS, FAKE, GREY, REAL

__all__ = [
    'draw_histograms',
    'draw_methods',
    'draw_precision_recall',
    'draw_roc',
    'save_figures',
]

# For each round of the colours, of lines and of bars.
DASHES = ('-', '--', '-.')
HATCHES = ('', '///', '...')
CLASSES = (('real', REAL), ('fake', FAKE))
BINS = np.linspace(0, 1, 26).tolist()
MOST_BANDS = 3  # more of them hide each other


class _Drawn(NamedTuple):
    """A file with both classes, its intervals and its looks."""

    assessment: Assessment
    overall: Bootstrap
    style: dict[str, Any]


def draw_roc(
    assessments: Sequence[Assessment], *, log_false_alarms: bool = False
) -> Figure:
    """ROC curves with pointwise intervals; the legend holds the AUCs.

    Args:
        assessments: Some have both classes; the others are left out.
        log_false_alarms: A logarithmic axis of false alarms, from half of
            the smallest rate above 0 on.
    """
    figure, axis, drawn = _square(assessments)
    level = drawn[0].assessment.scores.level
    for assessment, overall, style in drawn:
        scores = assessment.scores
        alarms, hits, _ = roc_curve(scores.labels, scores.scores)
        label = _legend_line(scores, overall, 'auc')
        axis.plot(alarms, hits, label=label, **style)
        if len(drawn) <= MOST_BANDS:
            _band(axis, overall.hits, style['color'])
    axis.plot(GRID, GRID, color=GREY, linestyle=(0, (1, 2)), label='chance')
    axis.set(
        xlabel=f'false alarms: share of real {level}s called fake',
        ylabel=f'hits: share of fake {level}s called fake',
    )
    if log_false_alarms:
        most = max(np.sum(d.assessment.scores.labels == 0) for d in drawn)
        axis.set_xscale('log', nonpositive='clip')
        axis.set(xlim=(0.5 / most, 1.05), aspect='auto')
    _legend_below(figure, axis, _brackets(drawn))
    return figure


def draw_precision_recall(assessments: Sequence[Assessment]) -> Figure:
    """Precision over recall, in scikit-learn's steps; AP is the area below.

    Dotted: the share of fakes, which is the precision of guessing.

    Args:
        assessments: Some have both classes; the others are left out.
    """
    figure, axis, drawn = _square(assessments)
    level = drawn[0].assessment.scores.level
    shares: dict[float, str] = {}
    for assessment, overall, style in drawn:
        scores = assessment.scores
        precision, recall, _ = precision_recall_curve(
            scores.labels, scores.scores
        )
        axis.step(
            recall,
            precision,
            where='post',
            label=_legend_line(scores, overall, 'ap'),
            **style,
        )
        if len(drawn) <= MOST_BANDS:
            _band(axis, overall.precision, style['color'])
        shares.setdefault(float(scores.labels.mean()), style['color'])
    for share, colour in shares.items():
        axis.axhline(
            share,
            color=GREY if len(shares) == 1 else colour,
            linestyle=(0, (1, 2)),
            label=f'share of fakes {share:.3f}',
        )
    axis.set(
        xlabel=f'recall: share of fake {level}s called fake',
        ylabel=f'precision: share of fakes among {level}s called fake',
    )
    _legend_below(figure, axis, _brackets(drawn))
    return figure


def draw_histograms(assessments: Sequence[Assessment]) -> Figure:
    """Scores of reals and fakes, a panel a file; one class is enough.

    Bars are shares of a class, so that the rarer one is seen as well.
    """
    columns = min(len(assessments), 3)
    rows = -(-len(assessments) // columns)
    figure = Figure(
        figsize=(max(4.2 * columns, 5), 3.2 * rows), layout='constrained'
    )
    axes = figure.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False
    )
    for axis, assessment in zip(axes.flat, assessments):
        _histogram(axis, assessment.scores)
    for axis in axes.flat[len(assessments) :]:
        axis.set_axis_off()
    level = assessments[0].scores.level
    figure.supxlabel(f'score of a {level}, P(fake)', fontsize='medium')
    figure.supylabel(f'share of the {level}s of a class', fontsize='medium')
    handles: dict[str, Artist] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles,
        loc='outside upper center',
        ncols=len(handles),
        fontsize='small',
        frameon=False,
    )
    return figure


def draw_methods(assessments: Sequence[Assessment]) -> Figure:
    """AUC of each method's fakes against all reals, with its interval.

    Bars start at chance, so that their lengths may be compared.

    Args:
        assessments: Some have both classes; the others are left out.
    """
    drawn = _styled(assessments)
    methods = sorted({m for d in drawn for m in d.assessment.methods})
    groups = ['all fakes', *map(figure_text, methods)]
    height = len(groups) * max(0.4, 0.16 * len(drawn))
    figure = Figure(figsize=(7, 0.8 + height), layout='constrained')
    axis = figure.subplots()
    thickness = 0.8 / len(drawn)
    nulls: dict[float, Sequence[float]] = {}
    for i, (assessment, overall, style) in enumerate(drawn):
        results = [overall, *map(assessment.methods.get, methods)]
        heights = [y + (i + 0.5) * thickness - 0.4 for y in range(len(groups))]
        places = {
            y: result.estimates['auc']
            for y, result in zip(heights, results)
            if result is not None
        }
        bars = _bars(axis, places, thickness, style)
        bars.set_label(figure_text(assessment.scores.name))
        untrained = assessment.scores.untrained
        values = map(untrained.get, ['', *methods])
        nulls.update({y: own for y, own in zip(heights, values) if own})
    if nulls:
        _untrained(axis, nulls, thickness)
    level = drawn[0].assessment.scores.level
    confidence = _percent(drawn[0].assessment)
    axis.axvline(0.5, color=GREY, linewidth=1)
    axis.set(
        xlabel=f'{level} AUC, bars from chance on; {confidence} intervals'
    )
    axis.set_xlim(min(0.48, axis.get_xlim()[0]), 1)
    axis.set_yticks(range(len(groups)), groups)
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.grid(axis='x', alpha=0.3)
    axis.set_axisbelow(True)
    _legend_below(figure, axis)
    return figure


def save_figures(
    figures: dict[str, Figure],
    folder: str | Path,
    formats: Sequence[str] = ('png',),
) -> list[Path]:
    """Write every figure in every format; returns the files.

    Args:
        figures: By the file's stem.
        folder: Made where it is missing.
        formats: Endings that matplotlib knows.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    # Type 42 keeps a PDF's text as text; many venues refuse Type 3 fonts.
    with rc_context({'pdf.fonttype': 42, 'svg.fonttype': 'none'}):
        for name, figure in figures.items():
            for ending in formats:
                files.append(folder / f'{name}.{ending}')
                figure.savefig(files[-1], dpi=150)
    return files


def _styled(assessments: Sequence[Assessment]) -> list[_Drawn]:
    """Those with both classes; a file has one colour in every figure."""
    return [
        _Drawn(
            assessment,
            assessment.overall,
            dict(
                color=COLOURS[i % len(COLOURS)],
                linestyle=DASHES[i // len(COLOURS) % len(DASHES)],
            ),
        )
        for i, assessment in enumerate(assessments)
        if assessment.overall is not None
    ]


def _square(
    assessments: Sequence[Assessment],
) -> tuple[Figure, Axes, list[_Drawn]]:
    drawn = _styled(assessments)
    figure = Figure(figsize=(5, 4.9), layout='constrained')
    axis = figure.subplots()
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect='equal')
    axis.grid(alpha=0.3)
    return figure, axis, drawn


def _band(axis: Axes, interval: np.ndarray, colour: str) -> None:
    axis.fill_between(
        GRID, *interval, facecolor=(colour, 0.12), edgecolor=(colour, 0.5)
    )


def _percent(assessment: Assessment) -> str:
    return f'{100 * assessment.resampling.confidence:g} %'


def _legend_line(scores: Scores, overall: Bootstrap, number: str) -> str:
    text = f'{number.upper()} {overall.estimates[number].text(3)}'
    null = scores.untrained.get('')
    if null and number == 'auc':
        text += f', untrained {min(null):.3f} to {max(null):.3f}'
    unbroken = text.replace(' ', '\N{NO-BREAK SPACE}')
    return f'{figure_text(scores.name)}: {unbroken}'


def _brackets(drawn: Sequence[_Drawn]) -> str:
    where = 'shaded and in' if len(drawn) <= MOST_BANDS else 'in'
    percent = _percent(drawn[0].assessment)
    return f'{where} brackets: {percent} intervals over videos'


def _legend_below(figure: Figure, axis: Axes, title: str = '') -> None:
    """Below the axes, where it hides no curve; the figure grows by it."""
    handles, labels = axis.get_legend_handles_labels()
    labels = [fill(label, 60) for label in labels]
    lines = sum(label.count('\n') + 1 for label in labels) + bool(title)
    figure.set_figheight(figure.get_figheight() + 0.15 + 0.18 * lines)
    figure.legend(
        handles,
        labels,
        loc='outside lower center',
        title=title or None,
        title_fontsize='small',
        fontsize='small',
        frameon=False,
    )


def _histogram(axis: Axes, scores: Scores) -> None:
    for label, (name, colour) in enumerate(CLASSES):
        own = scores.scores[scores.labels == label]
        axis.hist(
            own,
            BINS,
            weights=np.full(len(own), 1 / max(len(own), 1)),
            histtype='stepfilled',
            facecolor=(colour, 0.35),
            edgecolor=colour,
            label=name,
        )
    title = figure_text(scores.name)
    if scores.threshold is not None:
        axis.axvline(
            scores.threshold,
            color='black',
            linestyle='--',
            linewidth=1,
            label='threshold of the validation set',
        )
        title += f' (threshold {scores.threshold:.3f})'
    axis.set_title(f'{fill(title, 44)}\n{_counts(scores)}', fontsize='small')
    axis.set_xlim(0, 1)


def _counts(scores: Scores) -> str:
    """As in ``700 real + 2800 fake clips of 140 + 560 videos``."""
    real, fake = np.bincount(scores.labels, minlength=2)
    text = f'{real} real + {fake} fake {scores.level}s'
    if scores.level == 'video':
        return text
    return f'{text} of {scores.count(0)} + {scores.count(1)} videos'


def _untrained(
    axis: Axes, nulls: Mapping[float, Sequence[float]], thickness: float
) -> None:
    """Frame what networks of random weights reach, over the bars."""
    ends = np.array([[min(own), max(own)] for own in nulls.values()])
    axis.barh(
        list(nulls),
        ends[:, 1] - ends[:, 0],
        left=ends[:, 0],
        height=0.9 * thickness,
        fill=False,
        hatch='....',
        edgecolor=GREY,
        linewidth=1,
        label='untrained networks, lowest to highest',
    )


def _bars(
    axis: Axes, places: dict[float, Estimate], thickness: float, style: dict
) -> BarContainer:
    """Bars from chance to each AUC, with whiskers where there are any."""
    values = np.array([e.value for e in places.values()])
    ends = np.array(
        [e if e.low is not None else [e.value] * 3 for e in places.values()]
    )
    return axis.barh(
        list(places),
        values - 0.5,
        left=0.5,
        height=0.9 * thickness,
        color=style['color'],
        alpha=0.75,
        hatch=HATCHES[DASHES.index(style['linestyle'])],
        edgecolor='white',
        linewidth=0,
        xerr=[values - ends[:, 1], ends[:, 2] - values],
        error_kw=dict(elinewidth=1, capsize=2),
    )
