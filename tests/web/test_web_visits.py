"""Visitors' files: how long they are there, and what may be uploaded."""

import os
import sys
import threading
import time

import pytest
from videos import numbered, write

from gml_mmaction.video import VideoError
from gml_mmaction.web.visits import Limits, UploadError, Visits

CRASHED = """
import os, sys
from gml_mmaction.web.visits import Limits, Visits
visits = Visits(None, Limits(), sys.argv[1])
case = visits.begin(visits.open(), 'a.mp4')
case.video.write_bytes(b'private')
if len(sys.argv) > 2:
    visits = case = None
    print('left', flush=True)
    os._exit(9)
"""


@pytest.fixture
def visits(tmp_path):
    visits = Visits(None, Limits(keep_minutes=1), tmp_path)
    yield visits
    visits.shut_down()


def test_what_a_crashed_server_left_is_removed_at_the_next_start(
    run_python, tmp_path
):
    done = run_python('-c', CRASHED, str(tmp_path), 'crash')
    assert (done.returncode, done.stdout) == (9, 'left\n'), done.stderr
    (left,) = tmp_path.iterdir()
    assert [path.read_bytes() for path in left.glob('*/video')] == [b'private']
    visits = Visits(None, Limits(), tmp_path)
    assert list(tmp_path.iterdir()) == [visits.folder]
    visits.shut_down()


def test_the_folder_of_a_server_that_runs_is_left_alone(visits, tmp_path):
    case = visits.begin(visits.open(), 'a.mp4')
    case.video.write_bytes(b'here')
    other = Visits(None, Limits(), tmp_path)
    other.shut_down()
    assert case.video.read_bytes() == b'here'


def test_a_link_that_looks_like_a_left_over_is_not_followed(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').write_text('years')
    (tmp_path / 'temp').mkdir()
    (tmp_path / 'temp/gml-web-x').symlink_to(tmp_path / 'mine')
    Visits(None, Limits(), tmp_path / 'temp').shut_down()
    assert [path.name for path in (tmp_path / 'mine').iterdir()] == [
        'thesis.txt'
    ]


@pytest.mark.skipif(sys.platform == 'win32', reason='no modes of files')
def test_nobody_else_on_the_machine_can_read_the_files(visits):
    case = visits.begin(visits.open(), 'a.mp4')
    for folder in (visits.folder, case.folder):
        assert os.stat(folder).st_mode & 0o077 == 0


def test_another_video_removes_the_one_before(visits):
    visit = visits.open()
    first = visits.begin(visit, 'a.mp4')
    first.video.write_bytes(b'1')
    second = visits.begin(visit, 'b.mp4')
    assert not first.folder.exists()
    assert visit.case is second


def test_who_leaves_leaves_no_files(visits):
    visit = visits.open()
    visits.begin(visit, 'a.mp4').video.write_bytes(b'1')
    visits.close(visit)
    assert [path.name for path in visits.folder.iterdir()] == ['lock']
    assert visits.find(visit.token) is None


def test_files_are_removed_after_some_time_without_use(visits, monkeypatch):
    idle, busy = visits.open(), visits.open()
    visits.begin(idle, 'a.mp4').analysis = visits.line.put(lambda report: 1)
    visits.begin(busy, 'b.mp4')
    later = time.monotonic() + 50
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    busy.touch()
    visits.sweep()
    assert idle.case is not None
    later += 20
    visits.sweep()
    assert (idle.case, idle.stage) == (None, 'empty')
    assert 'a.mp4 were removed after 1 minute without' in idle.message
    assert busy.case.folder.is_dir()


def test_files_that_someone_waits_for_are_not_removed(visits, monkeypatch):
    leave = threading.Event()
    visit = visits.open()
    case = visits.begin(visit, 'a.mp4')
    case.analysis = visits.line.put(lambda progress: leave.wait(30))
    later = time.monotonic() + 1000
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    visits.sweep()
    assert visit.case is case
    leave.set()


def test_an_analysis_that_outlives_its_visitor_leaves_nothing(
    visits, wait_for
):
    begun, leave = threading.Event(), threading.Event()

    class Slow:
        def analyse(self, path, progress, name):
            begun.set()
            leave.wait(30)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name('late').write_bytes(b'1')
            progress(1, 1)

    visits.inferencer = Slow()
    visit = visits.open()
    case = visits.begin(visit, 'a.mp4')
    visits.analyse(case)
    assert begun.wait(10)
    visits.close(visit)
    leave.set()
    wait_for(lambda: case.analysis.ended)
    assert case.analysis.state == 'stopped'
    assert not case.folder.exists()


def test_tokens_differ_and_are_long(visits):
    tokens = {visits.open().token for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43  # 256 bits in base 64


@pytest.mark.parametrize(('frames', 'taken'), [(75, True), (76, False)])
def test_a_video_may_be_as_long_as_the_limit(tmp_path, frames, taken):
    path = write(tmp_path / 'a.mp4', numbered(frames), fps=25)
    limits = Limits(minutes=3 / 60)
    if taken:
        limits.check_length(path)
    else:
        with pytest.raises(UploadError, match=r'the limit is 0\.05 minutes'):
            limits.check_length(path)


@pytest.mark.parametrize(('size', 'taken'), [(2_000_000, 1), (2_000_001, 0)])
def test_a_file_may_be_as_large_as_the_limit(size, taken):
    if taken:
        Limits(megabytes=2).check_size(size)
    else:
        with pytest.raises(UploadError, match='larger than 2 MB'):
            Limits(megabytes=2).check_size(size)


def test_a_list_of_videos_does_not_lead_to_them(tmp_path):
    write(tmp_path / 'private.mp4', numbered(20))
    path = tmp_path / 'video'
    path.write_text('ffconcat version 1.0\nfile private.mp4\n')
    with pytest.raises(VideoError, match='a text, such as a list'):
        Limits().check_length(path)
