"""Facts about Tables 1 to 3: the paper's numbers, the runs, the layout."""

import pytest
from msgspec.structs import replace

from gml_mmaction.evaluation.bootstrap import Estimate
from gml_mmaction.evaluation.paper_tables import (
    GML,
    NOTES,
    SYSTEMS,
    TABLES,
    Result,
    format_runs,
    format_table,
    needed_runs,
    table_rows,
)
from gml_mmaction.evaluation.since_the_paper import (
    PUBLISHED,
    format_since,
    needed_since,
    since_rows,
)
from gml_mmaction.evaluation.since_the_paper import SYSTEMS as SINCE
from gml_mmaction.io.records import as_json


def paper(number, source, target):
    (column,) = (
        column
        for column in TABLES[number].columns
        if (column.source, column.target) == (source, target)
    )
    return column.paper


@pytest.mark.parametrize(
    ('target', 'better', 'worse', 'points'),
    [
        # Sec. 3.3, by which the text says that one beats the other
        ('dfo', 'Xception+MCB', 'Xception', 17),
        ('cdf', 'Xception+MCB', 'Xception', 6.5),
        ('dfo', 'Xception+MCB', 'Xception+STM', 4),
        ('cdf', 'Xception+MCB', 'Xception+STM', 2),
        ('dfo', GML, 'Xception+MCB', 8.8),
        ('cdf', GML, 'Xception+MCB', 3.3),
    ],
)
def test_table_3_has_the_differences_that_the_text_quotes(
    target, better, worse, points
):
    numbers = paper(3, 'ffpp', target)
    assert numbers[better] - numbers[worse] == pytest.approx(points)


def test_table_1_has_the_differences_that_the_text_quotes():
    numbers = paper(1, 'ffpp', 'dfo')
    assert numbers[GML] - numbers['Xception'] == pytest.approx(5.6)
    numbers = paper(1, 'dfo_official', 'dfo_sing')
    assert numbers[GML] - numbers['Xception'] == pytest.approx(11.9)


def test_tables_2_and_3_agree_where_they_show_the_same():
    shared = paper(2, 'ffpp', 'cdf'), paper(3, 'ffpp', 'cdf')
    for system in ('Xception', GML):
        assert shared[0][system] == shared[1][system]


def test_gml_is_best_in_every_column_of_the_paper():
    for table in TABLES.values():
        for column in table.columns:
            assert max(column.paper, key=column.paper.get) in (GML, 'RECCE')
            assert column.paper[GML] == max(column.paper.values())


def test_every_system_stands_in_a_table_and_the_other_way_round():
    rows = {s for table in TABLES.values() for s in table.systems}
    assert rows == set(SYSTEMS)


def test_a_system_of_several_tables_is_trained_once_for_all_its_tests():
    runs = needed_runs([1, 2, 3])
    assert runs['Xception', 'ffpp'] == ['dfo', 'cdf']
    assert runs['Xception', 'cdf'] == ['cdf']
    assert runs['TSN', 'dfo_official'] == ['dfo_sing']
    assert ('TSN', 'cdf') not in runs
    assert len(runs) == 20 + 8 + 7 + 1, 'the control has no row elsewhere'


def test_only_the_wanted_tables_and_systems_are_run():
    assert needed_runs([3], ['Xception+MCB', 'TSN']) == {
        ('Xception+MCB', 'ffpp'): ['dfo', 'cdf']
    }


def result(auc, seed=0, **numbers):
    return Result(
        seed=seed,
        threshold=0.3125,
        acc=numbers.get('acc'),
        acc_val=numbers.get('acc_val'),
        auc=Estimate(auc, auc - 0.25, auc + 0.125),
    )


KEY = ('RECCE', 'ffpp', 'cdf')
RESULTS = {
    KEY: [
        result(
            0.625,
            acc=Estimate(0.5, 0.375, 0.75),
            acc_val=Estimate(1.0, None, None),
        )
    ]
}


def cells_of(text, system):
    (line,) = (x for x in text.splitlines() if x.startswith(f'| {system}'))
    return [cell.strip() for cell in line.split('|')[2:-1]]


def test_our_accs_and_auc_stand_beside_the_papers_number():
    text = format_table(2, RESULTS)
    assert cells_of(text, 'RECCE') == [
        *('99.9', '-', '-', '-'),
        '68.7',
        '50.0 [37.5, 75.0]',
        '100.0 [no interval]',
        '62.5 [37.5, 75.0]',
    ]
    assert 'CDF -> CDF [4], paper: AUC' in text
    assert 'ours: video ACC at 0.5' in text
    assert 'video ACC at val threshold' in text


def test_several_seeds_have_their_mean_and_range_and_say_if_some_lack():
    runs = [result(auc, seed) for seed, auc in enumerate((0.5, 0.75, 0.625))]
    text = format_table(2, {KEY: runs}, seeds=3)
    assert cells_of(text, 'RECCE')[7] == '62.5 (50.0 to 75.0)'
    text = format_table(2, {KEY: runs[:2]}, seeds=3)
    assert cells_of(text, 'RECCE')[7] == '62.5 (50.0 to 75.0; 2 seeds)'
    lines = format_runs({KEY: runs}).splitlines()
    assert [cells_of(line, 'RECCE') for line in lines[4:]] == [
        ['ffpp', 'cdf', f'{seed}', '0.3125', '-', '-', text]
        for seed, text in enumerate(
            ('50.0 [25.0, 62.5]', '75.0 [50.0, 87.5]', '62.5 [37.5, 75.0]')
        )
    ]


def test_a_training_stands_beside_untrained_networks_and_its_pairs():
    run = replace(
        result(0.5), untrained=[0.625, 0.375, 0.5], pairs='26 of 37 (p 0.02)'
    )
    header, _, row = format_runs({KEY: [run]}).splitlines()[2:]
    assert cells_of(header, 'system')[-2:] == [
        'untrained: video AUC',
        'fake above its original',
    ]
    assert cells_of(row, 'RECCE')[-2:] == [
        '37.5 to 62.5 of 3',
        '26 of 37 (p 0.02)',
    ]


def test_the_level_is_named():
    text = format_table(2, RESULTS, 'frame')
    assert 'ours: frame ACC at 0.5' in text


def test_what_the_paper_does_not_report_is_a_dash():
    assert cells_of(format_table(1, {}), 'C3D') == [
        *('-', '-', '-', '-'),
        *('87.6', '-', '-', '-'),
    ]
    control = cells_of(format_table(3, {}), 'Xception, clip [7]')
    assert control == ['-'] * 8


@pytest.mark.parametrize('number', TABLES)
def test_every_mark_has_its_note_below_the_table(number):
    table, notes = format_table(number, {}).rsplit('\n\n', 1)
    for key in NOTES:
        assert (f'[{key}]' in table) == (f'- [{key}]' in notes)


def test_rows_for_json_hold_fractions_the_mean_and_each_training():
    row = as_json(table_rows(TABLES[2], RESULTS)[1])
    assert row['system'] == 'RECCE'
    assert row['columns'][1] == dict(
        source='ffpp',
        target='cdf',
        paper_metric='auc',
        paper=0.687,
        level='video',
        acc=0.5,
        acc_val=1.0,
        auc=0.625,
        runs=[
            dict(
                seed=0,
                threshold=0.3125,
                acc=(0.5, 0.375, 0.75),
                acc_val=(1.0, None, None),
                auc=(0.625, 0.375, 0.75),
                untrained=[],
                pairs=None,
            )
        ],
    )
    runs = [*RESULTS[KEY], result(0.875, 1)]
    (cell,) = table_rows(TABLES[2], {KEY: runs})[1].columns[1:]
    assert (cell.auc, cell.acc, len(cell.runs)) == (0.75, 0.5, 2)


def test_since_the_paper_ours_stay_empty_until_they_are_measured():
    text = format_since({})
    for row in PUBLISHED:
        assert f'| {row.system} ' in text
        assert row.measured_by in text
    for row in since_rows({}):
        for cell in row.columns:
            assert (cell.auc, cell.runs) == (None, [])
    assert cells_of(text, 'ISTVT') == 8 * ['-']


def test_since_the_paper_ours_stand_beside_what_was_published():
    results = {('FTCN', 'ffpp', 'dfdc'): [result(0.625)]}
    text = format_since(results)
    assert cells_of(text, 'FTCN') == [
        *('its paper', 'video', '86.9', '-'),
        *('74.0', '62.5 [37.5, 75.0]', '-', '-'),
    ]
    sbi = [x for x in text.splitlines() if x.startswith('| SBI ')]
    assert len(sbi) == len({*sbi}) == 3, 'as different sources have it'


def test_since_the_paper_each_of_our_systems_and_gml_is_trained_once():
    needed = needed_since([GML, *SINCE, 'C3D'], ['cdf'])
    assert needed == {(name, 'ffpp'): ['cdf'] for name in (GML, *SINCE)}
