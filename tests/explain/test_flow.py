"""Flow of images that were moved by known amounts, and its arrows."""

import cv2
import numpy as np
import pytest

from gml_mmaction.explain.flow import GAIN, draw_flow, optical_flow

YELLOW = (240, 228, 66)


@pytest.fixture(scope='module')
def texture():
    """Smooth noise, larger than the frames that are cut out of it."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3))
    smooth = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(
        np.uint8
    )


def window(texture, dx, dy):
    """A frame in which the texture has moved by (dx, dy)."""
    return np.ascontiguousarray(texture[40 - dy :, 40 - dx :][:200, :200])


@pytest.mark.parametrize('motion', [(4, 0), (-3, 2), (0, 6), (0, -5)])
def test_flow_is_the_way_that_the_image_has_moved(texture, motion):
    flow = optical_flow(window(texture, 0, 0), window(texture, *motion))
    inside = flow[20:-20, 20:-20]
    assert np.abs(inside - motion).mean() < 0.1


@pytest.mark.parametrize('motion', [(3, 0), (-3, 0), (0, 3), (0, -3)])
def test_an_arrow_ends_where_the_place_moves_to(texture, motion):
    frame = window(texture, 0, 0)
    drawn = draw_flow(frame, window(texture, *motion))
    for start in ((90, 90), (110, 70)):
        # the tip ahead is drawn, the place as far behind is not
        x, y = np.round(np.add(start, 0.8 * GAIN * np.array(motion)))
        assert np.abs(drawn[int(y), int(x)].astype(int) - YELLOW).max() < 40
        x, y = np.subtract(start, 2 * np.array(motion))
        assert (drawn[y, x] == frame[y, x]).all()


def test_where_nothing_moves_a_dot_stands_every_20_pixels(texture):
    frame = window(texture, 0, 0)
    changed = (draw_flow(frame, frame) != frame).any(axis=2)
    count, _, _, centres = cv2.connectedComponentsWithStats(
        changed.astype(np.uint8)
    )
    places = np.arange(10, 200, 20)
    expected = [(x, y) for y in places for x in places]
    assert count - 1 == len(expected)
    assert sorted(np.round(centres[1:]).tolist()) == sorted(
        [float(x), float(y)] for x, y in expected
    )


def test_the_frame_itself_stays_as_it_was(texture):
    frame = window(texture, 0, 0)
    before = frame.copy()
    draw_flow(frame, window(texture, 5, 5))
    assert (frame == before).all()


def test_a_zoomed_picture_shows_the_same_motion_larger(texture):
    frame, later = window(texture, 0, 0), window(texture, 5, 0)
    drawn = draw_flow(frame, later, zoom=3)
    assert drawn.shape == (600, 600, 3)
    x, y = 3 * (90 + 0.8 * GAIN * 5), 3 * 90
    assert np.abs(drawn[y, round(x)].astype(int) - YELLOW).max() < 40
