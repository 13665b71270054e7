"""Face clips are cut as prepared data; figures compare real and fake."""

from functools import partial

import cv2
import numpy as np
import pytest
from matplotlib import colormaps

from gml_mmaction.faces import CropOptions
from gml_mmaction.prepared.extract import extract_video
from gml_mmaction.sources import Video
from gml_mmaction.video import VideoError, every
from gml_mmaction.visualization.paper_figures import (
    FaceClip,
    draw_cam,
    draw_fig1,
    draw_fig3,
    face_clip,
)


@pytest.fixture(scope='module')
def video(talking_head, tmp_path_factory):
    pytest.importorskip('dlib')
    return talking_head(tmp_path_factory.mktemp('videos') / 'a.mp4', 24)


def count_colour(path, share):
    """Pixels that have the colour of ``share`` of a scale."""
    wanted = np.round(np.array(colormaps['inferno'](share)[:3]) * 255)
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    return int((np.abs(image - wanted).max(axis=2) <= 1).sum())


def clip_of(label, crops, fps=25.0):
    frames = range(len(crops))
    seconds = [i / fps if fps else None for i in frames]
    return FaceClip(f'{label}.mp4', label, crops, frames, seconds)


def still(count=8, size=60):
    return [np.full((size, size, 3), 128, np.uint8)] * count


@pytest.mark.parametrize('stride', [1, 2])
def test_crops_are_those_of_prepared_data(video, stride, tmp_path):
    clip = face_clip(video, 1, size=96, take=partial(every, stride=stride))
    options = CropOptions(size=96, stride=stride, image='png')
    extract_video(
        Video('a', video, 0, 'real', 'test'),
        tmp_path / 'crops',
        options=options,
        scratch=tmp_path,
    )
    images = sorted((tmp_path / 'crops').rglob('*.png'))[:8]
    for crop, image in zip(clip.crops, images, strict=True):
        assert (crop == cv2.imread(str(image))[..., ::-1]).all()
    assert list(clip.frames) == [stride * i for i in range(8)]


def test_the_face_is_looked_for_from_the_start_that_is_given(video):
    all_frames = partial(every, stride=1)
    later = face_clip(video, 0, size=96, take=all_frames, start=0.4)
    assert later.frames[0] == 10
    assert later.caption(0) == 'a.mp4\n0.40 s'


def test_a_video_that_ends_too_soon_is_named(video):
    with pytest.raises(VideoError, match=r'too short: .*a\.mp4'):
        face_clip(video, 0, take=partial(every, stride=4))


def test_a_video_without_a_face_is_named(write_video, tmp_path):
    pytest.importorskip('dlib')
    path = write_video(
        tmp_path / 'empty.mp4', [np.full((120, 160, 3), 90, np.uint8)] * 20
    )
    with pytest.raises(VideoError, match=r'no face: .*empty\.mp4'):
        face_clip(path, 0, take=partial(every, stride=2))


def test_maps_of_real_and_fake_have_one_scale(tmp_path):
    clips = [clip_of(0, still()), clip_of(1, still())]
    maps = np.ones((2, 8, 4, 4), np.float32)
    maps[0] = 0.5
    path = draw_fig3(
        clips, [0.1, 0.9], {'clue': maps}, tmp_path / 'a.png', moments=[3]
    )
    assert count_colour(path, 1.0) > 10000
    assert count_colour(path, 0.5) > 10000


def test_each_column_has_a_scale_of_its_own(tmp_path):
    ones = np.ones((1, 8, 4, 4), np.float32)
    maps = {'cstm': ones, 'motion': 1000 * ones}
    path = draw_fig3(
        [clip_of(0, still())], [0.1], maps, tmp_path / 'a.png', moments=[3]
    )
    one = draw_fig3(
        [clip_of(0, still())],
        [0.1],
        {'cstm': ones},
        tmp_path / 'b.png',
        moments=[3],
    )
    assert count_colour(path, 1.0) > 1.8 * count_colour(one, 1.0)


def test_a_column_of_zeros_is_drawn_as_zero(tmp_path):
    maps = {'clue': np.zeros((1, 8, 4, 4), np.float32)}
    path = draw_fig3(
        [clip_of(1, still())], [0.1], maps, tmp_path / 'a.png', moments=[3]
    )
    assert count_colour(path, 0.0) > 10000
    assert count_colour(path, 1.0) < 1000


def test_the_moments_asked_for_are_shown(tmp_path):
    maps = np.zeros((1, 8, 4, 4), np.float32)
    maps[0, 5] = 1
    drawn = {
        t: draw_fig3(
            [clip_of(1, still())],
            [0.1],
            {'clue': maps},
            tmp_path / f'{t}.png',
            moments=[t, 5],
        )
        for t in (4, 5)
    }
    assert count_colour(drawn[5], 1.0) > 1.8 * count_colour(drawn[4], 1.0)


@pytest.mark.slow
def test_steady_motion_is_no_change_of_the_flow(tmp_path):
    """What is shown of Fig. 1's inconsistency: 0 if steady, else bright."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(
        rng.integers(0, 256, (120, 200, 3)).astype(np.float32), (0, 0), 3
    )
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    texture = texture.astype(np.uint8)

    def moved(steps):
        return [
            np.ascontiguousarray(texture[:100, 60 - x : 160 - x])
            for x in np.cumsum(steps)
        ]

    steady, jumping = moved([0] + 7 * [2]), moved([0] + 3 * [6, -6] + [6])
    path = draw_fig1(
        [clip_of(0, steady), clip_of(1, jumping)],
        tmp_path / 'a.png',
        moments=[3],
    )
    dark, bright = count_shares(path)
    assert dark > 10000
    assert bright > 10000


def count_shares(path):
    """Pixels in the lowest and in the upper part of the colour scale."""
    scale = np.array([colormaps['inferno'](i)[:3] for i in range(256)]) * 255
    image = cv2.imread(str(path))[..., ::-1].astype(np.float32)
    picture = image[:, image.shape[1] // 2 :].reshape(-1, 1, 3)
    distances = np.abs(picture - scale[None, ::4]).max(axis=2)
    nearest = distances.argmin(axis=1)[distances.min(axis=1) < 8] * 4
    return int((nearest < 26).sum()), int((nearest > 128).sum())


def test_cam_is_drawn_on_the_scale_of_all_clips(tmp_path):
    clips = [clip_of(None, still()), clip_of(None, still())]
    maps = np.ones((2, 8, 4, 4), np.float32)
    maps[0] = 0.5
    blended = np.zeros((2, 8, 60, 60, 3))
    path = draw_cam(
        clips, [0.1, 0.9], blended, maps, tmp_path / 'a.png', moments=[3]
    )
    assert count_colour(path, 1.0) > 10000
    assert count_colour(path, 0.5) > 10000
