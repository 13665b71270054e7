"""Facts about the summary at the end of a run and its curves."""

import json

import cv2
import numpy as np
import pytest

from gml_mmaction.engine.run_summary import score_table
from gml_mmaction.visualization.curves import plot_curves, read_scalars


def log(work_dir, name, rows, tail=''):
    path = work_dir / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    path.write_text(text + tail)


def test_a_resumed_run_replaces_the_steps_it_does_again(tmp_path):
    steps = [dict(step=s, loss=float(s)) for s in (1, 2, 3, 4)]
    log(tmp_path, '20260101_000000', steps)
    again = [dict(step=3, loss=30.0), {'step': 3, 'video/auc': 0.5}]
    log(tmp_path, '20260101_000001', again)
    assert read_scalars(tmp_path) == {
        'loss': [(1, 1.0), (2, 2.0), (3, 30.0)],
        'video/auc': [(3, 0.5)],
    }


def test_a_run_begun_again_leaves_nothing_of_the_old_one(tmp_path):
    old = [dict(step=s, loss=9.0) for s in (1, 300)]
    log(tmp_path, '20260101_000000', old)
    log(tmp_path, '20260101_000001', [dict(step=1, loss=0.1)])
    assert read_scalars(tmp_path) == {'loss': [(1, 0.1)]}


def test_a_line_cut_by_a_kill_is_passed_over(tmp_path):
    log(tmp_path, 'a', [dict(step=1, loss=1.0)], tail='{"step": 2, "lo')
    assert read_scalars(tmp_path) == {'loss': [(1, 1.0)]}


@pytest.mark.slow
def test_curves_show_losses_and_scores(tmp_path):
    curves = {
        'loss': [(1, 1.0), (2, 0.5)],
        'video/auc': [(2, 0.75)],
        'lr': [(1, 0.1)],
    }
    with_scores = cv2.imread(str(plot_curves(curves, tmp_path / 'a.png')))
    del curves['video/auc']
    without = cv2.imread(str(plot_curves(curves, tmp_path / 'b.png')))
    assert with_scores.shape[0] == 2 * without.shape[0]
    assert len(np.unique(without.reshape(-1, 3), axis=0)) > 10
    assert plot_curves({'lr': [(1, 0.1)]}, tmp_path / 'c.png') is None


def test_the_table_has_a_row_a_level_and_method_and_a_dash_for_nothing():
    table = score_table(
        {
            'video/auc': 0.91234,
            'video/eer': None,
            'video/auc/FaceSwap': 0.5,
            'clip/auc': 0.8,
            'acc/top1': 0.25,
            'loss': 3,
        }
    )
    header, *rows = (line.split() for line in table.splitlines())
    assert header == ['auc', 'acc', 'bacc', 'eer', 'eer_threshold', 'ap']
    assert rows == [
        ['video', '0.9123', '-', '-', '-', '-', '-'],
        ['video', 'FaceSwap', '0.5000', '-', '-', '-', '-', '-'],
        ['clip', '0.8000', '-', '-', '-', '-', '-'],
        ['acc/top1', '0.25'],
        ['loss', '3'],
    ]


def test_columns_of_a_threshold_from_elsewhere_stand_where_it_is_known():
    table = score_table(
        {'video/auc': 0.9, 'video/acc_val': 0.75, 'clip/eer': 0.1}
    )
    header, video, clip = (line.split() for line in table.splitlines())
    assert header[6:] == ['acc_val']
    assert video == ['video', '0.9000', '-', '-', '-', '-', '-', '0.7500']
    assert clip == ['clip', '-', '-', '-', '0.1000', '-', '-', '-']


def test_pairs_are_a_line_below_the_table():
    values = dict(fakes=12, higher=9, ties=1, originals=4, p=0.25, auc=0.75)
    metrics = {f'pair/{name}': value for name, value in values.items()}
    lines = score_table({'video/auc': 0.9, **metrics}).splitlines()
    assert lines[2:] == [
        'fakes above their originals: 9 of 12, 1 equal (p 0.25)'
    ]
