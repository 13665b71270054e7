"""Facts about reading clips out of saved crops and out of videos."""

import copy
import json
import pickle

import cv2
import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.runner import Runner

from gml_mmaction.datasets import (
    ClipDecode,
    DistortClip,
    FaceClipDataset,
    FaceCrop,
    RandomDistortClip,
)
from gml_mmaction.errors import DataError
from gml_mmaction.faces import CropOptions
from gml_mmaction.faces.square import Square, crop
from gml_mmaction.prepared.prepare import prepare_videos
from gml_mmaction.sources import Video
from gml_mmaction.video import VideoError, VideoReader
from gml_mmaction.video.distortions import (
    distort_frame,
    distort_frames,
    parse_distortions,
    seed_of,
)
from gml_mmaction.video.writer import write_h264

SIZE, STRIDE, LENGTH = 64, 2, 48
WIDTH, HEIGHT = 320, 272
# As the annotation of the boxes store has them, but for the file.
TRACKS = [
    dict(video_id='real/a', start=3, num_frames=23, square=[60, 30, 150]),
    dict(video_id='fake/b', start=0, num_frames=16, square=[-31, 140, 161]),
    dict(
        video_id='fake/b', track=1, start=33, num_frames=8, square=[90, 9, 40]
    ),
    dict(
        video_id='real/c',
        start=0,
        num_frames=24,
        square=[60, 30, 150],
        distortions='GNC:3 BW:2 GB:1',
    ),
]
PIPELINE = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=SIZE),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(
        type='PackActionInputs',
        meta_keys=('video_id', 'track', 'clip_index', 'method'),
    ),
]


@pytest.fixture(scope='module')
def tree(tmp_path_factory, draw_faces):
    """Videos as x264 makes them by default, B-frames included."""
    av = pytest.importorskip('av')
    root = tmp_path_factory.mktemp('videos')
    for i, video_id in enumerate(('real/a', 'fake/b', 'real/c')):
        path = root / f'{video_id}.mp4'
        path.parent.mkdir(exist_ok=True)
        frames = (
            draw_faces(
                (30 + n + 9 * i, 20 + n // 2, 200),
                (220 - n, 90, 90),
                width=WIDTH,
                height=HEIGHT,
            )
            for n in range(LENGTH)
        )
        write_h264(str(path), frames, fps=25, crf=23)
        with av.open(str(path)) as video:
            kinds = {int(frame.pict_type) for frame in video.decode(video=0)}
        assert kinds == {1, 2, 3}  # I, P, B
    return root


def entries():
    for track in TRACKS:
        label = int(track['video_id'].startswith('fake'))
        method = 'Deepfakes' if label else 'real'
        yield {'track': 0, 'label': label, 'method': method, **track}


def write_annotation(out, data, **metainfo):
    annotation = dict(
        metainfo=dict(source='x', stride=STRIDE, size=SIZE, **metainfo),
        data_list=data,
    )
    (out / 'test.json').write_text(json.dumps(annotation))


@pytest.fixture(scope='module')
def boxes(tree, tmp_path_factory):
    """The boxes store of the videos, its annotation beside them."""
    out = tmp_path_factory.mktemp('prepared')
    data = [
        dict(entry, video=f'{entry["video_id"]}.mp4', member='')
        for entry in entries()
    ]
    write_annotation(out, data, store='boxes', root=f'../{tree.name}')
    return out


def decoded_in_order(path, track):
    """All frames of a video, one by one, with the track's distortions."""
    with VideoReader(path) as reader:
        frames = distort_frames(
            reader.frames(),
            parse_distortions(track.get('distortions', '')),
            seed=seed_of(track['video_id']),
            fps=25,
        )
        return list(frames)


@pytest.fixture(scope='module', params=['png', 'jpg'])
def crops(request, tree, tmp_path_factory):
    """The crops store of the same videos, cut while reading in order."""
    out = tmp_path_factory.mktemp(request.param)
    data = []
    for entry in entries():
        name = f'frames/{entry["video_id"]}/{entry["track"]}'
        (out / name).mkdir(parents=True)
        frames = decoded_in_order(tree / f'{entry["video_id"]}.mp4', entry)
        start, count = entry.pop('start'), entry['num_frames']
        for i in range(count):
            image = crop(
                frames[start + STRIDE * i], Square(*entry['square']), SIZE
            )
            path = out / f'{name}/{i:06}.{request.param}'
            assert cv2.imwrite(str(path), image[..., ::-1])
        del entry['square']
        entry.pop('distortions', None)
        data.append(dict(entry, frame_dir=name))
    write_annotation(
        out, data, store='crops', filename_tmpl=f'{{:06}}.{request.param}'
    )
    return out


def build(root, *inserted, **kwargs):
    decode, *rest = PIPELINE
    return FaceClipDataset(
        'test.json',
        data_root=str(root),
        test_mode=True,
        pipeline=[decode, *inserted, *rest],
        **kwargs,
    )


def psnr(a, b):
    error = (a.float() - b.float()).square().mean().item()
    return 10 * np.log10(255**2 / error)


def test_both_stores_give_the_same_pixels(boxes, crops):
    """Exactly with PNG; with JPEG (quality 95) to within its own error, dB."""
    from_boxes, from_crops = build(boxes), build(crops)
    lossless = from_crops.metainfo['filename_tmpl'].endswith('png')
    assert len(from_boxes) == len(from_crops) == 2 + 2 + 1 + 3
    for a, b in zip(from_boxes, from_crops):
        assert a['inputs'].shape == (1, 3, 8, SIZE, SIZE)
        for key in ('video_id', 'track', 'clip_index', 'method'):
            assert a['data_samples'].get(key) == b['data_samples'].get(key)
        assert a['data_samples'].gt_label == b['data_samples'].gt_label
        if lossless:
            assert np.array_equal(a['inputs'], b['inputs'])
        else:
            # noise has colour in every pixel, JPEG in every fourth
            noisy = a['data_samples'].video_id == 'real/c'
            assert psnr(a['inputs'], b['inputs']) > (32 if noisy else 38)


def test_clips_of_a_video_may_be_read_in_any_order(boxes):
    dataset = build(boxes)
    in_order = [item['inputs'] for item in dataset]
    for i in (7, 0, 1, 0, 4, 3, 6, 5, 2):
        assert np.array_equal(dataset[i]['inputs'], in_order[i])


def test_a_clip_begins_at_its_source_frame(boxes):
    """Track 1 starts at frame 33; every second frame is one of a clip."""
    dataset = build(boxes)
    info = dataset.get_data_info(4)
    assert (info['video_id'], info['track']) == ('fake/b', 1)
    result = ClipDecode()(info)
    assert result['source_inds'].tolist() == [*range(33, 48, 2)]
    frames = decoded_in_order(info['video'], {'video_id': 'fake/b'})
    assert np.array_equal(result['imgs'], frames[33:48:2])
    assert result['img_shape'] == (HEIGHT, WIDTH)


def test_distortions_of_boxes_are_those_of_full_frames(boxes):
    """Blur reaches 2 * 10 pixels of the frame, not of the crop."""
    before = build(boxes, dict(type='DistortClip', distortions='GB:5'))
    info = before.get_data_info(2)
    frames = decoded_in_order(info['video'], {'video_id': 'fake/b'})[0:16:2]
    square = Square(*info['square'])
    blurred = [cv2.GaussianBlur(frame, (21, 21), 21 / 6) for frame in frames]
    expected = [crop(frame, square, SIZE) for frame in blurred]
    found = before[2]['inputs'][0].permute(1, 2, 3, 0)
    assert np.array_equal(found, expected)

    small = [crop(frame, square, SIZE) for frame in frames]
    after = DistortClip('GB:5')(
        dict(imgs=small, source_inds=range(0, 16, 2), video_id='fake/b')
    )
    assert np.abs(np.subtract(after['imgs'], expected, dtype=float)).max() > 40


def test_distorting_after_the_crop_is_refused(boxes):
    dataset = build(boxes)
    transforms = dataset.pipeline.transforms
    transforms.insert(2, DistortClip('GB:1'))
    with pytest.raises(ValueError, match='before FaceCrop'):
        dataset[0]


def noise_of(transform, **entry):
    gray = [np.full((40, 40, 3), 128, np.uint8)] * 4
    results = dict(imgs=gray, source_inds=[5, 7, 9, 11], video_id='v', **entry)
    return np.array(transform(results)['imgs']).astype(int) - 128


def test_noise_is_that_of_data_prepared_with_it():
    gray = np.full((40, 40, 3), 128, np.uint8)
    prepared = distort_frame(gray, [('GNC', 3)], seed=seed_of('v'), index=7)
    found = noise_of(DistortClip('GNC:3'))
    assert np.array_equal(found[1], prepared.astype(int) - 128)


def test_noise_upon_noise_is_new_noise():
    """The same noise twice would be one noise of twice the height."""
    transform = DistortClip(['GNC:3'])
    first = noise_of(transform).ravel()
    second = noise_of(transform, distortions='GNC:3').ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_blocks_on_saved_crops_are_refused(crops):
    """DeeperForensics' program adds none below 256 pixels."""
    dataset = build(crops, dict(type='DistortClip', distortions='BW:5'))
    with pytest.raises(ValueError, match='BW does nothing'):
        dataset[0]


def test_recompression_of_clips_is_refused():
    with pytest.raises(ValueError, match=r'whole files.*gml distort'):
        DistortClip('GNC:3 VC:1')
    with pytest.raises(ValueError, match='VC'):
        RandomDistortClip(types=['VC'])


def test_random_distortion_holds_for_the_whole_clip():
    """Contrast is a look-up table: its level shows in every pixel."""
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (8, 20, 20, 3), dtype=np.uint8)
    table = (0.85, 0.725, 0.6, 0.475, 0.35)
    transform = RandomDistortClip(p=0.75, types=['CC'])
    np.random.seed(0)
    drawn = np.zeros(6)
    for _ in range(200):
        entry = dict(imgs=list(clip), source_inds=range(8), video_id='v')
        imgs = transform(entry)['imgs']
        fits = [
            np.array_equal(imgs, np.floor(np.float32(factor) * clip))
            for factor in (1, *table)
        ]
        assert sum(fits) == 1
        drawn += fits
    assert 0.15 < drawn[0] / 200 < 0.35
    assert drawn.min() > 10


def test_random_distortion_follows_numpy_global_seed():
    transform = RandomDistortClip(p=1, types=['GNC'])
    noises = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        noises.append([noise_of(transform), noise_of(transform)])
    assert np.array_equal(noises[0], noises[1])
    assert not np.array_equal(noises[0], noises[2])
    assert not np.array_equal(*noises[0])


def test_a_random_distortion_has_a_probability_and_a_choice():
    with pytest.raises(ValueError, match=r'p=1\.5'):
        RandomDistortClip(p=1.5)
    with pytest.raises(ValueError, match='at least one'):
        RandomDistortClip(levels=[])
    with pytest.raises(ValueError, match='CS:6'):
        RandomDistortClip(types=['CS'], levels=[6])


def test_saved_crops_of_the_right_size_are_left_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    imgs = FaceCrop(size=64)(dict(imgs=[image]))['imgs']
    assert np.array_equal(imgs, [image])


def test_saved_crops_of_another_size_are_averaged_by_area():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    imgs = FaceCrop(size=16)(dict(imgs=[image]))['imgs']
    mean = image.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(imgs - mean).max() <= 0.5
    results = FaceCrop(size=80)(dict(imgs=[image]))
    assert results['imgs'][0].shape == (80, 80, 3)
    assert results['img_shape'] == (80, 80)


def test_a_crop_that_is_no_image_is_named(tmp_path):
    (tmp_path / '000001.png').write_bytes(b'no image')
    for index in (0, 1):
        kind = (FileNotFoundError, DataError)[index]
        with pytest.raises(kind, match=f'00000{index}.*again'):
            ClipDecode()(
                dict(
                    frame_dir=str(tmp_path),
                    filename_tmpl='{:06}.png',
                    frame_inds=[index],
                    start=0,
                    stride=2,
                )
            )


def test_a_video_that_cannot_be_read_is_named(tmp_path, boxes):
    info = build(boxes).get_data_info(0)
    decode = ClipDecode()
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(b'no video')
    with pytest.raises(VideoError, match=r'broken\.mp4'):
        decode(dict(info, video=str(broken)))
    with pytest.raises(VideoError, match=r'a\.mp4, frames \[1003, '):
        decode(dict(info, frame_inds=500 + np.arange(8)))
    assert len(decode(info)['imgs']) == 8


def test_open_videos_stay_behind_when_a_dataset_is_copied(boxes):
    dataset = build(boxes)
    first = dataset[0]['inputs']
    for twin in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert np.array_equal(twin[0]['inputs'], first)
    assert np.array_equal(dataset[1]['inputs'], build(boxes)[1]['inputs'])


@pytest.mark.slow
def test_worker_processes_read_what_one_process_reads(boxes):
    """Even where this process has a video open when they are forked."""
    dataset = build(boxes)
    expected = [item['inputs'] for item in dataset]
    loader = Runner.build_dataloader(
        dict(
            batch_size=1,
            num_workers=2,
            multiprocessing_context='fork',
            persistent_workers=True,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        seed=0,
    )
    loader.dataset[0]  # whose video the second worker would read on
    for _ in range(2):
        read = [clip for batch in loader for clip in batch['inputs']]
        assert len(read) == len(expected)
        for a, b in zip(read, expected):
            assert np.array_equal(a, b)
    assert np.array_equal(loader.dataset[1]['inputs'], expected[1])


def test_the_registries_build_a_pipeline_of_them(boxes):
    for name in ('ClipDecode', 'DistortClip', 'RandomDistortClip', 'FaceCrop'):
        assert TRANSFORMS.get(name).__module__.startswith('gml_mmaction.')
    dataset = DATASETS.build(
        dict(
            type='FaceClipDataset',
            ann_file='test.json',
            data_root=str(boxes),
            pipeline=[
                dict(type='ClipDecode'),
                dict(type='RandomDistortClip', p=1),
                *PIPELINE[1:],
            ],
        )
    )
    np.random.seed(0)
    assert dataset[0]['inputs'].shape == (1, 3, 8, SIZE, SIZE)


@pytest.mark.slow
def test_what_preparation_writes_gives_the_same_pixels(tree, tmp_path):
    """A found face, a distorted video, and a folder of cropped images."""
    pytest.importorskip('dlib')
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        image = rng.integers(0, 256, (50 + i, 70, 3), np.uint8)
        assert cv2.imwrite(str(folder / f'{i}.png'), image)
    distorted = parse_distortions('GNC:2 BW:5')
    videos = [
        Video('a', tree / 'real/a.mp4', 0, 'real', 'test'),
        Video(
            'c', tree / 'real/c.mp4', 0, 'real', 'test', distortions=distorted
        ),
        Video('images', folder, 1, 'fake', 'test', cropped=True),
    ]
    read = {}
    for store in ('boxes', 'crops'):
        out = tmp_path / store
        options = CropOptions(size=SIZE, store=store, image='png')
        prepare_videos(videos, out, source='x', root=tree, options=options)
        read[store] = list(build(out))
    assert len(read['boxes']) == len(read['crops']) == 3 + 3 + 1
    for a, b in zip(read['boxes'], read['crops']):
        assert a['data_samples'].video_id == b['data_samples'].video_id
        assert np.array_equal(a['inputs'], b['inputs'])
