"""Landmarks in crops, where dlib's models are installed."""

import importlib.util
import json

import cv2
import numpy as np
import pytest

from gml_mmaction.datasets import GenuineClipDataset
from gml_mmaction.faces import CropOptions
from gml_mmaction.faces.landmarks import PACKAGE, LandmarkFinder
from gml_mmaction.faces.square import crop, square_around
from gml_mmaction.prepared.prepare import prepare_videos
from gml_mmaction.sources.folder import list_videos
from gml_mmaction.stack import StackError

INSTALLED = importlib.util.find_spec(PACKAGE) is not None
needs_models = pytest.mark.skipif(
    not INSTALLED, reason='the extra "landmarks" is not installed'
)
EYES = {'5': (slice(2, 4), slice(0, 2)), '68': (slice(36, 42), slice(42, 48))}


def eyes(points):
    """Of the left and the right of the image, ``(2, 2)``."""
    left, right = EYES[str(len(points))]
    return np.stack([points[left].mean(axis=0), points[right].mean(axis=0)])


@pytest.fixture(scope='module')
def portrait(draw_faces):
    return draw_faces((60, 30, 220), width=400, height=300)


@needs_models
@pytest.mark.parametrize('count', ['5', '68'])
@pytest.mark.parametrize('size', [128, 224])
def test_points_move_with_the_face_in_its_crop(portrait, count, size):
    """The square is moved; the face is where it was, in the frame."""
    finder = LandmarkFinder(count)
    found = []
    for shift in (0, 6, 12):
        square = square_around((130 + shift, 75, 80, 80))
        points = finder.find(crop(portrait, square, size))
        assert points.shape == (int(count), 2)
        assert points.dtype == np.float32
        found.append(square.side * points + (square.x0, square.y0))
    np.testing.assert_allclose(eyes(found[1]), eyes(found[0]), atol=3)
    np.testing.assert_allclose(eyes(found[2]), eyes(found[0]), atol=3)
    left, right = eyes(found[0])
    assert left[0] + 20 < right[0]
    assert abs(left[1] - right[1]) < 15


@needs_models
def test_five_points_and_sixty_eight_see_the_same_eyes(portrait):
    square = square_around((130, 75, 80, 80))
    both = [
        eyes(LandmarkFinder(count).find(crop(portrait, square, 224)))
        for count in ('5', '68')
    ]
    np.testing.assert_allclose(*both, atol=0.03)


@needs_models
def test_without_a_face_the_middle_of_the_crop_counts():
    grey = np.full((100, 100, 3), 128, np.uint8)
    points = LandmarkFinder('68').find(grey)
    np.testing.assert_allclose(points.mean(axis=0), (0.5, 0.55), atol=0.1)


@needs_models
@pytest.mark.slow
def test_landmarks_are_kept_with_the_crops_and_done_again_if_lost(
    talking_head, tmp_path
):
    root, out = tmp_path / 'raw', tmp_path / 'out'
    talking_head(root / 'real/a.mp4', 20)
    talking_head(root / 'real/b.mp4', 20)

    def run():
        prepare_videos(
            list_videos(root),
            out,
            source='folder',
            root=root,
            options=CropOptions(size=64, landmarks='68'),
            workers=1,
        )
        return {
            path.relative_to(out).as_posix(): path.stat().st_mtime_ns
            for path in sorted(out.rglob('*.landmarks.npy'))
        }

    first = run()
    assert [*first] == [f'frames/real/{n}/0.landmarks.npy' for n in 'ab']
    for entry in json.loads((out / 'test.json').read_text())['data_list']:
        points = np.load(out / entry['landmarks'])
        assert points.shape == (entry['num_frames'], 68, 2)
        crops = sorted((out / entry['frame_dir']).glob('*.jpg'))
        for path, there in zip(crops, points, strict=True):
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            again = LandmarkFinder('68').find(image)
            np.testing.assert_allclose(eyes(again), eyes(there), atol=0.06)
    assert run() == first
    (out / 'frames/real/b/0.landmarks.npy').unlink()
    again = run()
    assert again.keys() == first.keys()
    changed = [name for name in first if again[name] != first[name]]
    assert changed == ['frames/real/b/0.landmarks.npy']


@needs_models
@pytest.mark.slow
@pytest.mark.parametrize('rate', [None, 12.5])
def test_boxes_have_the_landmarks_of_crops(talking_head, tmp_path, rate):
    """And the clips that are cut out get them."""
    root = tmp_path / 'raw'
    talking_head(root / 'real/a.mp4', 40)
    for store in ('crops', 'boxes'):
        options = CropOptions(landmarks='5', store=store, rate=rate)
        run = dict(source='folder', root=root, options=options, workers=1)
        prepare_videos(list_videos(root), tmp_path / store, **run)
    place = 'frames/real/a/0.landmarks.npy'
    crops, boxes = (np.load(tmp_path / s / place) for s in ('crops', 'boxes'))
    np.testing.assert_array_equal(boxes, crops)
    assert not list((tmp_path / 'boxes').rglob('*.jpg'))
    (tmp_path / 'boxes' / place).unlink()
    prepare_videos(list_videos(root), tmp_path / 'boxes', **run)
    np.testing.assert_array_equal(np.load(tmp_path / 'boxes' / place), crops)
    items = [
        GenuineClipDataset(
            'test.json',
            data_root=str(tmp_path / store),
            families=[dict(type='SelfBlend')],
            pipeline=[
                dict(type='ClipDecode'),
                dict(type='FaceCrop', size=64),
                dict(type='FormatShape', input_format='NCTHW'),
                dict(type='PackActionInputs'),
            ],
            test_mode=True,
        ).get_data_info(1)
        for store in ('crops', 'boxes')
    ]
    np.testing.assert_array_equal(items[1]['points'], items[0]['points'])
    assert items[1]['points'].shape == (8, 5, 2)


@pytest.mark.skipif(INSTALLED, reason='the extra "landmarks" is installed')
def test_without_the_extra_one_line_says_what_to_install(
    talking_head, tmp_path
):
    """Before any video is read."""
    video = talking_head(tmp_path / 'raw/real/a.mp4')
    with pytest.raises(StackError, match=r'gml-mmaction\[landmarks\]'):
        prepare_videos(
            list_videos(tmp_path / 'raw'),
            tmp_path / 'out',
            source='folder',
            root=video.parent,
            options=CropOptions(landmarks='68'),
        )
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(landmarks='81'), "'none' or '5' or '68'"),
    ],
)
def test_other_landmarks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CropOptions(**options)


def test_a_set_without_landmarks_does_not_name_them():
    """So sets of earlier versions are continued."""
    assert 'landmarks' not in CropOptions().recorded
    assert CropOptions(landmarks='5').recorded['landmarks'] == '5'
