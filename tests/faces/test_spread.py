"""Videos are written, moments of them are looked at."""

import numpy as np
import pytest
from videos import numbered, read_number, write

from gml_mmaction.faces import CropOptions
from gml_mmaction.faces.spread import samples, spread
from gml_mmaction.video import ArrayFrames, Rates, VideoReader, at_rate, every

pytest.importorskip('dlib')

KEYS = {'x264-params': 'keyint=60:min-keyint=60:scenecut=0'}


def test_moments_are_as_far_apart_as_can_be():
    reader = ArrayFrames(np.zeros((200, 2, 2, 3), np.uint8))
    starts = spread(reader, every(reader, 2), 4, 8)
    assert starts == [8, 34, 58, 84]  # of 100 that are taken
    assert spread(reader, every(reader, 2), 12, 8)[-1] + 8 <= 100


def test_a_moment_begins_at_a_key_frame_if_one_is_near(tmp_path):
    path = write(tmp_path / 'a.mp4', numbered(200), options=KEYS)
    with VideoReader(path) as reader:
        taken = every(reader, 2)
        starts = spread(reader, taken, 3, 8)
        assert [taken.indices[start] for start in starts] == [0, 120, 180]


def test_no_moment_reaches_over_a_gap_in_time(tmp_path):
    times = [40 * k + 5000 * (k >= 50) for k in range(100)]
    path = write(tmp_path / 'a.mkv', numbered(100), times=times)
    with VideoReader(path) as reader:
        taken = at_rate(reader, Rates(25, 25, 25), 2)
        (gap,) = taken.gaps
        for start in spread(reader, taken, 9, 8):
            assert not start < gap < start + 8


def test_only_the_frames_of_the_moments_are_read(tmp_path):
    path = write(tmp_path / 'a.mp4', numbered(100))
    with VideoReader(path) as reader:
        taken = every(reader, 2)
        found = [
            [read_number(frame) for frame in sample.frames]
            for sample in samples(reader, taken, [3, 30], length=8, upsample=0)
        ]
    assert found == [list(range(6, 22, 2)), list(range(60, 76, 2))]


def follow(frames, count):
    """Tracks at moments of frames; without a cut each has 8 frames."""
    reader = ArrayFrames(np.stack(frames))
    taken = every(reader, CropOptions().stride)
    starts = spread(reader, taken, count, 8)
    met = {}
    for sample in samples(reader, taken, starts, length=8, upsample=1):
        for track in sample.tracks:
            met.setdefault(track, []).append(len(list(sample.frames)))
    return met


def test_a_face_that_stays_is_one_track_and_another_place_another(draw_faces):
    left = draw_faces((20, 10, 140), width=500)
    right = draw_faces((330, 10, 140), width=500)
    ((track, lengths),) = follow([left] * 120, 5).items()
    assert lengths == [8] * 5
    assert track.seen == 1
    first, second = follow([left] * 60 + [right] * 60, 4)
    assert first.stop <= 60 <= second.start


def test_two_real_people_at_one_place_are_two_tracks(real_people):
    paths = {path.stem: path for path in real_people}
    if not {'again', 'bird'} <= paths.keys():
        pytest.skip('no videos again and bird')
    shots = []
    for name in ('again', 'bird'):
        with VideoReader(paths[name]) as reader:
            shots.append(list(reader.frames(stop=60)))
    first, second = follow([*shots[0], *shots[1]], 4)
    assert first.start < 60 <= second.start


def test_a_clip_ends_at_a_cut(draw_faces):
    left = draw_faces((20, 10, 140), width=500)
    dark = draw_faces(width=500, shade=5)
    dark[::7] = 200
    frames = np.stack([left] * 20 + [dark] * 40)
    reader = ArrayFrames(frames)
    taken = every(reader, 2)
    (sample,) = samples(reader, taken, [6], length=8, upsample=1)
    assert len(list(sample.frames)) == 4  # 12, 14, 16, 18
