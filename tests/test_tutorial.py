"""The tutorial is run from top to bottom, as it stands."""

import os
import re
import subprocess

import pytest
import warm
from tiny import REPO

pytest.importorskip('av')
pytest.importorskip('dlib')
TUTORIAL = REPO / 'docs' / 'tutorial.md'


def cells():
    """(language, code) of each cell, in order."""
    text = TUTORIAL.read_text(encoding='utf-8')
    return re.findall(r'```(bash|python)\n(.*?)```', text, re.DOTALL)


def run_bash(code, gml):
    """Run a cell in a shell that finds the script ``gml``."""
    path = os.pathsep.join([str(gml.parent), os.environ['PATH']])
    done = subprocess.run(
        ['bash', '-e', '-c', code],
        env={**os.environ, 'PATH': path, 'PYTHONPATH': str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f'{code}\n{done.stdout}\n{done.stderr}'


@pytest.mark.slow(80)
@pytest.mark.timeout(1800)
def test_every_cell_runs(tmp_path, monkeypatch):
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    monkeypatch.chdir(tmp_path)
    gml = tmp_path / 'bin/gml'
    gml.parent.mkdir()
    gml.write_text(f'#!/bin/sh\nexec {warm.python()} -m gml_mmaction "$@"\n')
    gml.chmod(0o755)
    session = {}
    for language, code in cells():
        if language == 'bash':
            run_bash(code, gml)
        else:
            exec(compile(code, str(TUTORIAL), 'exec'), session)
    for made in ('verdicts', 'moment.png', 'flow.png', 'figures'):
        assert (tmp_path / made).exists(), made


def test_the_pictures_of_the_tutorial_are_there():
    text = TUTORIAL.read_text(encoding='utf-8')
    pictures = re.findall(r'!\[[^]]+\]\((.+?)\)', text)
    assert pictures
    for picture in pictures:
        assert (TUTORIAL.parent / picture).is_file(), picture
