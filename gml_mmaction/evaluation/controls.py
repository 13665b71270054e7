"""Two controls beside a score, as columns of tables.

Networks of random weights in the same test (engine/untrained.py), and fakes
beside their originals (:mod:`.pairs`).
"""

from collections.abc import Callable, Sequence

__all__ = ['control_columns', 'untrained_span']


def control_columns(
    level: str,
    untrained: Sequence[Sequence[float]],
    pairs: Sequence[str | None],
    above: Sequence[Sequence[float]] = (),
    number: Callable[[float], str] = '{:.4f}'.format,
) -> dict[str, list[str]]:
    """Cells by the column's title; a column without a number is left out.

    Args:
        level: Of the scores: ``'video'``, ``'clip'`` or ``'frame'``.
        untrained: For each row the AUC of each untrained network.
        pairs: For each row :attr:`.Pairs.words`, None if it has no pairs.
        above: For each row how many fakes each untrained network puts above
            their originals.
        number: Writes an AUC.
    """
    columns = {
        f'untrained: {level} AUC': [
            untrained_span(values, number) for values in untrained
        ],
        'fake above its original': [words or '-' for words in pairs],
        'untrained: above': [
            _span(counts, '{:.0f}'.format) for counts in above
        ],
    }
    return {
        title: cells for title, cells in columns.items() if set(cells) - {'-'}
    }


def untrained_span(
    values: Sequence[float], number: Callable[[float], str] = '{:.4f}'.format
) -> str:
    """``'0.4123 to 0.6012 of 3'``: lowest, highest, networks; or ``'-'``."""
    return f'{_span(values, number)} of {len(values)}' if values else '-'


def _span(values: Sequence[float], number: Callable[[float], str]) -> str:
    return f'{number(min(values))} to {number(max(values))}' if values else '-'
