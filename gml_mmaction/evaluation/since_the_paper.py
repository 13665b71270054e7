"""The table "Since the paper": video detectors and their published numbers.

Theirs are trained on FaceForensics++, c23 unless said. A row says who measured
them and at which level; what is not known, such as the level of the paper's
own numbers, is said so. Ours stay empty until they are measured.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gml_mmaction.io.records import Record
from gml_mmaction.io.text import markdown_table

from .paper_tables import GML, Cell, Column, Results, cell_of

__all__ = [
    'CONTROLS',
    'PUBLISHED',
    'SYSTEMS',
    'TARGETS',
    'Published',
    'SinceRow',
    'format_since',
    'needed_since',
    'since_rows',
]

SOURCE = 'ffpp'
# Folders of prepared data, and what they are called in the table.
TARGETS = {'cdf': 'Celeb-DF v2', 'dfdc': 'DFDC', 'dfd': 'DFD'}

# Row label -> config: configs/<value>_ffpp.py, and <value>-small_demo.py.
SYSTEMS = {
    'FTCN': 'video/ftcn_i3d-r50',
    'AltFreezing': 'video/altfreezing_i3d-r50',
    'TALL': 'video/tall_swin-b',
    'ISTVT': 'video/istvt_xception',
    'TimeSformer': 'video/timesformer_vit-b',
    'Video Swin': 'video/videoswin-t',
    'VideoMAE (ViT-S)': 'video/videomae_vit-s',
    'X3D': 'video/x3d_m',
    'CSN': 'video/csn_r50',
    'TSM': 'video/tsm_r50',
    'R(2+1)D': 'video/r2plus1d_r34',
}
# Without any sense of time: what a video detector has to be better than.
CONTROLS = {
    'Xception, clip (control)': 'ablation/xception-clip',
    'TSN (control)': 'baselines/tsn_r50',
}


class Published(NamedTuple):
    """Numbers that one source publishes of one system.

    Attributes:
        system: A key of :data:`SYSTEMS`, the paper's GML, or a system that is
            not here.
        auc: Per cent, by the folder of :data:`TARGETS`.
        level: ``'video'``, ``'frame'``, or ``'unstated'``.
        measured_by: Where the numbers are printed.
    """

    system: str
    auc: Mapping[str, float]
    level: str
    measured_by: str


PUBLISHED = (
    Published(GML, dict(cdf=75.3), 'unstated', 'its paper'),
    Published('LipForensics', dict(cdf=82.4, dfdc=73.5), 'video', 'its paper'),
    Published(
        'RealForensics', dict(cdf=86.9, dfdc=75.9), 'video', 'its README'
    ),
    Published('FTCN', dict(cdf=86.9, dfdc=74.0), 'video', 'its paper'),
    Published('AltFreezing', dict(cdf=89.5), 'video', 'its paper'),
    Published('TALL', dict(cdf=90.8, dfdc=76.8), 'video', 'its paper'),
    Published('TALL++', dict(cdf=92.0, dfdc=78.5), 'video', 'its paper'),
    Published('SBI', dict(cdf=92.9, dfdc=72.0), 'video', 'its README, c23'),
    Published('SBI', dict(cdf=93.8, dfdc=73.0), 'video', 'its README, raw'),
    Published(
        'SBI', dict(cdf=88.6, dfdc=71.7), 'video', "Effort's repository"
    ),
    Published('StyleFlow', dict(cdf=89.0), 'video', 'its paper'),
    Published('NACO', dict(cdf=89.5, dfdc=76.7), 'video', 'its paper'),
    Published(
        'FakeSTormer',
        dict(cdf=92.4, dfdc=74.6, dfd=98.5),
        'video',
        'its README',
    ),
    Published(
        'StA+VB', dict(cdf=94.7, dfdc=84.3, dfd=96.5), 'video', 'its paper'
    ),
    Published(
        'Effort', dict(cdf=95.6, dfdc=84.3, dfd=96.5), 'video', 'its paper'
    ),
    Published(
        'ForensicsAdapter', dict(cdf=95.7, dfdc=87.2), 'video', 'its README'
    ),
    Published('ForensicsAdapter', dict(dfd=93.3), 'frame', 'its README'),
    Published(
        'GenD',
        dict(cdf=96.0, dfdc=87.1, dfd=97.0),
        'video',
        'a listing of its paper',
    ),
    Published(
        'KiMoI', dict(cdf=94.7, dfd=97.0), 'video', 'a listing of its paper'
    ),
)


class SinceRow(Record, frozen=True, kw_only=True):
    """A row of the table.

    Attributes:
        system: Its name.
        measured_by: Who published the numbers; empty if nobody has.
        published_level: At which level.
        columns: By target; ``paper`` is the published number.
    """

    system: str
    measured_by: str
    published_level: str
    columns: list[Cell]


def needed_since(
    systems: Sequence[str], targets: Sequence[str] = tuple(TARGETS)
) -> dict[tuple[str, str], list[str]]:
    """What has to be trained, and what each is tested on.

    Args:
        systems: Those wanted, of which ours are taken.
        targets: Keys of :data:`TARGETS`.
    """
    return {
        (system, SOURCE): list(targets)
        for system in (GML, *SYSTEMS)
        if system in systems
    }


def since_rows(results: Results, level: str = 'video') -> list[SinceRow]:
    """A row for each published number, and for each system without one.

    Args:
        results: Of what was run.
        level: Of these.
    """
    published = {row.system for row in PUBLISHED}
    rest = [
        Published(system, {}, '', '')
        for system in SYSTEMS
        if system not in published
    ]
    return [
        SinceRow(
            system=row.system,
            measured_by=row.measured_by,
            published_level=row.level,
            columns=[
                cell_of(
                    Column(
                        SOURCE,
                        target,
                        'auc',
                        {row.system: row.auc[target]}
                        if target in row.auc
                        else {},
                    ),
                    row.system,
                    results,
                    level,
                )
                for target in TARGETS
            ],
        )
        for row in (*PUBLISHED, *rest)
    ]


def format_since(
    results: Results, level: str = 'video', seeds: int = 1
) -> str:
    """Lay the table out as Markdown; see :func:`since_rows`.

    Args:
        results: Of what was run.
        level: Of these.
        seeds: How many trainings of each system are wanted.
    """
    header = ['system', 'published by', 'at level']
    for name in TARGETS.values():
        header += [name, f'ours: {level} AUC']
    cells = [header]
    for row in since_rows(results, level):
        line = [
            row.system,
            row.measured_by or '-',
            row.published_level or '-',
        ]
        for cell in row.columns:
            given = '-' if cell.paper is None else f'{100 * cell.paper:.1f}'
            line += [given, cell.text('auc', seeds)]
        cells.append(line)
    return '\n'.join([TITLE, '', *markdown_table(cells), '', *NOTES]) + '\n'


TITLE = (
    '**Since the paper**: video detectors trained on FaceForensics++, AUC, '
    'per cent'
)
NOTES = (
    '- Published numbers are of c23 unless said, each as its source prints '
    'it; faces, frames and clips differ between them.',
    '- Systems without a config here are quoted for comparison alone.',
)
