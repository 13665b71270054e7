import numpy as np
import pytest

from gml_mmaction.faces import Square, crop, crop_side, padding, square_around
from gml_mmaction.faces.square import resize, scaled


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return rng.integers(1, 256, (60, 80, 3), dtype=np.uint8)


def test_crop_side_of_40x90_face_is_120():
    assert crop_side(40, 90) == 120


def test_crop_side_is_the_nearest_whole_number():
    assert crop_side(75, 76) == 151  # 150.997
    assert crop_side(76, 72) == 148  # 147.946
    assert crop_side(1, 3) == 3  # 3.464


@pytest.mark.parametrize('size', [(0, 5), (5, 0), (-3, -3)])
def test_a_face_without_area_has_no_square(size):
    with pytest.raises(ValueError, match='must be positive'):
        crop_side(*size)


@pytest.mark.parametrize(
    'box', [(10, 20, 40, 90), (-7, 3, 63, 64), (0, 0, 5, 5)]
)
def test_the_square_is_centred_on_the_face(box):
    left, top, w, h = box
    x0, y0, side = square_around(box)
    assert side == round(2 * np.sqrt(w * h))
    assert abs(x0 + side / 2 - (left + w / 2)) <= 0.5
    assert abs(y0 + side / 2 - (top + h / 2)) <= 0.5


@pytest.mark.parametrize(
    'square',
    [
        Square(20, 10, 40),  # inside
        Square(-15, 10, 40),
        Square(60, 10, 40),
        Square(20, -9, 40),
        Square(20, 35, 40),
        Square(-20, -30, 140),  # beyond all four sides
    ],
)
def test_a_region_that_leaves_the_frame_is_padded_not_shifted(frame, square):
    x0, y0, side = square
    margin = 100
    padded = np.pad(frame, [(margin, margin), (margin, margin), (0, 0)])
    reference = padded[
        margin + y0 : margin + y0 + side, margin + x0 : margin + x0 + side
    ]
    np.testing.assert_array_equal(crop(frame, square, side), reference)
    left, top, right, bottom = padding(square, width=80, height=60)
    inside = (crop(frame, square, side) > 0).all(-1)
    assert (left, right) == (
        inside.any(0).argmax(),
        inside.any(0)[::-1].argmax(),
    )
    assert (top, bottom) == (
        inside.any(1).argmax(),
        inside.any(1)[::-1].argmax(),
    )


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_shrinking_takes_the_mean_of_the_area(frame, factor):
    size = 40 // factor
    small = crop(frame, Square(12, 8, 40), size)
    blocks = frame[8:48, 12:52].reshape(size, factor, size, factor, 3)
    assert np.abs(small - blocks.mean((1, 3))).max() <= 0.5


def test_growing_invents_no_value_beyond_its_neighbours(frame):
    dark_and_bright = np.where(frame < 128, 100, 150).astype(np.uint8)
    large = crop(dark_and_bright, Square(12, 8, 40), 117)
    assert large.shape == (117, 117, 3)
    assert large.min() == 100
    assert large.max() == 150


def test_the_frame_itself_is_left_as_it_is(frame):
    before = frame.copy()
    crop(frame, Square(-5, -5, 90), 90)[:] = 0
    crop(frame, Square(5, 5, 20), 20)[:] = 0
    np.testing.assert_array_equal(frame, before)


def test_a_square_is_scaled_with_its_frame(frame):
    large = frame.repeat(3, 0).repeat(3, 1)
    for square in (Square(12, 8, 40), Square(-15, 35, 31)):
        expected = crop(frame, square, square.side).repeat(3, 0).repeat(3, 1)
        cut = crop(large, scaled(square, 3, 3), 3 * square.side)
        np.testing.assert_array_equal(cut, expected)
        assert scaled(square, 1, 1) == square
        assert scaled(scaled(square, 2, 2), 0.5, 0.5) == square


def test_a_square_in_a_stretched_frame_keeps_its_centre_and_its_area():
    x0, y0, side = scaled(Square(10, 30, 40), 4, 1)
    assert (x0 + side / 2, y0 + side / 2) == (4 * 30, 50)
    assert side == 80


def test_an_image_is_resized_as_a_whole(frame):
    small = resize(frame, 20)
    blocks = frame.reshape(20, 3, 20, 4, 3).mean((1, 3))
    assert np.abs(small - blocks).max() <= 0.5
    assert resize(frame, 200).shape == (200, 200, 3)
