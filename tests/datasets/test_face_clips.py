"""Facts about clips of face crops and their augmentation and sampling."""

import collections
import itertools
import json

import cv2
import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS

from gml_mmaction.datasets import (
    BalancedSampler,
    ClipAugment,
    FaceClipDataset,
)

PIPELINE = [
    dict(type='RawFrameDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(
        type='PackActionInputs', meta_keys=('video_id', 'clip_index', 'method')
    ),
]
LENGTHS = dict(a=20, b=8, c=50)


@pytest.fixture
def crops(tmp_path):
    """Three videos; the gray level of saved frame i is 4 * i."""
    entries = []
    for name, length in LENGTHS.items():
        folder = tmp_path / 'frames' / name
        folder.mkdir(parents=True)
        for i in range(length):
            image = np.full((16, 16, 3), 4 * i, np.uint8)
            cv2.imwrite(str(folder / f'{i:06}.jpg'), image)
        entries.append(
            dict(
                video_id=name,
                frame_dir=f'frames/{name}',
                num_frames=length,
                label=int(name != 'a'),
                method='real' if name == 'a' else 'Deepfakes',
            )
        )
    annotation = dict(
        metainfo=dict(source='x', filename_tmpl='{:06}.jpg'),
        data_list=entries,
    )
    (tmp_path / 'test.json').write_text(json.dumps(annotation))
    return tmp_path


def build(root, **kwargs):
    return FaceClipDataset(
        'test.json',
        data_root=str(root),
        **{'pipeline': PIPELINE, 'test_mode': True, **kwargs},
    )


def frame_numbers(item):
    levels = item['inputs'].float().mean(dim=(0, 1, 3, 4))
    return (levels / 4).round().int().tolist()


def test_testing_yields_all_clips_that_do_not_overlap(crops):
    items = list(build(crops))
    found = [
        (s.video_id, s.clip_index) for s in (i['data_samples'] for i in items)
    ]
    expected = [
        (name, k) for name, n in LENGTHS.items() for k in range(n // 8)
    ]
    assert found == expected
    for item in items:
        start = 8 * item['data_samples'].clip_index
        assert frame_numbers(item) == list(range(start, start + 8))
        assert item['inputs'].shape == (1, 3, 8, 16, 16)


def test_label_and_method_travel_with_a_clip(crops):
    for item in build(crops):
        sample = item['data_samples']
        assert sample.gt_label.item() == int(sample.video_id != 'a')
        assert sample.method == ('Deepfakes' if sample.gt_label else 'real')


def test_num_clips_spreads_over_the_video(crops):
    clips = [
        i['data_samples'].clip_index
        for i in build(crops, num_clips=2)
        if i['data_samples'].video_id == 'c'
    ]
    assert clips == [1, 4]  # of 0 to 5


def test_training_draws_every_start_of_eight_consecutive_frames(crops):
    np.random.seed(0)
    dataset = build(crops, test_mode=False)
    assert len(dataset) == 3
    starts = collections.Counter()
    for _ in range(300):
        inds = dataset.get_data_info(0)['frame_inds']
        assert np.array_equal(np.diff(inds), np.ones(7))
        starts[int(inds[0])] += 1
    assert set(starts) == set(range(20 - 8 + 1))


def test_missing_crops_are_named_at_the_start(crops):
    (crops / 'frames/b/000007.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'b \(7 of 8 frames\).*again'):
        build(crops)


def test_a_missing_annotation_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'test\.json.*prepare_data'):
        build(tmp_path)


def test_videos_shorter_than_a_clip_are_left_out(crops):
    assert {i['data_samples'].video_id for i in build(crops, clip_len=16)} == {
        'a',
        'c',
    }
    with pytest.raises(ValueError, match='none of 3 videos'):
        build(crops, clip_len=64)


def test_the_registry_builds_it(crops):
    dataset = DATASETS.build(
        dict(
            type='FaceClipDataset',
            ann_file='test.json',
            data_root=str(crops),
            pipeline=PIPELINE,
        )
    )
    assert dataset.metainfo['classes'] == ('real', 'fake')


@pytest.mark.parametrize('world_size', [1, 2])
def test_balanced_sampling_gives_each_process_half_real_batches(
    crops, world_size
):
    dataset = build(crops, test_mode=False)
    for rank in range(world_size):
        sampler = BalancedSampler(dataset, seed=0)
        sampler.rank, sampler.world_size = rank, world_size
        drawn = list(itertools.islice(sampler, 12))
        labels = [dataset.get_data_info(i)['label'] for i in drawn]
        assert labels == [0, 1] * 6
        assert set(drawn) == {0, 1, 2}


def test_balanced_sampling_of_one_class_says_so(crops):
    dataset = build(crops, test_mode=False, indices=[1, 2])
    with pytest.raises(ValueError, match='no real video'):
        next(iter(BalancedSampler(dataset, seed=0)))


def noise_clip():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (33, 33, 3), dtype=np.uint8)
    return [image] * 8


def test_augmentation_is_the_same_for_every_frame():
    augment = TRANSFORMS.build(
        dict(
            type='ClipAugment',
            gamma=0.5,
            colour=0.3,
            rotation=20,
            zoom=0.2,
        )
    )
    np.random.seed(0)
    clip = noise_clip()
    imgs = augment(dict(imgs=clip))['imgs']
    assert not np.array_equal(imgs[0], clip[0])
    assert all(np.array_equal(img, imgs[0]) for img in imgs)


def test_augmentation_of_no_strength_changes_nothing():
    clip = noise_clip()
    imgs = ClipAugment()(dict(imgs=clip))['imgs']
    assert np.array_equal(imgs, clip)


def test_tone_is_gamma_then_gain():
    augment = ClipAugment(gamma=0.5, colour=0.3)
    np.random.seed(3)
    gamma = np.exp(np.random.uniform(-0.5, 0.5))
    gain = np.random.uniform(0.7, 1.3, 3)
    clip = noise_clip()
    expected = np.clip(255 * (clip[0] / 255) ** gamma * gain, 0, 255)
    np.random.seed(3)
    imgs = augment(dict(imgs=clip))['imgs']
    np.testing.assert_allclose(imgs[0], expected, atol=1)
