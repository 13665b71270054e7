import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from gml_mmaction.evaluation.robustness import (
    NAMES,
    Cell,
    Origin,
    mean_scores,
    robustness_table,
)
from gml_mmaction.io.records import UNSET
from gml_mmaction.video.distortions import DEEPER_FORENSICS, LEVELS
from gml_mmaction.visualization.robustness import STYLES, plot_robustness


def cell(kind, level, auc, note=UNSET):
    return Cell(
        type=kind,
        level=level,
        origin=Origin(checkpoint='a', manifest='b', settings='c'),
        metrics={'video/auc': auc} if note is UNSET else None,
        note=note,
    )


CLEAN = cell('clean', 0, 0.95)
CELLS = [
    cell('GB', 1, 0.8),
    cell('GB', 5, 0.5),
    cell('CS', 1, 0.9),
    cell('CS', 5, None),
    cell('BW', 1, None, note='BW: too small'),
    cell('BW', 5, None, note='BW: too small'),
]


def test_means_leave_out_cells_without_a_number():
    means = mean_scores(CELLS)
    assert means['by_type'] == pytest.approx(
        {'CS': 0.9, 'BW': None, 'GB': 0.65}
    )
    assert means['by_level'] == pytest.approx({1: 0.85, 5: 0.5})
    assert means['all'] == pytest.approx((0.8 + 0.5 + 0.9) / 3)


def test_the_table_has_a_row_a_type_and_says_why_a_number_is_missing():
    table, notes = robustness_table(CLEAN, CELLS, ['of a net']).split('\n\n')
    header, _, *rows = (
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in table.splitlines()
    )
    assert header == ['video AUC', 'level 1', 'level 5', 'mean']
    assert rows == [
        ['CS saturation', '0.9000', '-', '0.9000'],
        ['BW blocks', '-', '-', '-'],
        ['GB blur', '0.8000', '0.5000', '0.6500'],
        ['mean', '0.8500', '0.5000', '0.7333'],
    ]
    assert notes.splitlines() == [
        '- clean: video AUC 0.9500',
        '- means are over the cells that have a number',
        '- BW: too small',
        '- of a net',
    ]


def test_every_type_of_the_data_set_has_a_colour_and_a_marker_of_its_own():
    assert set(STYLES) == set(NAMES) == set(DEEPER_FORENSICS)
    assert len({style.colour for style in STYLES.values()}) == len(STYLES)
    assert len({style.marker for style in STYLES.values()}) == len(STYLES)


@pytest.mark.parametrize('levels', [[3], [1, 5], [1, 2, 3, 4, 5]])
def test_the_axes_show_levels_that_were_run_and_no_auc_above_1(
    tmp_path, monkeypatch, levels
):
    figures = []
    monkeypatch.setattr(
        Figure, 'savefig', lambda *args, **_: figures.append(args[0])
    )
    cells = [cell('GB', level, 1.0) for level in levels]
    plot_robustness(cell('clean', 0, 1.0), cells, tmp_path / 'a.png')
    (axis,) = figures[0].axes
    assert axis.get_ylim()[1] <= 1.005
    assert list(axis.get_xticks()) == levels
    left, right = axis.get_xlim()
    assert levels[0] - 0.5 < left < right < levels[-1] + 0.5


def test_the_plot_shows_all_lines_and_cuts_nothing(tmp_path):
    cells = [
        cell(kind, level, 0.9 - 0.1 * i - 0.02 * level)
        for i, kind in enumerate(LEVELS)
        for level in range(1, 6)
    ]
    out = plot_robustness(
        CLEAN,
        cells,
        tmp_path / 'a.png',
        'xception-mcb-ad-wo-l1_ffpp on a set of a rather long name',
    )
    image = cv2.imread(str(out))[..., ::-1]
    for colour in [*(s.colour for s in STYLES.values()), '#666666']:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.all(image == rgb, axis=-1).sum() > 50, colour
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert border.min() == 255


def test_a_type_that_others_added_is_in_the_table_and_the_plot(tmp_path):
    cells = [cell('FL', 1, 0.5), cell('GB', 1, 0.75)]
    rows = robustness_table(CLEAN, cells).splitlines()
    names = [row.split('|')[1].strip() for row in rows[2:4]]
    assert names == ['GB blur', 'FL']
    both, one = (
        cv2.imread(str(plot_robustness(CLEAN, some, tmp_path / 'a.png')))
        for some in (cells, cells[1:])
    )
    assert not np.array_equal(both, one)
