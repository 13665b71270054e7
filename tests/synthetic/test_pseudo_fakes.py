"""Facts about the families of pseudo-fakes, on clips whose motion is known."""

import cv2
import numpy as np
import pytest
from mmaction.registry import TRANSFORMS
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from gml_mmaction.errors import SettingError
from gml_mmaction.synthetic import pseudo_fakes
from gml_mmaction.synthetic.pseudo_fakes.detail_loss import encode
from gml_mmaction.synthetic.pseudo_fakes.family import (
    NOSE_BASE,
    Face,
    face_in_crop,
    face_of_points,
)

SIDE = 64
FAMILIES = [
    dict(type='SelfBlend'),
    dict(type='MotionSelfBlend', order=1),
    dict(type='MotionSelfBlend', order=2),
    dict(type='PartMotion', in_time=False),
    dict(type='PartMotion', in_time=True),
    dict(type='DetailLoss'),
    dict(type='FaceRepeat'),
    dict(type='FaceDropout'),
]
HELD = FAMILIES[1], FAMILIES[3]
ORDERED = FAMILIES[1:5]
STILL = FAMILIES[0], FAMILIES[5]


def name_of(family):
    return '-'.join(map(str, family.values()))


def every(families):
    return pytest.mark.parametrize('family', families, ids=name_of)


def texture(rng, side=SIDE):
    """A picture with edges of all sizes, ``(side, side, 3)`` uint8."""
    noise = sum(
        cv2.GaussianBlur(
            rng.standard_normal((side, side, 3)).astype(np.float32),
            (0, 0),
            width,
        )
        * width
        for width in (1, 3, 9)
    )
    return (128 + 40 * noise / noise.std()).clip(0, 255).astype(np.uint8)


def still(seed=0, side=SIDE):
    """Eight times the same frame."""
    return np.repeat(texture(np.random.default_rng(seed), side)[None], 8, 0)


def rolling(seed=0):
    """A picture that moves by a pixel a frame."""
    clip = still(seed)
    return np.stack([np.roll(f, t, axis=1) for t, f in enumerate(clip)])


def forge(family, clip, seed=0):
    """Real, fake and mask of a clip."""
    np.random.seed(seed)
    family = TRANSFORMS.build(family)
    made = family(dict(imgs=[*clip], label=0, method='real'))
    return np.stack(made['genuine']), np.stack(made['imgs']), made['mask']


def forge_many(family, count):
    return [forge(family, still(seed), seed) for seed in range(count)]


@every(FAMILIES)
def test_real_and_fake_are_equal_outside_the_mask(family):
    for seed in range(6):
        real, fake, mask = forge(family, rolling(seed), seed)
        differ = (real != fake).any(axis=-1)
        assert differ.any()
        assert not differ[mask == 0].any()
        assert not mask[:, :8].any()
        assert not mask[:, :, :8].any()
        assert 0 == mask.min() < mask.max() <= 1


@every(FAMILIES)
def test_a_fake_says_what_it_is_and_leaves_the_clip_as_it_was(family):
    clip = rolling()
    frames = [frame.copy() for frame in clip]
    made = TRANSFORMS.build(family)(dict(imgs=frames, label=0))
    assert (made['label'], made['method']) == (1, family['type'])
    assert len(made['imgs']) == len(made['genuine']) == 8
    assert made['imgs'][0].dtype == np.uint8
    np.testing.assert_array_equal(frames, clip)


@every(FAMILIES)
def test_a_fake_follows_from_the_seed_and_moves_later_draws_alike(family):
    clip = rolling()
    first, again = forge(family, clip, 5), forge(family, clip, 5)
    after = np.random.rand()
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[1], forge(family, clip, 6)[1])
    np.random.seed(5)
    np.random.randint(2**32, size=4, dtype=np.uint32)
    assert np.random.rand() == after


@every(STILL)
def test_one_draw_is_replayed_over_the_frames(family):
    for seed in range(4):
        real, fake, _ = forge(family, still(seed), seed)
        assert (real == real[:1]).all()
        assert (fake == fake[:1]).all()


@every(HELD)
def test_the_real_of_first_order_holds_one_warp(family):
    for seed in range(4):
        clip = still(seed)
        real, fake, _ = forge(family, clip, seed)
        assert (real == real[:1]).all()
        assert not (fake == fake[:1]).all()
        np.testing.assert_array_equal(real[0], fake[0])


# Of one frame, one number each.
SINGLE = {
    'mean': lambda f, m: f[m].mean(),
    'spread': lambda f, m: f[m].std(),
    'detail': lambda f, m: np.abs(cv2.Laplacian(f, cv2.CV_32F))[m].mean(),
    'seam': lambda f, m: np.abs(
        cv2.Sobel(m.astype(np.float32), cv2.CV_32F, 1, 0)[..., None]
        * cv2.Sobel(f, cv2.CV_32F, 1, 0)
    ).mean(),
    'blocks': lambda f, m: np.abs(
        cv2.dct(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32))
    )[16:, 16:].mean(),
}


def auc(made, statistic):
    """How well a number tells fakes from reals; 0.5 says nothing."""
    scores = [
        statistic(clip, mask)
        for real, fake, mask in made
        for clip in (real, fake)
    ]
    return roc_auc_score([0, 1] * len(made), scores)


def of_last_frame(statistic):
    return lambda clip, mask: statistic(clip[-1], mask[-1] > 0.5)


def change(order):
    """The size of differences in time, of an order, inside the mask."""

    def statistic(clip, mask):
        steps = np.diff(clip.astype(np.float32), order, axis=0)
        return np.abs(steps)[-1][mask[-1] > 0.5].mean()

    return statistic


def centred(auc_value):
    return max(auc_value, 1 - auc_value)


@pytest.mark.slow
@every(ORDERED)
def test_no_single_frame_tells_what_moves_wrongly(family):
    """Of 400 frames. By chance alone an AUC is 0.5 give or take 0.029."""
    made = forge_many(family, 200)
    for name, statistic in SINGLE.items():
        assert centred(auc(made, of_last_frame(statistic))) < 0.57, name


def test_the_same_single_frames_tell_what_has_lost_detail():
    """The statistics of the test above can see something."""
    made = forge_many(FAMILIES[5], 60)
    assert auc(made, of_last_frame(SINGLE['detail'])) < 0.25


@every(HELD)
def test_two_frames_tell_what_is_drawn_anew(family):
    family = {**family, **({'hold': 0} if 'order' in family else {})}
    assert auc(forge_many(family, 60), change(1)) > 0.95


@pytest.mark.slow
def test_two_frames_do_not_tell_steps_in_the_wrong_order_but_three_do():
    made = forge_many(FAMILIES[2], 200)
    assert centred(auc(made, change(1))) < 0.57
    assert auc(made, change(2)) > 0.6


@pytest.mark.slow
def test_parts_out_of_step_do_not_tell_by_one_part():
    """Where one part moves alone, real and fake have one law of motion.

    The periods of real and fake are drawn alike, so the last step of the
    mouth, far from the others, is distributed alike.
    """
    made = forge_many(FAMILIES[4], 200)
    x, y, a, b = face_in_crop(1, SIDE).parts['mouth'][0, 0]
    grid_y, grid_x = np.mgrid[:SIDE, :SIDE]
    mouth = ((grid_x - x) / a) ** 2 + ((grid_y - y) / b) ** 2 < 1
    steps = change(1)
    value = auc(made, lambda clip, _: steps(clip, mouth[None].astype(float)))
    assert centred(value) < 0.57


def test_a_face_that_stands_still_shows_an_earlier_one():
    for seed in range(8):
        clip = rolling(seed)
        real, fake, mask = forge(dict(type='FaceRepeat'), clip, seed)
        np.testing.assert_array_equal(real, clip)
        core = mask[0] > 0.999
        source = [
            next(s for s in range(8) if (clip[s][core] == f[core]).all())
            for f in fake
        ]
        late = [t - s for t, s in enumerate(source)]
        assert late[0] == 0
        assert 1 <= max(late) <= 3
        held = [s for s in source if source.count(s) > 1]
        assert len(set(held)) == 1


def test_a_face_that_jumps_leaves_frames_out_and_never_goes_back():
    for seed in range(8):
        clip = rolling(seed)
        _, fake, mask = forge(dict(type='FaceDropout'), clip, seed)
        core = mask[0] > 0.999
        source = [
            next(s for s in range(8) if (clip[s][core] == f[core]).all())
            for f in fake
        ]
        steps = np.diff(source)
        assert steps.min() >= 0
        assert set(source) != set(range(8))


def test_the_autoencoder_keeps_what_principal_components_keep():
    clip = still(side=32)[:1]
    flat = clip[0].astype(np.float32).reshape(4, 8, 4, 8, 3).swapaxes(1, 2)
    pca = PCA(5).fit(flat.reshape(16, -1))
    plain = pca.inverse_transform(pca.transform(flat.reshape(16, -1)))
    plain = plain.reshape(4, 4, 8, 8, 3).swapaxes(1, 2).reshape(32, 32, 3)
    moved = np.roll(clip[0], (-4, -4), axis=(0, 1)).astype(np.float32)
    flat = moved.reshape(4, 8, 4, 8, 3).swapaxes(1, 2).reshape(16, -1)
    moved = pca.inverse_transform(pca.transform(flat))
    moved = moved.reshape(4, 4, 8, 8, 3).swapaxes(1, 2).reshape(32, 32, 3)
    moved = np.roll(moved, (4, 4), axis=(0, 1))
    np.testing.assert_allclose(
        encode(clip, 5)[0], (plain + moved) / 2, atol=0.05
    )
    np.testing.assert_allclose(encode(clip, 192), clip, atol=0.05)


def test_masks_follow_a_face_that_moves():
    """With an outline and parts of their own in each frame."""
    face = face_in_crop(8, SIDE)
    drift = np.arange(8)[:, None, None] * np.array([1.0, 0])
    parts = {
        name: own + np.pad(drift, ((0, 0), (0, 0), (0, 2)))
        for name, own in face.parts.items()
    }
    moving = Face(face.hull + drift, parts)
    for family in FAMILIES:
        made = TRANSFORMS.build(family).forge(
            rolling(), moving, np.random.default_rng(0)
        )
        columns = np.arange(SIDE)
        middles = [(m * columns).sum() / m.sum() for m in made.mask]
        np.testing.assert_allclose(np.diff(middles), 1, atol=0.35)
        np.testing.assert_array_equal(
            made.real[made.mask == 0], made.fake[made.mask == 0]
        )


@pytest.mark.parametrize(
    ('family', 'message'),
    [
        (dict(type='MotionSelfBlend', order=3), 'order=3'),
        (dict(type='MotionSelfBlend', hold=2), 'hold=2'),
        (dict(type='SelfBlend', p_source=-1), 'p_source=-1'),
        (dict(type='DetailLoss', pull=2), 'pull=2'),
        (dict(type='DetailLoss', factor=(0.5, 2)), 'factor='),
        (dict(type='FaceRepeat', longest=0), 'longest=0'),
    ],
)
def test_settings_out_of_bounds_are_refused(family, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(family)


def canonical(count):
    """Points of a face in the middle of a crop, ``(count, 2)``, pixels."""
    face = face_in_crop(1, SIDE)
    eyes, brows = (face.parts[name][0] for name in ('eyes', 'brows'))
    if count == 5:
        corners = [
            (x + way * a, y) for x, y, a, _ in eyes[::-1] for way in (1, -1)
        ]
        return np.array([*corners, SIDE * np.array(NOSE_BASE)])
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    x, y = face.centres[0]
    points = np.stack([x + 12 * np.cos(turn), y + 14 * np.sin(turn)], axis=1)
    for own, (x, y, a, b) in zip(
        (slice(36, 42), slice(42, 48), slice(17, 22), slice(22, 27)),
        (*eyes, *brows),
    ):
        angle = np.linspace(0, 2 * np.pi, own.stop - own.start)
        points[own, 0] = x + a * np.cos(angle)
        points[own, 1] = y + b * np.sin(angle)
    return points


def test_five_points_carry_the_face_of_the_crop_with_them():
    angle, scale, shift = 20, 0.8, (5, -3)
    matrix = cv2.getRotationMatrix2D((30, 30), angle, scale)
    matrix[:, 2] += shift
    moved = canonical(5) @ matrix[:, :2].T + matrix[:, 2]
    plain = face_in_crop(8, SIDE)
    found = face_of_points(np.repeat(moved[None], 8, axis=0))
    np.testing.assert_allclose(
        found.hull, plain.hull @ matrix[:, :2].T + matrix[:, 2], atol=1e-6
    )
    for name, own in plain.parts.items():
        centres = own[..., :2] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(
            found.parts[name][..., :2], centres, atol=1e-6
        )
        np.testing.assert_allclose(
            found.parts[name][..., 2:], scale * own[..., 2:], atol=1e-6
        )


@pytest.mark.parametrize('count', [5, 68])
def test_landmarks_that_jump_are_smoothed_and_those_that_drift_followed(
    count,
):
    rng = np.random.default_rng(0)
    still = np.repeat(canonical(count)[None], 8, axis=0)
    rough = still + rng.normal(0, 1, (8, 1, 2))
    found = face_of_points(rough).centres
    assert np.abs(np.diff(found, axis=0)).mean() < (
        0.6 * np.abs(np.diff(rough[:, 0], axis=0)).mean()
    )
    drift = still + np.arange(8)[:, None, None] * np.array([1.0, 0.5])
    steps = np.diff(face_of_points(drift).centres, axis=0)[3:4]
    np.testing.assert_allclose(steps, [[1, 0.5]], atol=0.05)


@pytest.mark.parametrize('count', [5, 68])
@every(FAMILIES)
def test_a_fake_follows_landmarks(family, count):
    """A face in a corner of the crop, given by its points."""
    points = np.repeat(canonical(count)[None], 8, axis=0) * 0.6 + 2
    np.random.seed(0)
    made = TRANSFORMS.build(family)(
        dict(imgs=[*rolling()], points=points / SIDE)
    )
    mask = made['mask'] > 0.05
    rows, columns = np.nonzero(mask.any(axis=0))
    assert rows.max() < 0.7 * SIDE
    assert abs(columns.mean() - points[..., 0].mean()) < 3
    differ = (np.stack(made['imgs']) != np.stack(made['genuine'])).any(-1)
    assert differ.any()
    assert not differ[made['mask'] == 0].any()


WHOLE = [dict(type='TemporalDropout'), dict(type='TemporalRepeat')]


@every(WHOLE)
def test_a_slip_of_whole_frames_shows_frames_of_the_clip_and_blends_none(
    family,
):
    clip = rolling()
    for seed in range(40):
        real, fake, mask = forge(family, clip, seed)
        np.testing.assert_array_equal(real, clip)
        assert (mask == 1).all()
        source = [
            next(s for s in range(8) if (clip[s] == f).all()) for f in fake
        ]
        steps = np.diff(source)
        assert steps.min() >= 0
        if family['type'] == 'TemporalRepeat':
            late = max(t - s for t, s in enumerate(source))
            assert 1 <= late == (steps == 0).sum() <= 3
        else:
            assert set(source) < set(range(8))


@every(WHOLE)
def test_whole_frames_slip_as_the_inner_face_would(family):
    """One law of times for both: they share its code and its draws."""
    name = family['type'].replace('Temporal', 'Face')
    times = [
        [TRANSFORMS.build(dict(type=kind)).times(9, rng) for _ in range(20)]
        for kind in (family['type'], name)
        for rng in [np.random.default_rng(4)]
    ]
    np.testing.assert_array_equal(*times)


def random_fakes(p=0.5, **changes):
    families = [*WHOLE, dict(type='SelfBlend')]
    return TRANSFORMS.build(
        dict(type='RandomPseudoFake', families=families, p=p) | changes
    )


def test_some_genuine_clips_become_fakes_and_fakes_stay():
    np.random.seed(0)
    step, clip = random_fakes(0.25), rolling()
    made = [
        step(dict(imgs=[*clip], label=0, method='real')) for _ in range(200)
    ]
    share = np.mean([one['label'] for one in made])
    assert 0.15 < share < 0.35
    methods = {one['method'] for one in made}
    assert methods == {
        'real',
        'TemporalDropout',
        'TemporalRepeat',
        'SelfBlend',
    }
    for one in made:
        assert set(one) == {'imgs', 'label', 'method'}
        same = np.array_equal(one['imgs'], clip)
        assert same == (one['label'] == 0)
    fake = random_fakes(1)(dict(imgs=[*clip], label=1, method='Deepfakes'))
    assert np.array_equal(fake['imgs'], clip)
    assert fake['method'] == 'Deepfakes'


def test_whether_a_clip_is_faked_moves_later_draws_alike():
    """So a set's other augmentation does not depend on its labels."""
    after = []
    for label in (0, 1):
        np.random.seed(3)
        random_fakes(0)(dict(imgs=[*rolling()], label=label))
        after.append(np.random.rand())
    assert after[0] == after[1]


@pytest.mark.parametrize(
    ('changes', 'line'),
    [(dict(p=2), r'^p=2: .*0 to 1$'), (dict(families=[]), r'^families=')],
)
def test_fakes_that_cannot_be_made_are_refused(changes, line):
    with pytest.raises(SettingError, match=line):
        random_fakes(**changes)


def test_a_family_is_found_where_its_file_is_put(tmp_path, monkeypatch):
    (tmp_path / 'upside_down.py').write_text(
        'from mmaction.registry import TRANSFORMS\n'
        'from gml_mmaction.synthetic.pseudo_fakes.family import PseudoFake\n'
        '@TRANSFORMS.register_module()\n'
        'class UpsideDown(PseudoFake):\n'
        '    def forge(self, clip, face, rng):\n'
        '        raise NotImplementedError\n'
    )
    monkeypatch.setattr(
        pseudo_fakes, '__path__', [*pseudo_fakes.__path__, str(tmp_path)]
    )
    assert 'UpsideDown' not in TRANSFORMS
    pseudo_fakes.import_all()
    try:
        family = TRANSFORMS.build(dict(type='UpsideDown'))
        assert family.__module__ == f'{pseudo_fakes.__name__}.upside_down'
    finally:
        TRANSFORMS.module_dict.pop('UpsideDown', None)
