import json

import pytest
from tiny import CONFIG, write_prepared

from gml_mmaction.errors import SettingError


@pytest.fixture
def tool(load_tool, monkeypatch):
    return load_tool('benchmark_loader')


def test_rates_and_the_cores_that_are_needed_add_up(tool, tmp_path, capsys):
    videos = [('r', 'real', ['1'], 1), ('f', 'fake', ['2'], 1)]
    data = write_prepared(tmp_path / 'data', dict(train=videos))
    path = tmp_path / 'numbers.json'
    given = [str(CONFIG), str(data), '--clips', '6', '--rounds', '1']
    tool.main([*given, '--step', '0.002', '--batch', '3', '--json', str(path)])
    result = json.loads(path.read_text())
    decoding, pipeline, loader = result['rows']
    for row in result['rows']:
        (seconds,) = row['seconds']
        assert row['clips_per_s'] == pytest.approx(6 / seconds)
    assert decoding['share_of_decoding'] == 1
    rates = [row['clips_per_s'] for row in (pipeline, decoding)]
    assert pipeline['share_of_decoding'] == pytest.approx(rates[0] / rates[1])
    assert result['clips_per_s_needed'] == pytest.approx(1500)
    cores = result['cores_needed']
    assert cores * loader['clips_per_s'] >= 1500
    assert (cores - 1) * loader['clips_per_s'] < 1500
    assert f'{cores} cores are needed for' in capsys.readouterr().out


def test_an_unknown_data_set_is_one_line(tool, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        f'_base_ = {str(CONFIG)!r}\n'
        "train_dataloader = dict(dataset=dict(type='Mine'))\n"
    )
    with pytest.raises(SettingError, match=r"='Mine': no such .* --import"):
        tool.main([str(path), str(tmp_path)])


def test_only_the_files_of_the_clip_are_decoded(tool, tmp_path, monkeypatch):
    videos = [('r', 'real', ['1'], 1)]
    data = write_prepared(tmp_path / 'data', dict(train=videos))
    dataset = tool.build_dataset(str(CONFIG), str(data))
    read = []
    monkeypatch.setattr(
        tool.cv2, 'imdecode', lambda content, _: read.append(len(content))
    )
    tool.decode(dataset, [tool.DrawnIndex(0, 0, 0)] * 2)
    sizes = [path.stat().st_size for path in data.glob('frames/r/0/*.jpg')]
    assert len(read) == 16
    assert set(read) <= set(sizes)
