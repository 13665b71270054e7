"""A made video is predicted in processes of their own."""

import sys
from pathlib import Path

import numpy as np
import pytest
import warm

pytest.importorskip('dlib')
pytest.importorskip('av')


@pytest.mark.slow
def test_parts_are_within_the_whole_and_versions_take_turns(
    load_tool, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, 'executable', warm.python())
    tool = load_tool('benchmark_predict')
    here = str(tool.HERE)
    memory = np.ones(2**27)  # a GiB of this process counts for none of theirs
    result = tool.main(
        [
            *('--sizes', '256x256', '--seconds', '6', '--rounds', '1'),
            *('--networks', 'gml_xception-small_demo', '--clips', '0', '2'),
            *('--versions', here, here, '--json', str(tmp_path / 'a.json')),
        ]
    )
    rows = result['rows']
    assert [row['clips'] for row in rows] == [0, 2]
    for row in rows:
        parts = sum(row[part] for part in tool.PARTS)
        assert 0 < parts < 1.05 * row['total']
        assert 100 < row['peak_mb'] < 1000
    assert rows[0]['searching'] > rows[1]['searching']
    assert min(row['network'] for row in rows) > 0
    assert memory.nbytes == 2**30
    assert (tmp_path / 'a.json').is_file()
    assert 'CPU s a minute' in capsys.readouterr().out


def test_a_folder_without_the_package_is_one_line(load_tool, tmp_path):
    tool = load_tool('benchmark_predict')
    job = dict(video='a', checkpoint='b', clips=0, overlay=False)
    with pytest.raises(Exception, match=r'none: .*\. Remedy'):
        tool.in_turn([job], [Path(tmp_path / 'none')], 1)
