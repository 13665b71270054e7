"""Facts about pairs of a genuine clip and its fake, as training reads them."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from gml_mmaction.datasets.samplers import DrawnIndex, seeded
from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.evaluation.forgery_metric import ForgeryMetric
from gml_mmaction.video.distortions import compress

SIDE = 64
FAMILIES = (
    'SelfBlend',
    'MotionSelfBlend',
    'PartMotion',
    'DetailLoss',
    'FaceRepeat',
    'FaceDropout',
)
NOISE = dict(
    type='RandomEncode', p_size=0, p_noise=1, p_jpeg=0, p_h264=0, noise=9
)
BEHIND = [
    dict(type='Flip', flip_ratio=0.5),
    dict(type='ClipAugment', gamma=0.4, colour=0.2),
    NOISE,
]


@pytest.fixture(scope='module')
def crops(tmp_path_factory):
    """Three genuine videos of 20 frames that move, and a fake one."""
    root = tmp_path_factory.mktemp('crops')
    rng = np.random.default_rng(0)
    entries = []
    for label, name in ((0, 'a'), (0, 'b'), (1, 'forged'), (0, 'c')):
        folder = root / 'frames' / name / '0'
        folder.mkdir(parents=True)
        frame = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
        frame = cv2.GaussianBlur(frame, (0, 0), 2)
        frame = cv2.normalize(frame, None, 0, 255, cv2.NORM_MINMAX)
        for i in range(20):
            path = str(folder / f'{i:06}.png')
            assert cv2.imwrite(path, np.roll(frame, 2 * i, axis=1))
        entries.append(
            dict(
                video_id=name,
                track=0,
                num_frames=20,
                label=label,
                method='Deepfakes' if label else 'real',
                frame_dir=f'frames/{name}/0',
            )
        )
    meta = dict(store='crops', stride=2, filename_tmpl='{:06}.png', root='.')
    for name, own in (('all', entries), ('forged', entries[2:3])):
        content = dict(metainfo=meta, data_list=own)
        (root / f'{name}.json').write_text(json.dumps(content))
    return root


def build(root, behind=(), families=FAMILIES, **changes):
    return DATASETS.build(
        dict(
            type='GenuineClipDataset',
            data_root=str(root),
            pipeline=[
                dict(type='ClipDecode'),
                dict(type='FaceCrop', size=SIDE),
                *behind,
                dict(type='FormatShape', input_format='NCTHW'),
                dict(
                    type='PackActionInputs',
                    meta_keys=('video_id', 'track', 'clip_index', 'method'),
                ),
            ],
            families=[dict(type=name) for name in families],
            **{'ann_file': 'all.json', **changes},
        )
    )


def clip_of(item):
    return item['inputs'][0].permute(1, 2, 3, 0).numpy()


def pairs_of(dataset, count):
    return [
        tuple(
            dataset[DrawnIndex(2 * (k % 3) + member, 7, k)]
            for member in (0, 1)
        )
        for k in range(count)
    ]


def test_a_genuine_clip_is_followed_by_its_fake(crops):
    dataset = build(crops)
    assert len(dataset) == 2 * 3
    assert [dataset.get_data_info(i)['label'] for i in range(6)] == 3 * [0, 1]
    for real, fake in pairs_of(dataset, 12):
        labels = [int(s['data_samples'].gt_label) for s in (real, fake)]
        assert labels == [0, 1]
        names = [s['data_samples'].video_id for s in (real, fake)]
        assert names[1] == names[0].replace('~', '+')
        assert names[1].split('+')[1] == fake['data_samples'].method
        assert fake['data_samples'].method in FAMILIES
        assert real['data_samples'].method == 'real'
        assert not torch.equal(real['inputs'], fake['inputs'])


@pytest.mark.parametrize('family', FAMILIES)
def test_a_common_augmentation_leaves_the_rest_of_both_equal(crops, family):
    """Mirrored, recoloured and noisy, both the same; so far from the face
    no pixel differs, though each differs from the clip that was read.
    """
    dataset = build(crops, BEHIND, [family])
    plain = build(crops, (), [family])
    changed = 0
    for k, (real, fake) in enumerate(pairs_of(dataset, 3)):
        real, fake = clip_of(real), clip_of(fake)
        differ = (real != fake).any(axis=-1)
        assert differ.any()
        for edge in (differ[:, :10], differ[:, -6:], differ[:, :, :12]):
            assert not edge.any()
        assert not differ[:, :, -12:].any()
        before = clip_of(plain[DrawnIndex(2 * (k % 3), 7, k)])
        changed += (before != real).mean() > 0.5
    assert changed == 3


def test_codecs_are_the_same_for_both(crops):
    """Where no block of JPEG holds a part of the mask, no pixel differs."""
    jpeg = dict(type='RandomEncode', p_size=0, p_noise=0, p_h264=0, p_jpeg=1)
    plain = pairs_of(build(crops, redraws=0), 3)
    made = pairs_of(build(crops, [jpeg], redraws=0), 3)
    for before, after in zip(plain, made, strict=True):
        masks, differ = (
            (clip_of(real) != clip_of(fake)).any(axis=-1)
            for real, fake in (before, after)
        )
        assert differ.any()
        # of 16 pixels with their colour, which is smoothed over the next
        blocks = masks.reshape(8, 4, 16, 4, 16).any(axis=(2, 4))
        touched = blocks.repeat(16, axis=1).repeat(16, axis=2)
        near = [
            cv2.dilate(t.astype(np.uint8), np.ones((5, 5))) for t in touched
        ]
        assert not differ[np.stack(near) == 0].any()


def test_h264_touches_both_alike(crops):
    h264 = dict(
        type='RandomEncode',
        **dict(p_size=0, p_noise=0, p_jpeg=0, p_h264=1, crf=(20, 24)),
    )
    for real, fake in pairs_of(build(crops, [h264], ['SelfBlend']), 3):
        differ = np.abs(clip_of(real).astype(int) - clip_of(fake))
        inside = differ[:, 24:40, 24:40].mean()
        edge = np.concatenate([differ[:, :8], differ[:, -8:]]).mean()
        assert inside > 3 * edge


def test_a_pair_is_the_same_whatever_was_read_before(crops):
    """As it must be for other numbers of workers, and in a resumed run."""
    dataset = build(crops, BEHIND)
    pairs = pairs_of(dataset, 9)
    fresh = build(crops, BEHIND)
    for k in (8, 3, 5, 0):
        for member in (1, 0):  # the other way round
            again = fresh[DrawnIndex(2 * (k % 3) + member, 7, k)]
            assert torch.equal(again['inputs'], pairs[k][member]['inputs'])
    one = fresh[DrawnIndex(2, 7, 4)]  # alone
    assert torch.equal(one['inputs'], pairs[4][0]['inputs'])
    other = fresh[DrawnIndex(2, 8, 4)]  # another run
    assert not torch.equal(one['inputs'], other['inputs'])


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 2])
def test_batches_are_pairs_whoever_reads_them(crops, workers):
    dataset = build(crops, BEHIND)

    def batches(num_workers):
        sampler = DATA_SAMPLERS.build(
            dict(type='PairSampler', dataset=dataset, seed=3)
        )
        loader = DataLoader(
            dataset,
            4,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=pseudo_collate,
        )
        return [batch for batch, _ in zip(loader, range(4))]

    alone = batches(0)
    for mine, theirs in zip(alone, batches(workers), strict=True):
        for one, other in zip(mine['inputs'], theirs['inputs'], strict=True):
            assert torch.equal(one, other)
    for batch in alone:
        samples = batch['data_samples']
        assert [int(s.gt_label) for s in samples] == [0, 1, 0, 1]
        names = [s.video_id.replace('~', '+') for s in samples]
        assert names[0::2] == names[1::2]
    first = [s.video_id[0] for b in alone for s in b['data_samples'][::2]]
    assert sorted(first[:3]) == sorted(first[3:6]) == ['a', 'b', 'c']


def test_a_sampler_of_pairs_wants_pairs(crops):
    dataset = dict(type='FaceClipDataset', data_root=str(crops))
    dataset = DATASETS.build({**dataset, 'ann_file': 'all.json'})
    sampler = DATA_SAMPLERS.build(
        dict(type='PairSampler', dataset=dataset, seed=0)
    )
    with pytest.raises(SettingError, match='is not of pairs'):
        next(iter(sampler))


def test_processes_share_the_pairs_of_one(crops):
    def draws(rank, world_size):
        sampler = DATA_SAMPLERS.build(
            dict(type='PairSampler', dataset=build(crops), seed=3)
        )
        sampler.rank, sampler.world_size = rank, world_size
        drawn = sampler._indices_of_rank()
        return [(int(d), d.number) for d, _ in zip(drawn, range(8))]

    alone = draws(0, 1)
    assert [number for _, number in alone] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert draws(0, 2)[:4] == alone[0:2] + alone[4:6]
    assert draws(1, 2)[:4] == alone[2:4] + alone[6:8]


def test_a_pair_is_made_once_for_both(crops):
    dataset = build(crops)
    made = []
    make = dataset.make_pair
    dataset.make_pair = lambda info: made.append(info) or make(info)
    pairs_of(dataset, 5)
    assert len(made) == 5


def test_every_validation_has_the_same_fakes(crops):
    settings = dict(families=FAMILIES[:2], test_mode=True)
    first, again = (build(crops, BEHIND, **settings) for _ in range(2))
    assert len(first) == 2 * 2 * 3 * 2  # pairs, families, videos, clips
    np.random.seed(1)
    items = [first[i] for i in range(24)]
    np.random.seed(2)
    for i in reversed(range(24)):
        assert torch.equal(again[i]['inputs'], items[i]['inputs'])
    fakes = [item['inputs'] for item in items[1::2]]
    assert not any(torch.equal(fakes[0], other) for other in fakes[1:])


def test_in_validation_a_fake_is_a_video_of_its_own_by_family(crops):
    weights = [1, 2, 0, 1, 0, 0]
    dataset = build(crops, weights=weights, test_mode=True)
    metric = ForgeryMetric()
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples'].to_dict()
        score = 0.9 if i % 2 else 0.1
        sample['pred_score'] = torch.tensor([1 - score, score])
        metric.process(None, [sample])
    metrics = metric.evaluate(len(dataset))
    assert metrics['video/auc'] == metrics['clip/auc'] == 1
    families = {key.partition('video/auc/')[2] for key in metrics} - {''}
    assert families == {'SelfBlend', 'MotionSelfBlend', 'DetailLoss'}
    assert 0.1 <= metrics['video/eer_threshold'] <= 0.9


def test_families_have_their_shares(crops):
    weights = [3, 1, 0]
    drawn = [
        fake['data_samples'].method
        for _, fake in pairs_of(
            build(crops, families=FAMILIES[:3], weights=weights), 60
        )
    ]
    assert {*drawn} == {*FAMILIES[:2]}
    assert 35 <= drawn.count(FAMILIES[0]) <= 53


def test_what_nobody_sees_is_drawn_again_and_counted(crops):
    """No change is large enough; of the draws the largest stays."""
    made = {}
    for redraws in (0, 3):
        dataset = build(crops, (), ['SelfBlend'], visible=255, redraws=redraws)
        made[redraws] = [fake for _, fake in pairs_of(dataset, 8)]
        samples = [fake['data_samples'] for fake in made[redraws]]
        assert {sample.redrawn for sample in samples} == {redraws}
    changes = {
        redraws: [fake['data_samples'].change for fake in fakes]
        for redraws, fakes in made.items()
    }
    assert all(b >= a for a, b in zip(*changes.values()))
    assert sum(b > a for a, b in zip(*changes.values())) > 3
    seen = [
        fake['data_samples']
        for _, fake in pairs_of(build(crops, (), ['SelfBlend']), 8)
    ]
    assert all(sample.change >= 1 or sample.redrawn == 4 for sample in seen)


def test_a_change_is_the_difference_inside_the_mask_of_the_worst_frame(crops):
    dataset = build(crops, (), ['FaceRepeat'], redraws=0)
    with seeded(7, 0):
        info = dataset.get_data_info(0)
        pair = dataset.make_pair(info)
    real, fake = clip_of(pair.real).astype(int), clip_of(pair.fake)
    with seeded(7, 0):
        dataset.get_data_info(0)
        seed = int(np.random.randint(2**62))
    with seeded(seed, 0, 0):
        mask = TRANSFORMS.build(dict(type='FaceRepeat'))(
            dict(imgs=[*real.astype(np.uint8)])
        )['mask']
    frames = [np.abs(f - r)[m > 0].mean() for f, r, m in zip(fake, real, mask)]
    assert pair.change == pytest.approx(max(frames), rel=1e-6)
    assert pair.redrawn == 0


def test_fakes_of_the_annotation_are_left_out(crops):
    dataset = build(crops)
    ids = {dataset.get_data_info(i)['video_id'] for i in range(len(dataset))}
    assert ids == {'a', 'b', 'c'}
    assert dataset.origin == (
        'pseudo-fakes of 3 genuine videos, no real forgery'
    )
    with pytest.raises(DataError, match='no genuine video'):
        build(crops, ann_file='forged.json')


def test_landmarks_of_the_clip_reach_the_families(crops):
    """Those of its own frames, in sides of the crop."""
    content = json.loads((crops / 'all.json').read_text())
    for entry in content['data_list']:
        entry['landmarks'] = f'{entry["frame_dir"]}.landmarks.npy'
        points = np.tile(np.arange(20)[:, None, None] / 100, (1, 68, 2))
        np.save(crops / entry['landmarks'], points.astype(np.float32))
    (crops / 'pointed.json').write_text(json.dumps(content))
    dataset = build(crops, ann_file='pointed.json', test_mode=True)
    info = dataset.get_data_info(len(dataset) - 1)  # the second clip
    assert info['points'].shape == (8, 68, 2)
    np.testing.assert_allclose(info['points'][:, 0, 0], np.arange(8, 16) / 100)
    np.save(crops / entry['landmarks'], points[:7])
    with pytest.raises(DataError, match='no landmarks of 20 crops'):
        dataset[len(dataset) - 1]
    (crops / entry['landmarks']).unlink()
    with pytest.raises(DataError, match='no landmarks of 20 crops'):
        dataset[len(dataset) - 1]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(families=[]), 'weights='),
        (dict(weights=[1]), 'weights='),
        (dict(weights=[0] * 6), 'weights='),
        (dict(visible=-1), 'visible=-1'),
        (dict(redraws=-1), 'redraws=-1'),
    ],
)
def test_settings_that_do_not_fit_are_refused(crops, changes, message):
    with pytest.raises(ValueError, match=message):
        build(crops, **changes)


def test_a_pipeline_without_a_face_crop_is_refused(crops):
    with pytest.raises(ValueError, match='no FaceCrop'):
        DATASETS.build(
            dict(
                type='GenuineClipDataset',
                data_root=str(crops),
                ann_file='all.json',
                pipeline=[dict(type='ClipDecode')],
                families=[dict(type='SelfBlend')],
            )
        )


def encoded(clip, seed=0, **settings):
    chances = dict(p_size=0, p_noise=0, p_jpeg=0, p_h264=0)
    step = TRANSFORMS.build(
        dict(type='RandomEncode', **{**chances, **settings})
    )
    with seeded(seed):
        return np.stack(step(dict(imgs=[*clip]))['imgs'])


@pytest.fixture(scope='module')
def clip(crops):
    return clip_of(build(crops)[DrawnIndex(0, 0, 0)])


def test_without_a_chance_nothing_is_encoded(clip):
    np.testing.assert_array_equal(encoded(clip), clip)


def test_jpeg_is_that_of_the_quality(clip):
    def through(frame):
        flags = [cv2.IMWRITE_JPEG_QUALITY, 50]
        data = cv2.imencode('.jpg', frame[..., ::-1], flags)[1]
        return cv2.imdecode(data, 1)[..., ::-1]

    made = encoded(clip, p_jpeg=1, jpeg=(50, 50))
    np.testing.assert_array_equal(made, np.stack([*map(through, clip)]))


def test_h264_is_that_of_the_distortion(clip):
    made = encoded(clip, p_h264=1, crf=(30, 30))
    known = [*compress(clip, 30, fps=25, preset='veryfast')]
    np.testing.assert_array_equal(made, np.stack(known))


def test_one_size_and_one_strength_of_noise_hold_for_the_clip(clip):
    still = np.repeat(clip[:1], 8, axis=0)
    small = encoded(still, p_size=1, size=(0.5, 0.5))
    assert (small == small[:1]).all()
    rough, smooth = (
        np.abs(np.diff(one.astype(float), axis=2)).mean()
        for one in (still, small)
    )
    assert 0 < smooth < 0.98 * rough
    grey = np.full_like(still, 128)
    spreads = [
        encoded(grey, seed, p_noise=1, noise=8).std(axis=(1, 2, 3))
        for seed in range(6)
    ]
    for spread in spreads:
        assert np.ptp(spread) < 0.1 * spread.mean() + 0.05
    assert np.ptp([s.mean() for s in spreads]) > 1


@pytest.mark.parametrize(
    'settings',
    [
        dict(size=(0, 1)),
        dict(size=(1, 0.5)),
        dict(noise=-1),
        dict(jpeg=(0, 90)),
        dict(crf=(18, 60)),
        dict(p_h264=2),
    ],
)
def test_encoding_out_of_bounds_is_refused(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f'{name}='):
        TRANSFORMS.build(dict(type='RandomEncode', **settings))


def test_a_fake_names_the_genuine_clip_to_tell_it_from(crops):
    """So that the metric finds matched pairs in a validation."""
    dataset = build(crops, families=FAMILIES[:2], test_mode=True)
    dataset.behind.transforms[-1].meta_keys += ('pair',)
    samples = [dataset[i]['data_samples'] for i in range(8)]
    for real, fake in zip(samples[::2], samples[1::2]):
        assert real.pair == fake.pair == real.video_id
        assert fake.video_id == real.video_id.replace('~', '+')
