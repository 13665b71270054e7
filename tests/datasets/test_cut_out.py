"""Facts about CutOut."""

import numpy as np
import pytest

from gml_mmaction.datasets import CutOut


def hidden(size, seed, side=20):
    """Where a clip of noise was hidden: ``(T, side, side)``, and the clip."""
    rng = np.random.default_rng(0)
    clip = list(rng.integers(0, 100, (4, side, side, 3)).astype(np.uint8))
    before = [img.copy() for img in clip]
    np.random.seed(seed)
    after = CutOut(size, fill=(200, 201, 202))(dict(imgs=clip))['imgs']
    for img, old in zip(clip, before):
        np.testing.assert_array_equal(img, old)  # the reader's own pixels
    mask = np.stack(after)[..., 0] == 200
    for img, old, place in zip(after, before, mask):
        np.testing.assert_array_equal(img[~place], old[~place])
        assert (img[place] == (200, 201, 202)).all()
    return mask


@pytest.mark.parametrize('seed', range(20))
def test_one_place_is_hidden_in_all_frames(seed):
    mask = hidden(6, seed)
    assert mask[0].any()
    assert (mask == mask[0]).all()
    rows, columns = (np.flatnonzero(mask[0].any(axis=i)) for i in (1, 0))
    assert mask[0].sum() == len(rows) * len(columns)  # a rectangle
    for found in (rows, columns):
        assert len(found) == 6 or found[0] == 0 or found[-1] == 19
        assert 3 <= len(found) <= 6
        assert (np.diff(found) == 1).all()


def test_the_place_is_drawn_for_each_clip():
    assert len({hidden(6, seed).tobytes() for seed in range(20)}) > 15


def test_a_size_below_1_is_refused():
    with pytest.raises(ValueError, match='size=0'):
        CutOut(0)
