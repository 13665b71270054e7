"""The plot of a sweep over distortions."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gml_mmaction.evaluation.robustness import (
    Cell,
    axes_of,
    scores_of,
    type_name,
)
from gml_mmaction.io.text import figure_text

from . import palette

__all__ = ['Style', 'plot_robustness']


class Style(NamedTuple):
    """How a type of distortion is drawn."""

    colour: str
    marker: str


STYLES = {
    'CS': Style(palette.ORANGE, 'o'),
    'CC': Style(palette.SKY, 's'),
    'BW': Style(palette.GREEN, '^'),
    'GNC': Style(palette.BLUE, 'D'),
    'GB': Style(palette.VERMILION, 'v'),
    'JPEG': Style(palette.PURPLE, 'P'),
    'VC': Style(palette.BLACK, 'X'),
}
OTHER = Style(palette.GREY, 'd')  # of types that others have added


def plot_robustness(
    clean: Cell, cells: Sequence[Cell], out: str | Path, title: str = ''
) -> Path:
    """Draw the video AUC over the level, one line a type, clean dashed.

    Args:
        clean: The cell without distortion.
        cells: The others; those without a number are left out.
        out: The image to write.
        title: Written above.
    """
    from matplotlib.figure import Figure

    types, levels = axes_of(cells)
    scores = scores_of(cells)
    figure = Figure(figsize=(7, 4), layout='constrained')
    axis = figure.subplots()
    for kind in types:
        style = STYLES.get(kind, OTHER)
        points: list[tuple[int, float | None]] = [
            (level, scores[kind, level])
            for level in levels
            if scores.get((kind, level)) is not None
        ]
        label = type_name(kind) + ('' if points else ' (none)')
        axis.plot(
            *np.array(points, float).reshape(-1, 2).T,
            color=style.colour,
            marker=style.marker,
            label=label,
            clip_on=False,
        )
    if clean.auc is not None:
        axis.axhline(
            clean.auc,
            color=palette.GREY,
            linestyle='--',
            label='clean',
        )
    axis.set(xlabel='level of distortion', ylabel='video AUC')
    axis.set_xticks(levels or [1])
    axis.set_xlim(min(levels, default=1) - 0.2, max(levels, default=1) + 0.2)
    axis.set_ylim(top=min(axis.get_ylim()[1], 1.005))
    axis.grid(alpha=0.3)
    figure.suptitle(figure_text(title), fontsize='medium')
    figure.legend(
        *axis.get_legend_handles_labels(), loc='outside right center'
    )
    figure.savefig(out, dpi=150)
    return Path(out)
