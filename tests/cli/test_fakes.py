import json

import cv2
import pytest
from tiny import CONFIG, REPO, write_prepared

from gml_mmaction.errors import SettingError

GENUINE = REPO / 'configs/genuine/gml_xception-small_genuine.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    videos = [('r', 'real', ['1'], 1), ('f', 'fake', ['2'], 1)]
    return write_prepared(
        tmp_path_factory.mktemp('data') / 'data', dict(train=videos)
    )


@pytest.fixture
def tool(load_tool):
    return load_tool('fakes')


def test_the_sheet_shows_each_family_and_the_table_measures_it(
    tool, data, tmp_path, capsys
):
    sheet, numbers = tmp_path / 'a/sheet.png', tmp_path / 'numbers.json'
    given = [str(GENUINE), str(data), '--out', str(sheet)]
    given += ['--clips', '2', '--draws', '4', '--height', '40']
    result = tool.main([*given, '--json', str(numbers)])
    assert json.loads(numbers.read_text()) == result
    families = [row['family'] for row in result['rows']]
    settings = tool.read_dataset(str(GENUINE), str(data))
    assert families == [family.type for family in settings.families]
    strips = 3 * 2 * len(families)  # real, fake, difference
    assert cv2.imread(str(sheet)).shape == (strips * (20 + 40), 8 * 40, 3)
    for row in result['rows']:
        assert row['clips_per_s'] > 0
        assert 0 <= row['too_faint'] <= row['redrawn'] <= 1
        assert row['change'] > 0
    text = capsys.readouterr().out
    assert all(family in text for family in families)


def test_a_config_without_pseudo_fakes_is_refused(tool, data):
    with pytest.raises(SettingError, match='makes no pseudo-fakes'):
        tool.main([str(CONFIG), str(data)])
