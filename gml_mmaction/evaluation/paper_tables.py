"""Tables 1 to 3: the paper's numbers, and ours beside them.

A column trains on one data set and tests on another. What the paper leaves
open or says twice is in :data:`NOTES` and, by number, at the cells that
it concerns. Ours are of one level, ACC at 0.5 and AUC always side by side.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gml_mmaction.io.text import markdown_table

__all__ = [
    'NOTES',
    'SYSTEMS',
    'TABLES',
    'TARGETS',
    'Column',
    'Table',
    'format_table',
    'needed_runs',
    'table_rows',
]

# Row label -> config: configs/<value>_ffpp.py, and <value>-small_demo.py.
SYSTEMS = {
    'Xception': 'baselines/xception',
    'I3D (ResNet-50)': 'baselines/i3d_r50',
    'I3D (Inception-v1)': 'baselines/i3d_inception-v1',
    'C3D': 'baselines/c3d',
    'R3D': 'baselines/r3d_r18',
    'R50+LSTM': 'baselines/lstm_r50',
    'TSN': 'baselines/tsn_r50',
    'RECCE': 'baselines/recce_xception',
    'Two-branch': 'baselines/two-branch_densenet121',
    'F3-Net': 'baselines/f3net_xception',
    'EfficientNet-B4': 'baselines/efficientnet_b4',
    'Multi-attentional': 'baselines/mat_efficientnet-b4',
    'Xception+CSTM': 'ablation/xception-cstm',
    'Xception+STM': 'ablation/xception-stm',
    'Xception+MCB': 'ablation/xception-mcb',
    'Xception+AD': 'ablation/xception-ad',
    'Xception+STM+AD': 'ablation/xception-stm-ad',
    'Xception+MCB+AD w/o cls': 'ablation/xception-mcb-ad-wo-cls',
    'Xception+MCB+AD w/o l1': 'ablation/xception-mcb-ad-wo-l1',
    'GML (Xception+MCB+AD)': 'gml_xception',
}
GML = 'GML (Xception+MCB+AD)'

# Folders of prepared data: what they are called in a table, and how they are
# prepared (gml prepare).
TARGETS = {
    'ffpp': 'FF++',
    'dfo': 'DFO',
    'dfo_official': 'DFO',
    'dfo_sing': 'DFO std/sing',
    'cdf': 'CDF',
}

NOTES = {
    1: "85.8 is GML's ACC on DFO in Table 1 and, called AUC in the text, "
    'its FF++ -> DFO number in Table 3; Xception has 80.2 and 60.0 '
    "there. Which metric and which of DFO's variants Table 3 shows is "
    'not said; ours are of the same test as Table 1, row FF++.',
    2: 'Table 1 is captioned "level-5 random distortion", its text says '
    'std -> std/sing for the row DFO: ours are level 5 in the row FF++ and '
    'std/sing, all five levels, in the row DFO.',
    3: 'The paper does not say whether its numbers are of frames, clips or '
    "videos. In its Table 2, RECCE's 68.7 equals that of RECCE's author for a "
    'model trained on c40, over frames (VISION-SJTU/RECCE#9), and '
    "Xception's 65.5 one published for c40: perhaps not the protocol of GML.",
    4: 'Celeb-DF: the paper counts 540 real videos, the data set 590 of '
    'celebrities and 300 of YouTube.',
    5: 'The paper has one I3D and does not say which.',
    6: 'A re-implementation from the description of a system without public '
    'code: unverified; see gml_mmaction/models/two_branch.py.',
}
SYSTEM_NOTES = {
    'I3D (ResNet-50)': (5,),
    'I3D (Inception-v1)': (5,),
    'Two-branch': (6,),
}


class Column(NamedTuple):
    """One evaluation of a table.

    Attributes:
        source: Folder of the training data.
        target: Folder of the test data.
        metric: What the paper's numbers are: ``'acc'`` or ``'auc'``.
        paper: The paper's numbers in per cent, by system.
        notes: Of :data:`NOTES`, those of the whole column.
    """

    source: str
    target: str
    metric: str
    paper: Mapping[str, float]
    notes: Sequence[int] = ()

    @property
    def title(self) -> str:
        """``'FF++ -> CDF'`` with the numbers of the notes."""
        title = f'{TARGETS[self.source]} -> {TARGETS[self.target]}'
        return title + _marks(self.notes)


class Table(NamedTuple):
    """A table of the paper.

    Attributes:
        title: The paper's caption in short.
        systems: Rows, keys of :data:`SYSTEMS`.
        columns: In the order of the paper.
        notes: Of :data:`NOTES`, those of the whole table.
    """

    title: str
    systems: Sequence[str]
    columns: Sequence[Column]
    notes: Sequence[int] = ()


def _numbers(systems: Sequence[str], *values: float | None) -> dict:
    return {
        system: value
        for system, value in zip(systems, values, strict=True)
        if value is not None
    }


_SEQUENCE = (
    *('Xception', 'I3D (ResNet-50)', 'I3D (Inception-v1)', 'C3D', 'R3D'),
    *('R50+LSTM', 'TSN', GML),
)
_FRAMES = (
    *('Xception', 'RECCE', 'Two-branch', 'F3-Net', 'EfficientNet-B4'),
    *('Multi-attentional', GML),
)
_ABLATION = ('Xception', *list(SYSTEMS)[12:])

TABLES = {
    1: Table(
        'ACC on distorted DeeperForensics-1.0',
        _SEQUENCE,
        (
            Column(
                *('ffpp', 'dfo', 'acc'),
                _numbers(
                    *(_SEQUENCE, 80.2, 78.6, 78.6, None, 56.4, None, None),
                    85.8,
                ),
                notes=(1, 2),
            ),
            Column(
                *('dfo_official', 'dfo_sing', 'acc'),
                _numbers(
                    *(_SEQUENCE, 88.0, 90.8, 90.8, 87.6, 96.5, 90.6, 91.5),
                    99.9,
                ),
                notes=(2,),
            ),
        ),
        notes=(3,),
    ),
    2: Table(
        'AUC on Celeb-DF',
        _FRAMES,
        (
            Column(
                *('cdf', 'cdf', 'auc'),
                _numbers(_FRAMES, 99.7, 99.9, 93.2, 98.1, 99.7, 99.8, 99.9),
                notes=(4,),
            ),
            Column(
                *('ffpp', 'cdf', 'auc'),
                _numbers(_FRAMES, 65.5, 68.7, 73.4, 65.1, 64.3, 67.4, 75.3),
                notes=(4,),
            ),
        ),
        notes=(3,),
    ),
    3: Table(
        'ablation, trained on FF++, AUC',
        _ABLATION,
        (
            Column(
                *('ffpp', 'dfo', 'auc'),
                _numbers(
                    *(_ABLATION, 60.0, 62.5, 73.0, 77.0, 60.0, 79.3, 77.5),
                    *(78.3, 85.8),
                ),
                notes=(1,),
            ),
            Column(
                *('ffpp', 'cdf', 'auc'),
                _numbers(
                    *(_ABLATION, 65.5, 65.3, 70.0, 72.0, 64.0, 69.2, 71.6),
                    *(72.3, 75.3),
                ),
                notes=(4,),
            ),
        ),
        notes=(3,),
    ),
}


def needed_runs(
    tables: Sequence[int], systems: Sequence[str] = tuple(SYSTEMS)
) -> dict[tuple[str, str], list[str]]:
    """What has to be trained, and what each is tested on.

    Args:
        tables: Keys of :data:`TABLES`.
        systems: Those wanted, keys of :data:`SYSTEMS`.

    Returns:
        ``{(system, source): [target, ...]}``; a system that is in
        several tables is trained once.
    """
    runs: dict[tuple[str, str], list[str]] = {}
    for table in (TABLES[number] for number in tables):
        for column in table.columns:
            for system in table.systems:
                if system not in systems:
                    continue
                targets = runs.setdefault((system, column.source), [])
                if column.target not in targets:
                    targets.append(column.target)
    return runs


def table_rows(
    table: Table,
    results: Mapping[tuple[str, str, str], Mapping[str, Any]],
    level: str = 'video',
) -> list[dict[str, Any]]:
    """One row a system, as JSON has them.

    Args:
        table: One of :data:`TABLES`.
        results: ``{(system, source, target): metrics}`` of what was run; the
            metrics are those of ``ForgeryMetric``.
        level: ``'video'``, ``'clip'`` or ``'frame'``.

    Returns:
        Rows of ``system`` and, in ``columns``, for each column of the table
        ``source``, ``target``, ``paper_metric``, ``paper`` (a fraction or
        None), ``level``, ``acc`` and ``auc`` (None if missing).
    """
    rows = []
    for system in table.systems:
        cells = []
        for column in table.columns:
            key = (system, column.source, column.target)
            metrics = results.get(key) or {}
            paper = column.paper.get(system)
            cells.append(
                dict(
                    source=column.source,
                    target=column.target,
                    paper_metric=column.metric,
                    paper=None if paper is None else round(paper / 100, 4),
                    level=level,
                    acc=metrics.get(f'{level}/acc'),
                    auc=metrics.get(f'{level}/auc'),
                )
            )
        rows.append(dict(system=system, columns=cells))
    return rows


def format_table(
    number: int,
    results: Mapping[tuple[str, str, str], Mapping[str, Any]],
    level: str = 'video',
) -> str:
    """Lay a table out as Markdown, its notes below.

    Args:
        number: Key of :data:`TABLES`.
        results: See :func:`table_rows`.
        level: See :func:`table_rows`.
    """
    table = TABLES[number]
    header = ['system']
    for column in table.columns:
        header += [
            f'{column.title}, paper: {column.metric.upper()}',
            f'ours: {level} ACC at 0.5',
            f'{level} AUC',
        ]
    cells = [header]
    for row in table_rows(table, results, level):
        system = row['system']
        line = [system + _marks(SYSTEM_NOTES.get(system, ()))]
        for column in row['columns']:
            line += map(_percent, (column[k] for k in ('paper', 'acc', 'auc')))
        cells.append(line)
    lines = [
        f'**Table {number}**: {table.title}, per cent{_marks(table.notes)}',
        '',
        *markdown_table(cells),
        '',
        *(f'- [{key}] {NOTES[key]}' for key in _notes_of(table)),
    ]
    return '\n'.join(lines) + '\n'


def _notes_of(table: Table) -> list[int]:
    found = set(table.notes)
    for column in table.columns:
        found.update(column.notes)
    for system in table.systems:
        found.update(SYSTEM_NOTES.get(system, ()))
    return sorted(found)


def _marks(notes: Sequence[int]) -> str:
    return ''.join(f' [{note}]' for note in notes)


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.1f}'
