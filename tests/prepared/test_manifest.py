import json

import pytest
from tiny import write_prepared

from gml_mmaction.io.files import FileError
from gml_mmaction.prepared.manifest import read_manifest, read_report


def test_a_report_counts_in_whole_numbers(tmp_path):
    row = dict(split='test', missing=0, failed=dict(missing=None))
    path = tmp_path / 'report.json'
    path.write_text(json.dumps(dict(rows=[row])))
    with pytest.raises(FileError, match=r"report\.json is not .*'failed' is"):
        read_report(tmp_path)


def test_no_folder_has_no_manifest_even_where_the_current_one_has(
    tmp_path, monkeypatch
):
    """A config's data set may be nowhere: its folder is ''."""
    root = write_prepared(tmp_path / 'a', dict(test=[]))
    monkeypatch.chdir(root)
    assert read_manifest('') is None
    assert read_report('') is None
    assert read_manifest('.').source == 'made up'
    assert read_manifest(root) == read_manifest('.')
