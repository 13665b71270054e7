"""Frames are drawn, faces are found by dlib."""

import functools

import cv2
import numpy as np
import pytest

from gml_mmaction.faces import CropOptions, detect_faces
from gml_mmaction.faces.detect import has_face
from gml_mmaction.faces.shots import mark_cuts
from gml_mmaction.faces.track import Follower, all_faces, largest, most_covered
from gml_mmaction.prepared.manifest import TrackRecord
from gml_mmaction.video import VideoReader

NEAR = dict(check_stride=10, search_stride=4, lost=20)


@pytest.fixture(scope='module')
def draw(draw_faces):
    """Draw heads at places of a room with a pattern on its walls."""
    rng = np.random.default_rng(0)
    room = rng.integers(60, 120, (16, 40), dtype=np.uint8)
    room = room.repeat(10, 0).repeat(10, 1)

    @functools.cache
    def draw(*places):
        frame = draw_faces(*places, width=400, shade=0)
        frame[(frame == 0).all(-1)] = room[(frame == 0).all(-1), None]
        return frame

    return draw


def follow(frames, **options):
    """Follow through frames that are all saved; return tracks by end."""
    options = CropOptions(**{'stride': 1, **NEAR, **options})
    several = options.tracks == 'all'
    follower = Follower(options, all_faces if several else largest)
    frames = list(frames)
    shown = {}
    for (index, frame), cut in mark_cuts(enumerate(frames), lambda i: i[1]):
        for track in follower.update(index, frame, cut=cut):
            shown.setdefault(track, []).append(index)
    kept = follower.finish(len(frames))
    for track in kept:  # every frame up to the end, in order
        expected = range(track.start, track.stop)
        assert shown[track][: len(expected)] == list(expected)
    return kept


def holds(track, place):
    """Whether a portrait's face is in the middle of a track's square."""
    left, top, size = place
    x0, y0, side = track.square
    x, y = left + 0.52 * size, top + 0.42 * size
    return np.hypot(x - x0 - side / 2, y - y0 - side / 2) < side / 5


def blend(before, after, share):
    share = min(max(share, 0), 1)
    return cv2.addWeighted(after, share, before, 1 - share, 0)


LEFT, RIGHT = (20, 20, 120), (260, 20, 120)


def test_a_face_that_stays_is_one_track(draw):
    (track,) = follow([draw(LEFT)] * 50)
    assert (track.start, track.stop, track.seen) == (0, 50, 1)
    assert holds(track, LEFT)
    assert track.n_faces == 1


def test_a_late_face_starts_where_the_search_finds_it(draw):
    def frame(k):  # appears slowly
        return blend(draw(), draw(RIGHT), (k - 150) / 30)

    (track,) = follow(map(frame, range(210)))
    assert 150 < track.start <= 180
    assert track.start % 4 == 0
    assert detect_faces(frame(track.start))
    assert not detect_faces(frame(track.start - 4))
    assert track.stop == 210
    assert holds(track, RIGHT)


@pytest.mark.slow
def test_a_face_that_leaves_ends_where_it_was_last_seen_and_comes_back(draw):
    def place(k):
        return 20 - min(180, 6 * max(0, 90 - abs(k - 130))), 20, 120

    first, second = follow((draw(place(k)) for k in range(260)), tracks='all')
    assert first.start == 0
    assert 40 <= first.stop - 1 <= 60
    assert (first.stop - 1) % 2 == 0
    assert place(first.stop - 1)[0] > -60
    assert 200 < second.start < 224
    assert second.stop == 260
    (one,) = follow(draw(place(k)) for k in range(260))
    assert (one.start, one.stop, one.square) == (
        first.start,
        first.stop,
        first.square,
    )


def test_a_face_that_is_hidden_for_a_while_is_still_the_same_track(draw):
    def frame(k):
        image = draw(LEFT)
        if 35 <= k < 51:  # as by a hand
            image = image.copy()
            image[40:100, 60:110] = 150
        return image

    (track,) = follow(map(frame, range(90)))
    assert (track.start, track.stop) == (0, 90)
    # checked at 10, ..., 40, and every 4 frames until it is seen at 52
    assert track.seen == pytest.approx(1 - (48 - 30) / (82 - 0))


def test_a_track_lost_early_does_not_count_and_the_search_goes_on(draw):
    def frame(k):  # a picture on the wall that fades; later a person
        picture = blend(draw(RIGHT), draw(), (k - 2) / 8)
        return blend(picture, draw(LEFT), (k - 60) / 10)

    (track,) = follow(map(frame, range(120)))
    assert 60 < track.start <= 72
    assert holds(track, LEFT)


def test_a_cut_ends_the_track_and_the_search_begins_with_the_new_shot(draw):
    frames = [draw(LEFT)] * 33 + [draw((150, 10, 150))[:, ::-1]] * 30
    first, second = follow(frames, tracks='all')
    assert (first.start, first.stop) == (0, 33)
    assert (second.start, second.stop) == (33, 63)
    (one,) = follow(frames)
    assert one.stop == 33
    (one,) = follow(frames, min_frames=34) or [None]
    assert one is None


def test_a_shot_too_short_is_passed_over(draw):
    frames = [draw(LEFT)] * 5 + [draw((150, 10, 150))[:, ::-1]] * 30
    (track,) = follow(frames)
    assert (track.start, track.stop) == (5, 35)


def test_nothing_more_is_looked_for_after_the_one_track(draw):
    options = CropOptions(stride=1, **NEAR)
    follower = Follower(options, largest)
    for k in range(20):
        follower.update(k, draw(LEFT), cut=False)
    assert not follower.done
    assert follower.update(20, draw(RIGHT), cut=True) == []
    assert follower.done
    (track,) = follower.finish(21)
    assert track.stop == 20


def test_two_people_are_two_tracks_and_the_larger_comes_first(draw):
    small, large = (20, 20, 100), (230, 5, 150)
    first, second = follow([draw(small, large)] * 30, tracks='all')
    assert holds(first, large)
    assert holds(second, small)
    assert first.n_faces == second.n_faces == 2
    (one,) = follow([draw(small, large)] * 30)
    assert one.square == first.square


def test_a_second_person_who_enters_later_is_found(draw):
    def frame(k):  # appears slowly
        return blend(draw(LEFT), draw(LEFT, RIGHT), (k - 15) / 30)

    frames = [frame(k) for k in range(90)]
    first, second = follow(frames, tracks='all')
    assert holds(first, LEFT)
    assert holds(second, RIGHT)
    assert 15 < second.start <= 50
    assert second.start % 10 == 0
    assert first.stop == second.stop == 90
    (one,) = follow(frames)
    assert holds(one, LEFT)


def test_a_face_that_moves_in_its_square_is_no_new_one(draw):
    frames = [draw((20 + k // 3, 20, 120)) for k in range(60)]
    (track,) = follow(frames, tracks='all')
    assert track.stop == 60


def test_a_face_only_the_whole_frame_shows_is_seen(draw):
    """Check and search fall due together; the check alone would lose it."""
    options = CropOptions(stride=1, tracks='all', **NEAR)
    follower = Follower(options, all_faces)
    follower.update(0, draw(LEFT), cut=False)
    moved = draw((60, 34, 120))  # half out of the square
    assert not has_face(moved, follower.tracks[0].square)
    for k in range(1, 61):
        follower.update(k, moved, cut=False)
    (track,) = follower.finish(61)
    assert (track.start, track.stop, track.seen) == (0, 61, 1)


@pytest.mark.slow
def test_real_people_are_followed_to_the_end(real_people):
    for path in real_people[::6]:
        with VideoReader(path) as reader:
            frames = list(reader.frames(stride=2))
        for tracks in ('one', 'all'):
            (track,) = follow(frames, tracks=tracks)
            assert (track.start, track.stop) == (0, len(frames))
            assert track.seen > 0.3  # a hand covers the face at times


@pytest.mark.slow
def test_two_real_people_in_turn_are_two_tracks(real_people):
    paths = {path.stem: path for path in real_people}
    if not {'again', 'bird'} <= paths.keys():
        pytest.skip('no videos again and bird')
    shots = []
    for name in ('again', 'bird'):
        with VideoReader(paths[name]) as reader:
            shots.append(list(reader.frames(stride=2)))
    first, second = follow([*shots[0], *shots[1]], tracks='all')
    assert (first.start, first.stop) == (0, len(shots[0]))
    assert second.start == len(shots[0])
    assert second.stop == len(shots[0]) + len(shots[1])


@pytest.fixture
def mask(write_video, tmp_path):
    """Return a reader of 3 masks: left, all black, beside all faces."""
    masks = np.zeros((3, 160, 400, 3), np.uint8)
    masks[0, 40:80, 60:100] = 255
    masks[2, 150:, 180:220] = 255
    with VideoReader(write_video(tmp_path / 'mask.mp4', masks)) as reader:
        yield reader


def test_the_mask_of_the_frame_chooses_the_face(draw, mask):
    """DeepFakeDetection forges one of the people in a video."""
    frame = draw((20, 20, 110), RIGHT)
    follower = Follower(CropOptions(), all_faces)
    tracks = follower.update(0, frame, cut=False)
    assert [holds(track, RIGHT) for track in tracks] == [True, False]
    faces = detect_faces(frame)
    chosen = [most_covered(mask, k, frame, faces) for k in range(4)]
    assert chosen == [[faces[1]], [faces[0]], [], [faces[0]]]
    assert most_covered(mask, 0, frame, []) == []


def test_a_record_makes_its_track_again(draw):
    (track,) = follow([draw(LEFT)] * 20)
    count = track.num_frames(3)
    assert count == 7  # 0, 3, ..., 18
    facts = dict(num_frames=count, width=400, height=160)
    record = TrackRecord.of(track, **facts)
    assert TrackRecord.of(record.track, **facts) == record
