import json

import pytest

from gml_mmaction.io.files import read_json, write_json, write_text

CONTENT = {
    'source': 'Zoë',
    'size': 64,
    'none': None,
    'empty': [],
    'options': {'methods': ['a', 'b']},
    'videos': [{'label': 0}, {'label': 1}],
}


def test_a_key_and_an_item_of_a_list_have_a_line_each(tmp_path):
    path = tmp_path / 'new/folder/a.json'
    data = write_json(path, CONTENT)
    assert path.read_bytes() == data
    assert data.decode().splitlines() == [
        '{',
        '"source": "Zo\\u00eb",',
        '"size": 64,',
        '"none": null,',
        '"empty": [],',
        '"options": {"methods": ["a", "b"]},',
        '"videos": [',
        '{"label": 0},',
        '{"label": 1}',
        ']',
        '}',
    ]
    assert data.endswith(b'}\n')
    assert read_json(path) == json.loads(data) == CONTENT


def test_text_is_utf_8_whatever_the_locale(tmp_path):
    write_text(tmp_path / 'new/a.md', 'Zoë\n')
    assert (tmp_path / 'new/a.md').read_bytes() == b'Zo\xc3\xab\n'


@pytest.mark.parametrize('number', [float('nan'), float('inf')])
@pytest.mark.parametrize('wrap', [lambda x: x, lambda x: [x]])
def test_content_that_is_no_json_leaves_the_old_file(tmp_path, number, wrap):
    path = tmp_path / 'a.json'
    before = write_json(path, CONTENT)
    with pytest.raises(ValueError, match='not JSON compliant'):
        write_json(path, {'score': wrap(number)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch
):
    path = tmp_path / 'a.md'
    write_text(path, 'old')

    def fail(*_):
        raise OSError('disk full')

    monkeypatch.setattr('os.replace', fail)
    with pytest.raises(OSError, match='disk full'):
        write_text(path, 'new')
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_unfinished_work_lies_in_the_scratch_folder(tmp_path, monkeypatch):
    """Readers that list the folder of the file never meet a part of one."""
    moved = []
    monkeypatch.setattr('os.replace', lambda *paths: moved.append(paths))
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    write_json(tmp_path / 'out/a.json', CONTENT, scratch=scratch)
    ((partial, path),) = moved
    assert partial.is_relative_to(scratch)
    assert path == tmp_path / 'out/a.json'
    assert list(scratch.iterdir()) == []
