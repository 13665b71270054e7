"""``gml_mmaction::NAME``: a config of this package by its name."""

import pytest
from mmengine.config import Config
from tiny import REPO

from gml_mmaction.engine.config_check import read_settings
from gml_mmaction.errors import SettingError
from gml_mmaction.host.configs import own_config


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
