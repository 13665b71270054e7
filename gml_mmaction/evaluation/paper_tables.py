"""Tables 1 to 3: the paper's numbers, and ours beside them.

A column trains on one data set and tests on another. What the paper leaves
open or says twice is in :data:`NOTES` and, by number, at the cells that
it concerns. Ours are of one level: ACC at 0.5, ACC at the threshold of the
training data's validation set, and AUC, side by side. Of one training a
number has its interval, of several it is their mean with the range.

Paper: says neither the threshold of its ACC nor how many trainings its numbers
are of. Both accuracies are shown, and any number of seeds.
"""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import NamedTuple

from gml_mmaction.io.records import Record, Share
from gml_mmaction.io.text import counted, markdown_table

from .bootstrap import Estimate
from .controls import control_columns

__all__ = [
    'GML',
    'NOTES',
    'NUMBERS',
    'SYSTEMS',
    'TABLES',
    'TARGETS',
    'Cell',
    'Column',
    'Result',
    'Results',
    'Row',
    'Table',
    'cell_of',
    'format_runs',
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
    'Xception, clip': 'ablation/xception-clip',
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
    7: 'A control, not in the paper: as the rows with a "+" it pools features '
    'over the clip, and has no motion block and no AD. The row Xception has '
    'a loss and a score for each frame.',
}
SYSTEM_NOTES = {
    'I3D (ResNet-50)': (5,),
    'I3D (Inception-v1)': (5,),
    'Two-branch': (6,),
    'Xception, clip': (7,),
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
                    *(_ABLATION, 60.0, None, 62.5, 73.0, 77.0, 60.0, 79.3),
                    *(77.5, 78.3, 85.8),
                ),
                notes=(1,),
            ),
            Column(
                *('ffpp', 'cdf', 'auc'),
                _numbers(
                    *(_ABLATION, 65.5, None, 65.3, 70.0, 72.0, 64.0, 69.2),
                    *(71.6, 72.3, 75.3),
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


class Result(Record, frozen=True, kw_only=True):
    """One training on one test set, at one level.

    Attributes:
        seed: Of the training.
        threshold: P(fake), of the equal error rate on the validation set of
            the training data; None if there is none.
        acc: At 0.5; its interval is over videos.
        acc_val: At ``threshold``.
        auc: None if the test set has one class.
        untrained: AUC of networks of random weights in the same test, one
            value each; empty if that was not asked for.
        pairs: How many fakes score higher than their originals, in words;
            None if no original is known, and of clips and frames.
    """

    seed: int
    threshold: float | None
    acc: Estimate | None
    acc_val: Estimate | None
    auc: Estimate | None
    untrained: list[Share] = []
    pairs: str | None = None

    def value(self, name: str) -> float | None:
        """One of :data:`NUMBERS`, without its interval."""
        estimate = getattr(self, name)
        return None if estimate is None else estimate.value


NUMBERS = {
    'acc': 'ACC at 0.5',
    'acc_val': 'ACC at val threshold',
    'auc': 'AUC',
}
# By system, training data and test data: a result for each seed.
Results = Mapping[tuple[str, str, str], Sequence[Result]]


class Cell(Record, frozen=True, kw_only=True):
    """A system in a column of a table.

    Attributes:
        source: See :class:`Column`, as for ``target``.
        target: Folder of the test data.
        paper_metric: What the paper's number is: ``'acc'`` or ``'auc'``.
        paper: The paper's number, a fraction; None if it has none.
        level: Of ours: ``'video'``, ``'clip'`` or ``'frame'``.
        acc: Ours, a fraction: the mean over trainings; None if missing, as
            ``acc_val`` and ``auc``. See :class:`Result`.
        acc_val: At the validation set's threshold, each training's own.
        auc: See ``acc``.
        runs: A training each.
    """

    source: str
    target: str
    paper_metric: str
    paper: float | None
    level: str
    acc: float | None
    acc_val: float | None
    auc: float | None
    runs: list[Result]

    def text(self, name: str, seeds: int = 1) -> str:
        """A number in per cent: ``'62.5 [41.0, 81.3]'`` of one seed.

        Args:
            name: One of :data:`NUMBERS`.
            seeds: How many are wanted. Of several there is the mean and the
                range, ``'62.5 (60.1 to 64.0)'``, and how many there are if
                some are missing.
        """
        estimates = [getattr(run, name) for run in self.runs]
        known = [one for one in estimates if one is not None]
        if not known:
            return '-'
        if seeds == 1:
            return _interval(known[0])
        values = [one.value for one in known]
        spread = f'{_percent(min(values))} to {_percent(max(values))}'
        if len(known) < seeds:
            spread = f'{spread}; {counted(len(known), "seed")}'
        return f'{_percent(mean(values))} ({spread})'


class Row(Record, frozen=True, kw_only=True):
    """A system of a table, a cell for each of its columns."""

    system: str
    columns: list[Cell]


def table_rows(
    table: Table, results: Results, level: str = 'video'
) -> list[Row]:
    """One row a system, as JSON has them.

    Args:
        table: One of :data:`TABLES`.
        results: Of what was run.
        level: Of the results: ``'video'``, ``'clip'`` or ``'frame'``.
    """
    return [
        Row(
            system=system,
            columns=[
                cell_of(column, system, results, level)
                for column in table.columns
            ],
        )
        for system in table.systems
    ]


def cell_of(column: Column, system: str, results: Results, level: str) -> Cell:
    """A system in a column; see :func:`table_rows`."""
    runs = list(results.get((system, column.source, column.target), ()))
    means = {}
    for name in NUMBERS:
        values = [run.value(name) for run in runs]
        known = [value for value in values if value is not None]
        means[name] = mean(known) if known else None
    paper = column.paper.get(system)
    return Cell(
        source=column.source,
        target=column.target,
        paper_metric=column.metric,
        paper=None if paper is None else round(paper / 100, 4),
        level=level,
        runs=runs,
        **means,
    )


def format_table(
    number: int, results: Results, level: str = 'video', seeds: int = 1
) -> str:
    """Lay a table out as Markdown, its notes below.

    Args:
        number: Key of :data:`TABLES`.
        results: See :func:`table_rows`.
        level: See :func:`table_rows`.
        seeds: How many trainings of each system are wanted.
    """
    table = TABLES[number]
    header = ['system']
    for column in table.columns:
        header += [
            f'{column.title}, paper: {column.metric.upper()}',
            f'ours: {level} {NUMBERS["acc"]}',
            *(f'{level} {NUMBERS[name]}' for name in ('acc_val', 'auc')),
        ]
    cells = [header]
    for row in table_rows(table, results, level):
        line = [row.system + _marks(SYSTEM_NOTES.get(row.system, ()))]
        for cell in row.columns:
            line.append('-' if cell.paper is None else _percent(cell.paper))
            line += [cell.text(name, seeds) for name in NUMBERS]
        cells.append(line)
    lines = [
        f'**Table {number}**: {table.title}, per cent{_marks(table.notes)}',
        '',
        *markdown_table(cells),
        '',
        *(f'- [{key}] {NOTES[key]}' for key in _notes_of(table)),
    ]
    return '\n'.join(lines) + '\n'


def format_runs(results: Results, level: str = 'video') -> str:
    """List every training with its threshold and intervals, as Markdown.

    Args:
        results: See :func:`table_rows`.
        level: See :func:`table_rows`.
    """
    tests = [(key, run) for key, runs in results.items() for run in runs]
    columns = {
        'system': [key[0] for key, _ in tests],
        'trained on': [key[1] for key, _ in tests],
        'tested on': [key[2] for key, _ in tests],
        'seed': [str(run.seed) for _, run in tests],
        'threshold (val)': [
            '-' if run.threshold is None else f'{run.threshold:.4f}'
            for _, run in tests
        ],
    }
    for name, words in NUMBERS.items():
        numbers = (getattr(run, name) for _, run in tests)
        columns[f'{level} {words}'] = [
            '-' if n is None else _interval(n) for n in numbers
        ]
    columns |= control_columns(
        level,
        [run.untrained for _, run in tests],
        [run.pairs for _, run in tests],
        number=_percent,
    )
    cells = [list(columns), *map(list, zip(*columns.values()))]
    title = '**Each training**, per cent, with 95 % intervals'
    return '\n'.join([title, '', *markdown_table(cells)]) + '\n'


def _interval(estimate: Estimate) -> str:
    value = _percent(estimate.value)
    if estimate.low is None or estimate.high is None:
        return f'{value} [no interval]'
    return f'{value} [{_percent(estimate.low)}, {_percent(estimate.high)}]'


def _notes_of(table: Table) -> list[int]:
    found = set(table.notes)
    for column in table.columns:
        found.update(column.notes)
    for system in table.systems:
        found.update(SYSTEM_NOTES.get(system, ()))
    return sorted(found)


def _marks(notes: Sequence[int]) -> str:
    return ''.join(f' [{note}]' for note in notes)


def _percent(value: float) -> str:
    return f'{100 * value:.1f}'
