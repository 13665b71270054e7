"""A resumed run is the run that was begun, or says what is not."""

import pytest
from mmengine.config import Config

from gml_mmaction.engine.goes_on import changed_settings, check_same_data
from gml_mmaction.errors import SettingError

GENUINE = dict(manifest='a' * 64, pseudo_fakes=['SelfBlend'])
OTHERS = [
    (dict(GENUINE, manifest='b' * 64), 'videos'),
    (dict(GENUINE, pseudo_fakes=['DetailLoss']), 'pseudo-fakes'),
    (dict(manifest='b' * 64), 'videos and pseudo-fakes'),
    (dict(datasets=[GENUINE, dict(GENUINE, manifest='b' * 64)]), 'videos'),
]


@pytest.mark.parametrize(('now', 'what'), OTHERS)
def test_other_data_are_refused_and_named(now, what):
    with pytest.raises(SettingError, match=f'begun with other {what}; its'):
        check_same_data(GENUINE, now, 'work_dirs/run')


def test_the_same_data_and_a_checkpoint_that_says_nothing_go_on():
    again = dict(GENUINE, real_videos=3)
    check_same_data(GENUINE, again, 'work_dirs/run')
    check_same_data({}, again, 'work_dirs/run')
    check_same_data(dict(source='mine'), again, 'work_dirs/run')


def test_changed_settings_are_named_with_both_values():
    before = dict(
        train_cfg=dict(max_iters=1500, val_interval=50),
        train_dataloader=dict(num_workers=1, dataset=dict(clip_len=8)),
        families=[dict(type='SelfBlend')],
        work_dir='here',
    )
    text = Config(before).pretty_text
    assert changed_settings(text, Config(before)) == []
    now = Config(before)
    now.merge_from_dict(
        {
            'train_cfg.max_iters': 1200,
            'train_cfg.val_interval': 5,
            'train_dataloader.num_workers': 4,
            'families': [dict(type='DetailLoss')],
            'model': dict(width=2),
            'work_dir': 'there',
        }
    )
    assert changed_settings(text, now) == [
        'families.0.type: SelfBlend, now DetailLoss',
        'model.width: not set, now 2',
        'train_cfg.max_iters: 1500, now 1200',
    ]


@pytest.mark.parametrize('text', [None, 'import os', 'x = ['])
def test_a_config_that_cannot_be_read_names_nothing(text):
    assert changed_settings(text, {}) == []


def test_a_setting_of_a_strange_checkpoint_stays_in_its_line():
    (line,) = changed_settings("a = 'x\\ny'", {})
    assert '\n' not in line


def test_many_changes_are_counted():
    before, now = ({f'a{n}': n + add for n in range(9)} for add in (0, 1))
    lines = changed_settings(Config(before).pretty_text, now)
    assert (len(lines), lines[-1]) == (6, '4 more')
