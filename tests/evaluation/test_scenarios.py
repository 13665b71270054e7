"""Facts about Celeb-DF++'s means by scenario."""

import numpy as np
import pytest

from gml_mmaction.evaluation.level_scores import Scores
from gml_mmaction.evaluation.scenarios import scenario_table, scenarios_of

REALS = [0.1, 0.2, 0.3, 0.4]
FAKES = {
    'FaceSwap/SimSwap': [0.35, 0.05],
    'FaceSwap/Celeb-DF': [0.9, 0.8, 0.7, 0.6, 0.5, 0.45],
    'TalkingFace/FLOAT': [0.25],
    'FaceReenact/LIA': [0.3, 0.15],
}
# Pairs of a fake and a real in which the fake's score is higher; ties: 1/2.
BY_HAND = {
    'FaceSwap/SimSwap': 3 / 8,
    'FaceSwap/Celeb-DF': 24 / 24,
    'TalkingFace/FLOAT': 2 / 4,
    'FaceReenact/LIA': (2.5 + 1) / 8,
}


def scores_of(name, fakes, reals=REALS):
    rows = [('real', 0, s) for s in reals]
    rows += [(m, 1, s) for m, values in fakes.items() for s in values]
    return Scores(
        name=name,
        level='video',
        labels=np.array([label for _, label, _ in rows]),
        scores=np.array([score for *_, score in rows]),
        videos=np.array([f'v{i}' for i in range(len(rows))]),
        methods=np.array([method for method, *_ in rows]),
    )


def test_a_scenario_has_the_mean_of_its_methods_however_many_videos():
    found = {one.name: one for one in scenarios_of(scores_of('a', FAKES))}
    assert list(found) == ['FaceReenact', 'FaceSwap', 'TalkingFace']
    swap = (BY_HAND['FaceSwap/SimSwap'] + BY_HAND['FaceSwap/Celeb-DF']) / 2
    assert found['FaceSwap'].auc == pytest.approx(swap)
    assert found['FaceReenact'].auc == pytest.approx(3.5 / 8)
    assert found['TalkingFace'].methods == {'FLOAT': pytest.approx(0.5)}


def test_the_table_has_a_row_for_each_file_and_one_for_each_method():
    """Two qualities (GFQ), or two trainings (GFD), side by side."""
    worse = {m: [v / 2 for v in values] for m, values in FAKES.items()}
    text = scenario_table([scores_of('c23', FAKES), scores_of('c40', worse)])
    rows = {
        cells[0]: cells[1:]
        for line in text.splitlines()
        if line.startswith('|')
        for cells in [[c.strip() for c in line.strip('|').split('|')]]
    }
    every = 100 * sum(BY_HAND.values()) / 4
    assert rows['c23'] == ['43.8', '68.8', '50.0', f'{every:.1f}']
    assert rows['FaceSwap/Celeb-DF'] == ['100.0', '70.8']  # 17 of 24
    assert rows['FaceReenact/LIA'][0] == '43.8'


@pytest.mark.parametrize(
    ('fakes', 'reals'), [({'Deepfakes': [0.5]}, REALS), (FAKES, [])]
)
def test_without_scenarios_or_without_reals_there_is_no_table(fakes, reals):
    assert scenario_table([scores_of('a', fakes, reals)]) == ''
