"""What a sweep over distortions gave: its cells, their means, a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gml_mmaction.io.records import UNSET, Record, Text, UnsetType
from gml_mmaction.io.text import markdown_table, printable

__all__ = [
    'NAMES',
    'Cell',
    'Origin',
    'axes_of',
    'mean_scores',
    'robustness_table',
    'scores_of',
    'type_name',
]

# The types of DeeperForensics-1.0 in words, in the order of its tables.
NAMES = {
    'CS': 'saturation',
    'CC': 'contrast',
    'BW': 'blocks',
    'GNC': 'noise',
    'GB': 'blur',
    'JPEG': 'pixelation',
    'VC': 'compression',
}


class Origin(Record, frozen=True, kw_only=True):
    """What a cell's number depends on, except its distortion.

    Attributes:
        checkpoint: SHA-256, or the address of one that is no file here.
        manifest: SHA-256 of the target's manifest.
        settings: SHA-256 of the network's, the data's and the metric's.
    """

    checkpoint: Text
    manifest: Text | None
    settings: Text


class Cell(Record, frozen=True, kw_only=True):
    """The test of one distortion at one level.

    Attributes:
        type: A type of distortion, ``'clean'`` for none.
        level: 1 to 5; 0 for none.
        origin: See :class:`Origin`.
        metrics: Of ``ForgeryMetric``; None without a number, and ``note``
            says why.
        videos: How many were tested.
        note: What to know of the number.
    """

    type: Text
    level: int
    origin: Origin
    metrics: dict[str, Any] | None
    videos: int | UnsetType = UNSET
    note: Text | UnsetType = UNSET

    @property
    def auc(self) -> float | None:
        """The video AUC, None where there is none."""
        return (self.metrics or {}).get('video/auc')


def scores_of(cells: Sequence[Cell]) -> dict[tuple[str, int], float | None]:
    """Return the video AUC by type and level, None where there is none."""
    return {(cell.type, cell.level): cell.auc for cell in cells}


def mean_scores(cells: Sequence[Cell]) -> dict[str, Any]:
    """Mean video AUC over levels, over types and over all cells.

    A cell without a number does not count.

    Args:
        cells: Without the clean one.

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

    types, levels = axes_of(cells)
    return {
        'by_type': {kind: mean(0, kind) for kind in types},
        'by_level': {level: mean(1, level) for level in levels},
        'all': mean(),
    }


def robustness_table(
    clean: Cell, cells: Sequence[Cell], facts: Sequence[str] = ()
) -> str:
    """Lay the video AUC out as Markdown, a row a type and a column a level.

    Args:
        clean: The cell without distortion.
        cells: See :func:`mean_scores`.
        facts: Lines below the table.
    """
    types, levels = axes_of(cells)
    scores, means = scores_of(cells), mean_scores(cells)
    rows = [['video AUC', *(f'level {level}' for level in levels), 'mean']]
    for kind in types:
        row = [scores.get((kind, level)) for level in levels]
        name = type_name(kind)
        rows.append([name, *map(_text, [*row, means['by_type'][kind]])])
    by_level = [means['by_level'][level] for level in levels]
    rows.append(['mean', *map(_text, [*by_level, means['all']])])
    notes = dict.fromkeys(
        cell.note for cell in [clean, *cells] if cell.note is not UNSET
    )
    lines = [f'- clean: video AUC {_text(clean.auc)}']
    if None in scores.values():
        lines.append('- means are over the cells that have a number')
    lines += [f'- {printable(line)}' for line in [*notes, *facts]]
    return '\n'.join([*markdown_table(rows), '', *lines]) + '\n'


def axes_of(cells: Sequence[Cell]) -> tuple[list[str], list[int]]:
    """Types, ours first, and levels of cells."""
    found = {cell.type for cell in cells}
    types = [kind for kind in NAMES if kind in found]
    types += sorted(found.difference(types))
    return types, sorted({cell.level for cell in cells})


def type_name(kind: str) -> str:
    """``'GB blur'``; of a type that others have added, its sign alone."""
    return f'{kind} {NAMES.get(kind, "")}'.strip()


def _text(score: float | None) -> str:
    return '-' if score is None else f'{score:.4f}'
