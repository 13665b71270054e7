"""The table of docs/formats.md is what the reader does."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from formats import FORMATS, make_source, result

PAGE = Path(__file__).parents[2] / 'docs/formats.md'


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    if not shutil.which('ffmpeg'):
        pytest.skip('no program ffmpeg')
    return make_source(tmp_path_factory.mktemp('formats'))


@pytest.fixture(scope='module')
def table():
    """Results by file, codec and flaw, as the page has them."""
    rows = re.findall(r'^\| (\..*) \|$', PAGE.read_text(), re.MULTILINE)
    cells = [re.split(r' ?\| ?', row) for row in rows]
    return {tuple(kind): found for *kind, found in cells}


def test_the_page_has_a_row_for_each_kind_of_file(table):
    assert list(table) == [kind.row for kind in FORMATS]


@pytest.mark.slow
@pytest.mark.parametrize(
    'kind', FORMATS, ids=[' '.join(kind.row) for kind in FORMATS]
)
def test_a_file_is_read_as_the_page_says(source, table, kind):
    try:
        found = result(source, kind)
    except subprocess.CalledProcessError as error:
        if b'Unknown encoder' in error.stderr:
            pytest.skip('this ffmpeg cannot write it')
        raise
    assert found == table[kind.row]
