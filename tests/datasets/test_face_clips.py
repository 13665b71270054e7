"""Facts about clips of face crops and their augmentation and sampling."""

import collections
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.dataset import (
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from torch.utils.data import DataLoader

from gml_mmaction import host
from gml_mmaction.datasets import BalancedSampler, ClipAugment, FaceClipDataset
from gml_mmaction.datasets.samplers import DrawnIndex
from gml_mmaction.errors import GMLError
from gml_mmaction.video import VideoError

KEYS = ('video_id', 'track', 'clip_index', 'method')
PIPELINE = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=16),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=KEYS),
]
# Saved frames of video and track; the first video has two faces.
LENGTHS = {('a', 0): 20, ('a', 1): 9, ('b', 0): 8, ('c', 0): 50}


def write(folder, entries, **metainfo):
    annotation = dict(
        metainfo=dict(source='x', stride=2, **metainfo), data_list=entries
    )
    (folder / 'test.json').write_text(json.dumps(annotation))
    return folder


def entry_of(name, track):
    return dict(
        video_id=name,
        track=track,
        num_frames=LENGTHS[name, track],
        label=int(name != 'a'),
        method='real' if name == 'a' else 'Deepfakes',
    )


@pytest.fixture
def crops(tmp_path):
    """Three videos; the gray level of saved frame i is 4 * i."""
    entries = []
    for (name, track), length in LENGTHS.items():
        folder = tmp_path / f'frames/{name}/{track}'
        folder.mkdir(parents=True)
        for i in range(length):
            image = np.full((16, 16, 3), 4 * i, np.uint8)
            cv2.imwrite(str(folder / f'{i:06}.jpg'), image)
        frame_dir = f'frames/{name}/{track}'
        entries.append(dict(entry_of(name, track), frame_dir=frame_dir))
    return write(
        tmp_path,
        entries,
        store='crops',
        filename_tmpl='{:06}.jpg',
        manifest='0a1b',
    )


@pytest.fixture
def boxes(tmp_path):
    """The same tracks in files that are there, though no videos."""
    entries = []
    for name, track in LENGTHS:
        path = f'youtube/{name}.mp4'
        (tmp_path / 'videos/youtube').mkdir(parents=True, exist_ok=True)
        (tmp_path / 'videos' / path).touch()
        box = dict(video=path, member='', start=7, square=[0, 0, 90])
        entries.append(dict(entry_of(name, track), **box))
    out = tmp_path / 'prepared'
    out.mkdir()
    return write(out, entries, store='boxes', root='../videos')


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
    samples = [item['data_samples'] for item in items]
    found = [(s.video_id, s.track, s.clip_index) for s in samples]
    assert found == [
        (*name, k) for name, n in LENGTHS.items() for k in range(n // 8)
    ]
    for item in items:
        start = 8 * item['data_samples'].clip_index
        assert frame_numbers(item) == list(range(start, start + 8))
        assert item['inputs'].shape == (1, 3, 8, 16, 16)


@pytest.mark.parametrize('num_clips', [None, 1, 2])
def test_both_stores_have_the_same_clips(crops, boxes, num_clips):
    listed = []
    for root in (crops, boxes):
        dataset = build(root, num_clips=num_clips)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        listed.append(
            [[*map(i.get, KEYS), i['label'], *i['frame_inds']] for i in infos]
        )
    assert listed[0] == listed[1]
    assert (
        len(listed[0])
        == {None: 2 + 1 + 1 + 6, 1: 4, 2: 2 + 1 + 1 + 2}[num_clips]
    )


def test_label_and_method_travel_with_a_clip(crops):
    for item in build(crops):
        sample = item['data_samples']
        assert sample.gt_label.item() == int(sample.video_id != 'a')
        assert sample.method == ('Deepfakes' if sample.gt_label else 'real')


def test_num_clips_spreads_over_the_track(crops):
    clips = [
        i['data_samples'].clip_index
        for i in build(crops, num_clips=2)
        if i['data_samples'].video_id == 'c'
    ]
    assert clips == [1, 4]  # of 0 to 5


def test_training_draws_every_start_of_eight_consecutive_frames(crops):
    np.random.seed(0)
    dataset = build(crops, test_mode=False)
    assert len(dataset) == len(LENGTHS)
    starts = collections.Counter()
    for _ in range(300):
        inds = dataset.get_data_info(0)['frame_inds']
        assert np.array_equal(np.diff(inds), np.ones(7))
        starts[int(inds[0])] += 1
    assert set(starts) == set(range(20 - 8 + 1))


def test_missing_crops_are_named_at_the_start(crops):
    (crops / 'frames/b/0/000007.jpg').unlink()
    with pytest.raises(
        FileNotFoundError, match=r'b/0 \(7 of 8 frames\).*again'
    ):
        build(crops)


def test_a_missing_annotation_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'test\.json.*gml prepare'):
        build(tmp_path)


def test_tracks_shorter_than_a_clip_are_left_out(crops):
    assert {i['data_samples'].video_id for i in build(crops, clip_len=16)} == {
        'a',
        'c',
    }
    with pytest.raises(ValueError, match='all 4 tracks are shorter'):
        build(crops, clip_len=64)


def test_missing_videos_are_named_with_their_root_and_the_remedy(boxes):
    (boxes / '../videos/youtube/a.mp4').unlink()
    expected = r'1 of 3 videos .*videos: youtube.a\.mp4\. .*video_root'
    with pytest.raises(FileNotFoundError, match=expected):
        build(boxes)


def test_videos_may_be_moved(boxes, tmp_path):
    moved = tmp_path / 'elsewhere/ffpp'
    moved.parent.mkdir()
    (tmp_path / 'videos').rename(moved)
    info = build(boxes, video_root=str(moved)).get_data_info(0)
    assert Path(info['video']) == moved / 'youtube/a.mp4'
    assert info['start'] == 7
    assert info['square'] == [0, 0, 90]


def test_an_unknown_store_is_named(crops):
    write(crops, [], store='lmdb')
    with pytest.raises(ValueError, match='lmdb'):
        build(crops)


def test_annotations_of_before_there_were_tracks_are_saved_crops(crops):
    entry = entry_of('b', 0)
    del entry['track']
    write(crops, [dict(entry, frame_dir='frames/b/0')])
    (item,) = build(crops)
    assert frame_numbers(item) == [*range(8)]
    assert item['data_samples'].track == 0


def test_source_and_manifest_are_there_for_the_metric(crops):
    """The host gives a dataset's metainfo to its metrics."""
    metainfo = build(crops).metainfo
    assert (metainfo['source'], metainfo['manifest']) == ('x', '0a1b')
    assert metainfo['classes'] == ('real', 'fake')


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
        assert set(drawn) == {0, 1, 2, 3}


def test_balanced_sampling_of_one_class_says_so(crops):
    dataset = build(crops, test_mode=False, indices=[2, 3])
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


@pytest.mark.parametrize('text', ['{', '[]', '{"metainfo": {}}'])
def test_an_annotation_that_is_none_is_named_with_the_remedy(tmp_path, text):
    (tmp_path / 'test.json').write_text(text)
    with pytest.raises(
        GMLError, match=r'json is not a valid annotation.*again'
    ):
        FaceClipDataset(ann_file='test.json', data_root=str(tmp_path))


def test_an_entry_whose_frames_are_not_all_there_is_named_by_its_number(
    crops,
):
    path = crops / 'test.json'
    content = json.loads(path.read_text())
    content['data_list'][1]['frames'] = [0, 2, 5]
    bad = crops / 'bad.json'
    bad.write_text(json.dumps(content))
    number = content['data_list'][1]['num_frames']
    assert number != 1
    with pytest.raises(
        GMLError,
        match=rf"list\[1\]: 'frames' are not the {number} of the track",
    ):
        FaceClipDataset(ann_file='bad.json', data_root=str(crops))


def test_a_video_that_is_none_is_named_by_a_loaders_process_too(boxes):
    loader = DataLoader(build(boxes), num_workers=1, batch_size=None)
    with pytest.raises(VideoError, match=r'empty: .*a\.mp4'):
        next(iter(loader))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('wrap', 'index'),
    [
        (lambda inner: inner, 3),
        (lambda inner: ConcatDataset([inner, inner]), 4 + 3),
        (lambda inner: RepeatDataset(inner, 3), 4 + 3),
        (lambda inner: ClassBalancedDataset(inner, 1e-3), 3),
    ],
    ids=['plain', 'concat', 'repeat', 'balanced'],
)
def test_a_numbered_draw_is_the_same_within_every_wrapper(crops, wrap, index):
    host.prepare_run()  # MMEngine's wrappers seed
    inner = build(crops, test_mode=False)  # item 3 has 43 starts
    expected = [frame_numbers(inner[DrawnIndex(3, 5, n)])[0] for n in range(9)]
    assert len(set(expected)) > 4
    dataset = wrap(inner)
    for seed in (0, 1):  # whatever was drawn before
        np.random.seed(seed)
        draws = [dataset[DrawnIndex(index, 5, n)] for n in range(9)]
        assert [frame_numbers(item)[0] for item in draws] == expected
