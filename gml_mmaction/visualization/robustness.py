"""What a sweep over distortions gave: the table and the plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gml_mmaction.io.text import figure_text, markdown_table, printable

from . import palette

__all__ = ['Style', 'mean_scores', 'plot_robustness', 'robustness_table']


class Style(NamedTuple):
    """How a type of distortion is called and drawn."""

    name: str
    colour: str
    marker: str


STYLES = {
    'CS': Style('saturation', palette.ORANGE, 'o'),
    'CC': Style('contrast', palette.SKY, 's'),
    'BW': Style('blocks', palette.GREEN, '^'),
    'GNC': Style('noise', palette.BLUE, 'D'),
    'GB': Style('blur', palette.VERMILION, 'v'),
    'JPEG': Style('pixelation', palette.PURPLE, 'P'),
    'VC': Style('compression', palette.BLACK, 'X'),
}
OTHER = Style('', palette.GREY, 'd')  # of types that others have added


def scores_of(cells: Sequence[Mapping]) -> dict[tuple[str, int], float | None]:
    """Return the video AUC by type and level, None where there is none."""
    return {
        (cell['type'], cell['level']): (cell['metrics'] or {}).get('video/auc')
        for cell in cells
    }


def mean_scores(cells: Sequence[Mapping]) -> dict[str, Any]:
    """Mean video AUC over levels, over types and over all cells.

    A cell without a number does not count.

    Args:
        cells: With ``type``, ``level`` and ``metrics``, the last None where
            a number is missing.

    Returns:
        ``by_type`` and ``by_level``, mappings to a number, and ``all``; None
        where no cell has a number.
    """
    scores = scores_of(cells)

    def mean(axis: int | None = None, key: object = None) -> float | None:
        values = [
            value
            for place, value in scores.items()
            if value is not None and (axis is None or place[axis] == key)
        ]
        return float(np.mean(values)) if values else None

    types, levels = _axes(cells)
    return {
        'by_type': {kind: mean(0, kind) for kind in types},
        'by_level': {level: mean(1, level) for level in levels},
        'all': mean(),
    }


def robustness_table(
    clean: Mapping, cells: Sequence[Mapping], facts: Sequence[str] = ()
) -> str:
    """Lay the video AUC out as Markdown, a row a type and a column a level.

    Args:
        clean: The cell without distortion.
        cells: See :func:`mean_scores`.
        facts: Lines below the table.
    """
    types, levels = _axes(cells)
    scores, means = scores_of(cells), mean_scores(cells)
    rows = [['video AUC', *(f'level {level}' for level in levels), 'mean']]
    for kind in types:
        row = [scores.get((kind, level)) for level in levels]
        name = _name(kind)
        rows.append([name, *map(_text, [*row, means['by_type'][kind]])])
    by_level = [means['by_level'][level] for level in levels]
    rows.append(['mean', *map(_text, [*by_level, means['all']])])
    clean_auc = _text(clean['metrics']['video/auc'])
    notes = dict.fromkeys(
        cell['note'] for cell in [clean, *cells] if cell.get('note')
    )
    lines = [f'- clean: video AUC {clean_auc}']
    if None in scores.values():
        lines.append('- means are over the cells that have a number')
    lines += [f'- {printable(line)}' for line in [*notes, *facts]]
    return '\n'.join([*markdown_table(rows), '', *lines]) + '\n'


def plot_robustness(
    clean: Mapping, cells: Sequence[Mapping], out: str | Path, title: str = ''
) -> Path:
    """Draw the video AUC over the level, one line a type, clean dashed.

    Args:
        clean: The cell without distortion.
        cells: See :func:`mean_scores`; those without a number are left out.
        out: The image to write.
        title: Written above.
    """
    from matplotlib.figure import Figure

    types, levels = _axes(cells)
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
        label = _name(kind) + ('' if points else ' (none)')
        axis.plot(
            *np.array(points, float).reshape(-1, 2).T,
            color=style.colour,
            marker=style.marker,
            label=label,
            clip_on=False,
        )
    if clean['metrics']['video/auc'] is not None:
        axis.axhline(
            clean['metrics']['video/auc'],
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


def _axes(cells: Sequence[Mapping]) -> tuple[list[str], list[int]]:
    found = {cell['type'] for cell in cells}
    types = [kind for kind in STYLES if kind in found]
    types += sorted(found.difference(types))
    return types, sorted({cell['level'] for cell in cells})


def _name(kind: str) -> str:
    return f'{kind} {STYLES.get(kind, OTHER).name}'.strip()


def _text(score: float | None) -> str:
    return '-' if score is None else f'{score:.4f}'
