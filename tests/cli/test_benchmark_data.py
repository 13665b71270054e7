import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from gml_mmaction.faces import detect_faces

REPO = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('benchmark_data')


def test_a_benchmark_of_given_videos_adds_up(talking_head, run_warm, tmp_path):
    videos = [talking_head(tmp_path / f'{i}.mp4') for i in range(3)]
    path = tmp_path / 'numbers.json'
    options = ['--rounds', '1', '--workers', '1', '--json', path]
    command = [REPO / 'tools/benchmark_data.py', *videos, *options]
    start = time.monotonic()
    printed = run_warm(*map(str, command))
    wall = time.monotonic() - start
    assert printed.returncode == 0, printed.stderr
    result = json.loads(path.read_text())
    assert (result['videos'], result['frames']) == (3, 60)
    decode, prepare = result['rows']
    assert (decode['work'], prepare['work']) == ('decode', 'prepare')
    assert decode['share_of_decode'] == 1
    (bare,), (taken,) = decode['seconds'], prepare['seconds']
    assert prepare['share_of_decode'] == pytest.approx(bare / taken)
    for row in result['rows']:
        assert row['workers'] == 1
        (seconds,) = row['seconds']
        assert seconds < wall / 2  # most of it is the start of processes
        assert row['videos_per_s'] == pytest.approx(3 / seconds)
        assert row['frames_per_s'] == pytest.approx(60 / seconds)
    last = printed.stdout.splitlines()[-1].split()
    assert last[:2] == ['prepare', '1']
    assert last[4] == f'{prepare["share_of_decode"]:.1%}'


def test_shares_compare_what_ran_in_one_round(tool):
    times = {('decode', 2): [1, 2, 8], ('prepare', 2): [2, 8, 16]}
    decode, prepare = tool.summarise(times, 4, 400)
    assert prepare['share_of_decode'] == 0.5  # median of 1/2, 2/8, 8/16
    assert prepare['frames_per_s'] == 50
    assert decode['videos_per_s'] == 2


def test_a_benchmark_cannot_lose_a_video(tool):
    with pytest.raises(RuntimeError, match=r'worked on a\.mp4 died'):
        tool.crashed('a.mp4')


@pytest.mark.parametrize('write', ['H.264', 'MPEG-4'])
def test_made_videos_show_one_moving_face_and_noise(tool, tmp_path, write):
    if write == 'H.264':
        pytest.importorskip('av')
        (path,) = tool.make_videos(tmp_path / 'made', 1, 25)
    else:
        path = tmp_path / 'a.mp4'
        tool.write_mpeg4(str(path), tool.draw_frames(0, 25))
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1][..., ::-1] for _ in range(25)]
    assert not capture.grab()
    assert {frame.shape for frame in frames} == {(480, 640, 3)}
    (first,), (last,) = (detect_faces(frames[i]) for i in (0, -1))
    assert first.box[2] > 80
    assert abs(np.subtract(first.box, last.box)[:2]).max() > 10
    wall = np.float64([frame[:40, :100] for frame in frames])
    assert wall.std(axis=0).mean() > 0.3
