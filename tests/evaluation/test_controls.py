"""What stands beside a score in tables: untrained networks, and pairs."""

from gml_mmaction.evaluation.controls import control_columns, untrained_span


def test_rows_without_controls_have_a_dash_in_columns_of_those_that_have():
    columns = control_columns(
        'clip',
        untrained=[[], [0.625, 0.25, 0.5]],
        pairs=['3 of 4 (p 0.62)', None],
        above=[(), (0, 4)],
    )
    assert columns == {
        'untrained: clip AUC': ['-', '0.2500 to 0.6250 of 3'],
        'fake above its original': ['3 of 4 (p 0.62)', '-'],
        'untrained: above': ['-', '0 to 4'],
    }


def test_a_column_without_a_number_is_left_out():
    assert control_columns('video', [(), ()], [None, None], [(), ()]) == {}
    assert control_columns('video', [[0.5]], [None]) == {
        'untrained: video AUC': ['0.5000 to 0.5000 of 1']
    }


def test_a_span_is_written_as_its_table_writes_numbers():
    assert (
        untrained_span([0.3, 0.51], '{:.1%}'.format) == '30.0% to 51.0% of 2'
    )
    assert untrained_span([]) == '-'
