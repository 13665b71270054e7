"""``gml_mmaction::NAME``: a config of this package by its name."""

from importlib import import_module

import pytest
from mmengine.config import Config
from tiny import REPO

from gml_mmaction.cli.common import read_config
from gml_mmaction.engine.config_check import read_settings
from gml_mmaction.errors import SettingError
from gml_mmaction.host.configs import find_config, own_config


def write(path, base):
    path.write_text(f'_base_ = {base!r}\nlog_level = "ERROR"\n')
    return path


@pytest.mark.parametrize('name', ['gml_xception_ffpp', 'baselines/c3d_ffpp'])
def test_a_config_inherits_one_of_the_package_by_its_name(name, tmp_path):
    path = write(tmp_path / 'mine.py', f'gml_mmaction::{name}.py')
    whole = Config.fromfile(REPO / f'configs/{name}.py')
    whole.log_level = 'ERROR'
    assert read_settings(path).to_dict() == whole.to_dict()


def test_the_line_on_a_missing_one_names_both_files(tmp_path):
    path = write(tmp_path / 'mine.py', 'gml_mmaction::gml_xecption.py')
    with pytest.raises(SettingError) as error:
        read_settings(path)
    assert f'{path}: _base_ gml_mmaction::gml_xecption.py: no such' in str(
        error.value
    )
    assert 'Remedy' in str(error.value)


def test_names_of_other_packages_are_left_to_the_host(tmp_path):
    path = write(tmp_path / 'mine.py', 'mmaction::_base_/default_runtime.py')
    assert read_settings(path).default_scope == 'mmaction'
    assert own_config('configs/a.py') == 'configs/a.py'


@pytest.mark.parametrize(
    'name',
    [
        'baselines/c3d_ffpp',
        'gml_mmaction::baselines/c3d_ffpp.py',
        str(REPO / 'configs/baselines/c3d_ffpp.py'),
    ],
)
def test_a_command_finds_a_config_by_its_name_or_its_file(name):
    assert find_config(name) == REPO / 'configs/baselines/c3d_ffpp.py'


def test_a_file_goes_before_a_config_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'gml_xception_ffpp').touch()
    assert not find_config('gml_xception_ffpp').is_absolute()
    assert find_config('no/such').parts == ('no', 'such')


def test_training_and_testing_take_the_name_alone():
    for command in ('train', 'test'):
        tool = import_module(f'gml_mmaction.cli.{command}')
        words = [
            'video/tsm_r50-small_demo',
            *['none.pth'][: command == 'test'],
        ]
        cfg = read_config(tool.parse_args(words))
        assert cfg.model.backbone.depth == 18
        assert cfg.work_dir == 'work_dirs/tsm_r50-small_demo'


@pytest.mark.parametrize('command', ['benchmark', 'init', 'genuine'])
def test_an_option_names_a_config_that_is_missing(command, capsys):
    tool = import_module(f'gml_mmaction.cli.{command}')
    words = dict(genuine=['v', '--out', 'o', '--config']).get(command, [])
    with pytest.raises(SystemExit):
        tool.parse_args([*words, 'gml_mmaction::nope.py'])
    assert 'gml_mmaction::nope.py: no such config' in capsys.readouterr().err
