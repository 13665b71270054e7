"""A folder has one run of a kind at a time; real processes try it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gml_mmaction.io.lock import FolderInUseError, hold

REPO = Path(__file__).parents[2]
HOLD = """
import os, sys, time
sys.argv[0] = 'gml'  # a command imports the stack only when it registers
from gml_mmaction.io.lock import hold
with hold(sys.argv[1], 'training'):
    if len(sys.argv) > 2 and not os.fork():  # as a loader's process
        os.write(1, b'%d\\n' % os.getpid())
        time.sleep(60)
    os.write(1, b'held\\n')
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Start a process that holds a folder; it ends with its input."""
    with contextlib.ExitStack() as stack:

        def start(folder, *words):
            command = [sys.executable, '-c', HOLD, str(folder), *words]
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    cwd=REPO,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, 'PYTHONPATH': str(REPO)},
                )
            )
            stack.callback(process.kill)
            return process

        yield start


@pytest.mark.slow
def test_the_second_is_told_who_holds_the_folder(holder, tmp_path):
    process = holder(tmp_path)
    assert process.stdout.readline() == 'held\n'
    with (
        pytest.raises(FolderInUseError) as caught,
        hold(tmp_path, 'training'),
    ):
        pass
    line = str(caught.value)
    assert line.startswith(f'{tmp_path}: another training is running there')
    assert f'(process {process.pid} on {socket.gethostname()}, since ' in line
    assert re.search(r'since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\)', line)
    assert line.endswith('or write to another folder')


@pytest.mark.slow
def test_a_folder_is_free_again_and_empty_when_the_run_has_ended(
    holder, tmp_path
):
    process = holder(tmp_path)
    assert process.stdout.readline() == 'held\n'
    process.stdin.close()
    assert process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []
    with hold(tmp_path, 'training'):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_run_blocks_nobody(holder, tmp_path):
    process = holder(tmp_path)
    assert process.stdout.readline() == 'held\n'
    process.kill()
    process.wait(30)
    assert len(list(tmp_path.iterdir())) == 1
    with hold(tmp_path, 'training'):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_process_that_the_killed_run_has_forked_blocks_nobody(
    holder, tmp_path
):
    process = holder(tmp_path, 'fork')
    lines = [process.stdout.readline() for _ in range(2)]
    child = int(next(line for line in lines if line != 'held\n'))
    process.kill()
    process.wait(30)
    try:
        os.kill(child, 0)  # it lives
        with hold(tmp_path, 'training'):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_runs_of_two_kinds_share_a_folder(holder, tmp_path):
    process = holder(tmp_path)
    assert process.stdout.readline() == 'held\n'
    with hold(tmp_path, 'test'):
        pass


@pytest.mark.slow
def test_the_own_process_is_kept_out_as_well_and_loses_nothing(
    holder, tmp_path
):
    with hold(tmp_path, 'training'):
        with (
            pytest.raises(FolderInUseError, match=f'process, {os.getpid()}'),
            hold(tmp_path, 'training'),
        ):
            pass
        other = holder(tmp_path)
        assert other.wait(60) == 1


@pytest.mark.slow
def test_of_many_that_begin_together_one_holds(holder, tmp_path):
    started = [holder(tmp_path) for _ in range(4)]
    deadline = time.monotonic() + 60
    while sum(process.poll() is not None for process in started) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (first,) = [process for process in started if process.poll() is None]
    assert first.stdout.readline() == 'held\n'


def test_a_folder_under_another_name_is_the_same(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').symlink_to(tmp_path / 'a')
    with (
        hold(tmp_path / 'a', 'training'),
        pytest.raises(FolderInUseError),
        hold(tmp_path / 'b', 'training'),
    ):
        pass
