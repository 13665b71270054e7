"""What is drawn into a video, and at what time."""

import numpy as np
import pytest

from gml_mmaction.evaluation.prediction import Prediction
from gml_mmaction.io.records import to_record
from gml_mmaction.video import ArrayFrames, VideoError, open_video
from gml_mmaction.visualization.overlay import (
    OTHER,
    SUSPICIOUS,
    Heat,
    _band,
    _Finder,
    box_text,
    draw_overlay,
    footer_lines,
    moment_at,
    write_overlay,
)

pytest.importorskip('av')
GREY = 90


def prediction_of(*tracks, threshold=0.5, frames=64):
    """A prediction with clips of 16 frames; tracks are (square, scores)."""
    rows = []
    for number, (square, scores) in enumerate(tracks):
        clips = [
            dict(
                start=16 * i,
                stop=16 * (i + 1),
                seconds=[0.64 * i, 0.64 * (i + 1)],
                score=score,
            )
            for i, score in enumerate(scores)
        ]
        stop = 16 * len(scores)
        rows.append(
            dict(
                track=number,
                start=0,
                stop=stop,
                seconds=[0.0, stop / 25],
                square=list(square),
                seen=1.0,
                score=float(np.mean(scores)),
                clips=clips,
            )
        )
    score = max((row['score'] for row in rows), default=None)
    content = dict(
        input='a.mp4',
        status='ok' if rows else 'no face',
        detail='',
        verdict='suspicious',
        score=score,
        probability=None,
        threshold=threshold,
        video=dict(
            fps=25.0, width=640, height=480, num_frames=frames, seconds=2.56
        ),
        notes=[],
        tracks=rows,
    )
    return to_record(content, Prediction)


def grey_video(count=64, height=480, width=640):
    frame = np.full((height, width, 3), GREY, np.uint8)
    return ArrayFrames(np.broadcast_to(frame, (count, *frame.shape)), fps=25)


def is_near(pixels, colour):
    return (np.abs(pixels.astype(int) - colour).max(axis=-1) < 40).any()


def test_a_box_is_around_the_face_and_its_colour_follows_the_clip():
    prediction = prediction_of(((200, 150, 100), [0.9, 0.1]))
    for seconds, colour, absent in (
        (0.2, SUSPICIOUS, OTHER),
        (0.8, OTHER, SUSPICIOUS),
    ):
        moment = moment_at(grey_video(), prediction, Heat(), seconds)
        left_side = moment.overlay[160:240, 198:203]
        assert is_near(left_side, colour)
        assert not is_near(left_side, absent)
        inside = moment.overlay[160:240, 210:290]
        assert (inside == GREY).all()


def test_heat_is_warm_where_the_map_is_high_at_that_time():
    prediction = prediction_of(((200, 150, 100), [0.9]))
    maps = np.zeros((1, 8, 4, 4), np.float16)
    maps[0, 4:, 0, 0] = 1  # upper left, in the second half of the clip
    early = moment_at(grey_video(), prediction, Heat({0: maps}), 0.1).overlay
    late = moment_at(grey_video(), prediction, Heat({0: maps}), 0.5).overlay
    assert (early[155:245, 205:295] == GREY).all()
    corner, far = late[158:165, 208:215], late[235:245, 285:295]
    assert corner.mean() > GREY + 40
    assert (far == GREY).all()


def test_a_face_beyond_the_border_is_drawn_as_far_as_it_is_in_the_frame():
    prediction = prediction_of(((-60, -50, 200), [0.9]))
    maps = np.ones((1, 8, 4, 4), np.float16)
    maps[0, 0, 0] = 0
    overlay = moment_at(grey_video(), prediction, Heat({0: maps}), 0.3).overlay
    assert overlay[100, 100].astype(int).sum() > 3 * GREY
    assert is_near(overlay[10:150, 138:143], SUSPICIOUS)


def test_the_text_of_a_box_is_never_cut_off_by_the_border():
    """Label bands are filled with the box's colour; its width is that of 30
    letters wherever the face is."""
    widths = set()
    for x, y in ((200, 150), (-80, -80), (600, 300), (300, 470)):
        face = prediction_of(((x, y, 100), [0.9]))
        overlay = moment_at(grey_video(), face, Heat(), 0.1).overlay[:480]
        near = (np.abs(overlay.astype(int) - SUSPICIOUS) < 8).all(axis=-1)
        widths.add(int(near.sum(axis=1).max()))
    assert max(widths) - min(widths) <= 6
    assert min(widths) > 100


def test_where_no_face_is_the_text_below_says_so():
    prediction = prediction_of(((200, 150, 100), [0.9]))
    after = moment_at(grey_video(), prediction, Heat(), 2.0)
    assert after.track is None
    assert after.score is None
    assert (after.overlay[:480] == GREY).all()
    assert (after.overlay[480:] > 200).any()


def test_the_most_suspicious_face_of_a_moment_is_named():
    prediction = prediction_of(
        ((20, 20, 100), [0.2, 0.8]), ((300, 20, 100), [0.6, 0.1])
    )
    first = moment_at(grey_video(), prediction, Heat(), 0.2)
    second = moment_at(grey_video(), prediction, Heat(), 0.9)
    assert (first.track, first.score) == (1, 0.6)
    assert (second.track, second.score) == (0, 0.8)
    assert first.index == 5
    assert first.flow.shape == first.frame.shape


def test_a_time_beyond_the_video_has_no_moment():
    prediction = prediction_of(((20, 20, 100), [0.2]))
    assert moment_at(grey_video(), prediction, Heat(), 60) is None
    assert moment_at(grey_video(), prediction, Heat(), -1) is None
    assert moment_at(grey_video(), prediction, Heat(), 2.56).index == 63


@pytest.mark.parametrize(
    ('size', 'expected'),
    [((480, 640), 640), ((99, 61), 296), ((1080, 3840), 1920)],
    ids=str,
)
def test_pictures_are_of_even_sides_and_of_a_size_that_players_take(
    size, expected
):
    frame = np.full((*size, 3), GREY, np.uint8)
    picture = draw_overlay(frame, [], prediction_of())
    assert picture.shape[1] == expected
    assert picture.shape[0] % 2 == 0
    assert 480 <= max(picture.shape) <= 2000


def test_the_overlay_has_every_frame_as_h264_in_yuv420p(tmp_path):
    import av

    prediction = prediction_of(((200, 150, 100), [0.9, 0.1, 0.8, 0.2]))
    seen = []
    out = write_overlay(
        grey_video(),
        prediction,
        Heat(),
        tmp_path / 'new' / 'overlay.mp4',
        lambda done, total: seen.append((done, total)),
    )
    with av.open(str(out)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == 'h264'
        assert stream.codec_context.pix_fmt == 'yuv420p'
        assert stream.average_rate == 25
    with open_video(out) as reader:
        frames = list(reader.frames())
    assert len(frames) == 64
    assert is_near(frames[5][160:240, 198:203], SUSPICIOUS)
    assert is_near(frames[20][160:240, 198:203], OTHER)
    assert seen[-1] == (64, 64)
    assert [path.name for path in out.parent.iterdir()] == ['overlay.mp4']


def test_an_overlay_that_fails_leaves_nothing_behind(tmp_path):
    class Broken(ArrayFrames):
        def _read(self, index):
            if index == 30:
                raise VideoError('unreadable', 'for the test')
            return super()._read(index)

    broken = Broken(np.full((64, 48, 64, 3), GREY, np.uint8), fps=25)
    out = tmp_path / 'overlay.mp4'
    with pytest.raises(VideoError):
        write_overlay(broken, prediction_of(), Heat(), out)
    assert list(tmp_path.iterdir()) == []


def test_a_box_says_its_clip_s_score_and_the_footer_what_they_make():
    """No box says "below threshold" over the verdict "suspicious"."""
    prediction = prediction_of(
        ((20, 20, 100), [0.9, 0.3]), ((300, 20, 100), [0.2, 0.1])
    )
    faces = _Finder(prediction, Heat()).at(20)
    assert [box_text(face) for face in faces] == [
        'face 0, this clip: 0.30',
        'face 1, this clip: 0.10',
    ]
    assert footer_lines(faces, prediction)[:2] == [
        'suspicious: video score 0.600 >= threshold 0.500',
        'the video score is the highest of 2 faces: face 0 has 0.600, the '
        'mean of its 2 clips (0.30 to 0.90)',
    ]


@pytest.mark.parametrize('width', [480, 512, 640, 720, 1280, 1920])
def test_no_line_below_a_frame_is_cut_off(width):
    lines = [
        'compression 0.178 bits a pixel (1/5.01 of the lowest) ' * n
        for n in (1, 2, 3)
    ]
    band = _band(lines, width)
    assert (band[:, -6:] == band[0, 0]).all()
    assert (band != band[0, 0]).any()
