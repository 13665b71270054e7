"""Visitors' files: how long they are there, and what may be uploaded."""

import os
import sys
import threading
import time

import pytest
from videos import numbered, write

from gml_mmaction.video import VideoError
from gml_mmaction.web.sessions import Limits, Sessions, UploadError

CRASHED = """
import os, sys
from gml_mmaction.web.sessions import Limits, Sessions
sessions = Sessions(None, Limits(), sys.argv[1])
upload = sessions.begin(sessions.open(), 'a.mp4')
upload.video.write_bytes(b'private')
if len(sys.argv) > 2:
    sessions = upload = None
    print('left', flush=True)
    os._exit(9)
"""


@pytest.fixture
def sessions(tmp_path):
    sessions = Sessions(None, Limits(keep_minutes=1), tmp_path)
    yield sessions
    sessions.shut_down()


def test_what_a_crashed_server_left_is_removed_at_the_next_start(
    run_warm, tmp_path
):
    done = run_warm('-c', CRASHED, str(tmp_path), 'crash')
    assert (done.returncode, done.stdout) == (9, 'left\n'), done.stderr
    (left,) = tmp_path.iterdir()
    assert [path.read_bytes() for path in left.glob('*/video')] == [b'private']
    sessions = Sessions(None, Limits(), tmp_path)
    assert list(tmp_path.iterdir()) == [sessions.folder]
    sessions.shut_down()


def test_the_folder_of_a_server_that_runs_is_left_alone(sessions, tmp_path):
    upload = sessions.begin(sessions.open(), 'a.mp4')
    upload.video.write_bytes(b'here')
    other = Sessions(None, Limits(), tmp_path)
    other.shut_down()
    assert upload.video.read_bytes() == b'here'


def test_a_link_that_looks_like_a_left_over_is_not_followed(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').write_text('years')
    (tmp_path / 'temp').mkdir()
    (tmp_path / 'temp/gml-web-x').symlink_to(tmp_path / 'mine')
    Sessions(None, Limits(), tmp_path / 'temp').shut_down()
    assert [path.name for path in (tmp_path / 'mine').iterdir()] == [
        'thesis.txt'
    ]


@pytest.mark.skipif(sys.platform == 'win32', reason='no modes of files')
def test_nobody_else_on_the_machine_can_read_the_files(sessions):
    upload = sessions.begin(sessions.open(), 'a.mp4')
    for folder in (sessions.folder, upload.folder):
        assert os.stat(folder).st_mode & 0o077 == 0


def test_another_video_removes_the_one_before(sessions):
    session = sessions.open()
    first = sessions.begin(session, 'a.mp4')
    first.video.write_bytes(b'1')
    second = sessions.begin(session, 'b.mp4')
    assert not first.folder.exists()
    assert session.upload is second


def test_who_leaves_leaves_no_files(sessions):
    session = sessions.open()
    sessions.begin(session, 'a.mp4').video.write_bytes(b'1')
    sessions.close(session)
    assert [path.name for path in sessions.folder.iterdir()] == ['lock']
    assert sessions.find(session.token) is None


def test_files_are_removed_after_some_time_without_use(sessions, monkeypatch):
    idle, busy = sessions.open(), sessions.open()
    sessions.begin(idle, 'a.mp4').analysis = sessions.queue.put(
        lambda report: 1
    )
    sessions.begin(busy, 'b.mp4')
    later = time.monotonic() + 50
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    busy.touch()
    sessions.sweep()
    assert idle.upload is not None
    later += 20
    sessions.sweep()
    assert (idle.upload, idle.stage) == (None, 'empty')
    assert 'a.mp4 were removed after 1 minute without' in idle.message
    assert busy.upload.folder.is_dir()


def test_files_that_someone_waits_for_are_not_removed(sessions, monkeypatch):
    leave = threading.Event()
    session = sessions.open()
    upload = sessions.begin(session, 'a.mp4')
    upload.analysis = sessions.queue.put(lambda progress: leave.wait(30))
    later = time.monotonic() + 1000
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    sessions.sweep()
    assert session.upload is upload
    leave.set()


def test_an_analysis_that_outlives_its_visitor_leaves_nothing(
    sessions, wait_for
):
    begun, leave = threading.Event(), threading.Event()

    class Slow:
        def analyse(self, path, progress, name):
            begun.set()
            leave.wait(30)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name('late').write_bytes(b'1')
            progress(1, 1)

    sessions.inferencer = Slow()
    session = sessions.open()
    upload = sessions.begin(session, 'a.mp4')
    sessions.analyse(upload)
    assert begun.wait(10)
    sessions.close(session)
    leave.set()
    wait_for(lambda: upload.analysis.ended)
    assert upload.analysis.state == 'stopped'
    assert not upload.folder.exists()


def test_tokens_differ_and_are_long(sessions):
    tokens = {sessions.open().token for _ in range(100)}
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
    with pytest.raises(VideoError, match='a text file, such as a list'):
        Limits().check_length(path)
