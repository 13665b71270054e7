import importlib
import tempfile
import tracemalloc
from fractions import Fraction
from io import BytesIO

import cv2
import numpy as np
import pytest
from scipy import ndimage

from gml_mmaction.video.distortions import (
    LEVELS,
    compress,
    distort_frame,
    distort_frames,
    format_distortions,
    is_framewise,
    parse_distortions,
    random_distortions,
    read_meta,
    register_distortion,
    seed_of,
    write_meta,
)
from gml_mmaction.video.writer import write_h264

color = pytest.importorskip('skimage.color')
data = pytest.importorskip('skimage.data')
filters = pytest.importorskip('skimage.filters')
transform = pytest.importorskip('skimage.transform')

# get_distortion_parameter of DeeperForensics-1.0,
# perturbation/add_distortion_to_video.py
TABLE = {
    'CS': [0.4, 0.3, 0.2, 0.1, 0.0],
    'CC': [0.85, 0.725, 0.6, 0.475, 0.35],
    'BW': [16, 32, 48, 64, 80],
    'GNC': [0.001, 0.002, 0.005, 0.01, 0.05],
    'GB': [7, 9, 13, 17, 21],
    'JPEG': [2, 3, 4, 5, 6],
    'VC': [30, 32, 35, 38, 40],
}
ON_FRAMES = [kind for kind in TABLE if kind != 'VC']


def levels_of(kind):
    return pytest.mark.parametrize(
        ('level', 'parameter'), list(enumerate(TABLE[kind], 1))
    )


@pytest.fixture(scope='module')
def portrait():
    """Return a photograph in color of 288 x 264 pixels."""
    return data.astronaut()[:264, 80:368]


@pytest.fixture(scope='module')
def clip(portrait):
    """Return 12 frames of 128 x 96 pixels that move, all values medium."""
    small = cv2.resize(portrait, (144, 132), interpolation=cv2.INTER_AREA)
    small = 64 + small // 2
    return [small[i : i + 96, i : i + 128].copy() for i in range(12)]


def apply(frame, kind, level, index=0, seed=0):
    return distort_frame(frame, [(kind, level)], seed=seed, index=index)


def psnr(a, b):
    error = np.mean((np.float64(a) - np.float64(b)) ** 2)
    return 10 * np.log10(255**2 / error)


@levels_of('CS')
def test_saturation_scales_chroma_and_cuts_off_digits(
    portrait, level, parameter
):
    video = color.rgb2ycbcr(portrait)  # Y, Cb, Cr of 8-bit video
    video[..., 1:] = 128 + (video[..., 1:] - 128) * parameter
    expected = np.clip(color.ycbcr2rgb(video) * 255, 0, 255)
    error = apply(portrait, 'CS', level) - expected
    assert error.min() > -1.1
    assert error.max() < 0.1
    assert error.mean() == pytest.approx(-0.5, abs=0.05)  # cut, not rounded


def test_saturation_takes_a_level_off_red_and_blue_of_gray():
    """color_saturation scales about 0.5; its gray is at 128/255."""
    gray = np.full((8, 8, 3), 100, np.uint8)
    for level in range(1, 6):
        assert (apply(gray, 'CS', level) == [99, 100, 99]).all()


def test_saturation_at_level_5_leaves_gray(portrait):
    spread = np.ptp(apply(portrait, 'CS', 5).astype(int), axis=-1)
    assert spread.max() <= 1


@levels_of('CC')
def test_contrast_darkens_and_cuts_off_digits(level, parameter):
    values = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 2, 3))
    factor = Fraction(str(parameter))
    expected = [int(value * factor) for value in range(256)]
    assert apply(values, 'CC', level)[:, 1, 2].tolist() == expected


@pytest.mark.parametrize('size', [(256, 400), (511, 600), (512, 700)])
@levels_of('BW')
def test_blocks_are_8x8_of_gray_and_as_many_as_the_level_says(
    size, level, parameter
):
    expected = parameter * (min(size) // 256)
    counts = []
    for index in range(15):
        frame = apply(np.zeros((*size, 3), np.uint8), 'BW', level, index)
        assert set(np.unique(frame)) == {0, 128}
        assert (frame == frame[..., :1]).all()
        labels, count = ndimage.label(frame[..., 0])
        alone = [
            (labels[place] == label).sum()
            for label, place in enumerate(ndimage.find_objects(labels), 1)
            if labels[place].shape == (8, 8)
        ]
        assert set(alone) == {64}
        assert count <= expected
        assert (frame[..., 0] > 0).sum() <= 64 * expected
        # those that touch or overlap are one component
        counts.append(len(alone) + 2 * (count - len(alone)))
    assert max(counts) >= expected


def test_blocks_reach_all_but_the_last_row_and_column():
    """random.randint(0, width - 1 - 8) of the data set's block_wise."""
    black = np.zeros((256, 300, 3), np.uint8)
    hit = sum(apply(black, 'BW', 5, index)[..., 0] > 0 for index in range(150))
    rows, columns = hit.any(axis=1), hit.any(axis=0)
    assert rows[:-1].all()
    assert columns[:-1].all()
    assert not rows[-1]
    assert not columns[-1]


def test_blocks_below_256_pixels_are_refused():
    """There block_wise adds min(H, W) // 256 = 0 blocks, without a word."""
    crop = np.zeros((224, 224, 3), np.uint8)
    with pytest.raises(ValueError, match=r'224 x 224.*before faces are cut'):
        apply(crop, 'BW', 5)
    wide = np.zeros((255, 1000, 3), np.uint8)
    with pytest.raises(ValueError, match='1000 x 255'):
        next(distort_frames([wide], [('BW', 1)], seed=0, fps=25))


# Measured on the output of the data set's gaussian_noise_color.
@pytest.mark.parametrize(
    ('level', 'std'), list(enumerate([9.4, 13.3, 21, 29.5, 55], 1))
)
def test_noise_has_the_measured_luma_on_mid_gray(level, std):
    gray = np.full((480, 640, 3), 128, np.uint8)
    luma = apply(gray, 'GNC', level) @ [0.299, 0.587, 0.114]
    assert luma.std() == pytest.approx(std, rel=0.01)


@pytest.mark.parametrize(
    ('level', 'variance'), list(enumerate(TABLE['GNC'][:3], 1))
)
def test_noise_is_white_in_the_three_channels_of_8_bit_video(level, variance):
    gray = np.full((400, 400, 3), 128, np.uint8)
    video = color.rgb2ycbcr(apply(gray, 'GNC', level))
    covariance = np.cov(video.reshape(-1, 3).T) / (255**2 * variance)
    assert covariance == pytest.approx(np.eye(3), abs=0.03)
    luma = video[..., 0] - video[..., 0].mean()
    for neighbors in (luma[1:] * luma[:-1], luma[:, 1:] * luma[:, :-1]):
        assert abs(neighbors.mean()) < 0.01 * luma.var()


def test_noise_is_clipped_and_does_not_wrap_around():
    for value in (0, 255):
        frame = np.full((100, 100, 3), value, np.uint8)
        noisy = apply(frame, 'GNC', 2).astype(int)
        assert abs(noisy - value).max() < 128
        assert (noisy == value).mean() == pytest.approx(0.5, abs=0.05)


@levels_of('GB')
def test_blur_is_gaussian_with_a_sixth_of_the_kernel(
    portrait, level, parameter
):
    expected = filters.gaussian(
        portrait,
        sigma=parameter / 6,
        mode='mirror',
        truncate=2.9,  # half the kernel, rounded down
        preserve_range=True,
        channel_axis=-1,
    )
    error = apply(portrait, 'GB', level) - expected
    assert abs(error).max() < 1.1
    assert abs(error.mean()) < 0.05


@levels_of('JPEG')
def test_jpeg_reads_the_middle_of_each_square_and_interpolates(
    portrait, level, parameter
):
    """jpeg_compression of the data set resizes twice and uses no JPEG."""
    frame = portrait[:240, :240].astype(float)  # multiples of 2, ..., 6
    before, after = (parameter - 1) // 2, parameter // 2
    small = (
        sum(
            frame[y::parameter, x::parameter]
            for y in (before, after)
            for x in (before, after)
        )
        / 4
    )
    expected = transform.resize(
        np.floor(small + 0.5),
        frame.shape,
        order=1,
        mode='edge',
        anti_aliasing=False,
    )
    error = apply(portrait[:240, :240], 'JPEG', level) - expected
    assert abs(error).max() <= 1
    assert abs(error.mean()) < 0.2


def test_jpeg_rounds_down_the_size_between():
    stripes = np.zeros((60, 63, 3), np.uint8)
    stripes[:, ::2] = 200
    positions = np.clip((np.arange(15) + 0.5) * 63 / 15 - 0.5, 0, 62)
    small = np.round(np.interp(positions, np.arange(63), stripes[0, :, 0]))
    positions = np.clip((np.arange(63) + 0.5) * 15 / 63 - 0.5, 0, 14)
    expected = np.interp(positions, np.arange(15), small)
    row = apply(stripes, 'JPEG', 3)[30, :, 0]
    assert row == pytest.approx(expected, abs=2)


def encode_by_hand(frames, crf):
    """Return the Y planes that x264 leaves, and the bytes it takes."""
    av = pytest.importorskip('av')
    file = BytesIO()
    with av.open(file, 'w', format='h264') as output:
        stream = output.add_stream('libx264', 25)
        stream.width, stream.height = 128, 96
        stream.pix_fmt = 'yuv420p'
        stream.options = {
            'crf': str(crf),
            'threads': '1',
            'x264-params': 'cpu-independent=1',
        }
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    size = file.tell()
    file.seek(0)
    with av.open(file, format='h264') as coded:
        planes = [frame.to_ndarray()[:96] for frame in coded.decode(video=0)]
    return planes, size


@levels_of('VC')
def test_vc_is_x264_at_the_levels_crf(clip, level, parameter):
    frames = list(distort_frames(clip, [('VC', level)], seed=0, fps=25))
    luma = [color.rgb2ycbcr(frame)[..., 0] for frame in frames]
    by_hand, _ = encode_by_hand(clip, parameter)
    assert np.abs(np.subtract(luma, by_hand)).max() < 1.5
    other, _ = encode_by_hand(clip, parameter + 1)
    assert np.abs(np.subtract(luma, other)).max() > 3


def test_vc_loses_more_at_every_level_and_saves_bytes(clip):
    quality = [
        psnr(list(distort_frames(clip, [('VC', level)], seed=0, fps=25)), clip)
        for level in range(1, 6)
    ]
    assert quality == sorted(quality, reverse=True)
    assert quality[0] > quality[4] + 4
    sizes = [encode_by_hand(clip, crf)[1] for crf in TABLE['VC']]
    assert sizes == sorted(sizes, reverse=True)


def test_vc_neither_darkens_nor_tints(clip):
    """FFmpeg's default conversion to RGB takes a level off on average."""
    error = np.subtract(list(compress(clip, 4, fps=25)), clip, dtype=float)
    assert abs(error.mean(axis=(0, 1, 2))).max() < 0.3


def test_vc_keeps_odd_sizes(clip):
    odd = [frame[:95, :127] for frame in clip]
    frames = list(compress(odd, 4, fps=29.97))
    assert np.shape(frames) == np.shape(odd)
    assert psnr(frames, odd) > 40


def test_vc_takes_frames_of_a_sequence_without_a_rate(clip):
    expected = list(compress(clip, 30, fps=25))
    assert np.array_equal(list(compress(clip, 30, fps=0)), expected)


@pytest.mark.slow
def test_vc_holds_few_frames_of_a_long_video():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (256, 256, 3), np.uint8)
    frames = (np.roll(frame, i, axis=0) for i in range(120))
    distortions = [('CC', 1), ('VC', 5), ('CS', 1)]
    tracemalloc.start()
    try:
        count = sum(
            1 for _ in distort_frames(frames, distortions, seed=0, fps=25)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 120
    assert peak < 30 * frame.nbytes


def test_vc_leaves_no_file_even_when_left_early(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    frames = compress(clip, 30, fps=25)
    next(frames)
    frames.close()
    assert not list(tmp_path.iterdir())


def test_vc_says_what_it_cannot_encode(clip):
    with pytest.raises(ValueError, match='Remedy: frames of one size'):
        list(compress([clip[0], clip[1][:90]], 30, fps=25))
    with pytest.raises(ValueError, match='no frames'):
        list(compress([], 30, fps=25))


def test_vc_of_a_single_frame_is_refused(clip):
    with pytest.raises(ValueError, match='VC needs a whole video'):
        distort_frame(clip[0], [('VC', 1)], seed=0, index=0)
    assert not is_framewise([('CS', 1), ('VC', 1)])
    assert is_framewise([(kind, 1) for kind in ON_FRAMES])


def test_encoding_the_same_again_gives_the_same_bytes(portrait, tmp_path):
    """By default x264 depends on where in memory its buffers are."""
    rng = np.random.default_rng(0)
    frames = [portrait[:256, i : i + 256] for i in range(10)]
    files = set()
    for _ in range(10):
        heap = rng.bytes(rng.integers(3_000_000))
        write_h264(str(tmp_path / 'a.mp4'), frames, fps=25, crf=10)
        files.add((tmp_path / 'a.mp4').read_bytes())
        del heap
    assert len(files) == 1


def test_any_frame_alone_is_as_in_the_whole_video(portrait):
    frames = [np.roll(portrait, 5 * i, axis=1) for i in range(6)]
    distortions = [('GNC', 2), ('BW', 3), ('GB', 1), ('GNC', 1)]
    whole = list(distort_frames(frames, distortions, seed=7, fps=25))
    for index in (4, 0, 5):
        alone = distort_frame(frames[index], distortions, seed=7, index=index)
        assert np.array_equal(alone, whole[index])


@pytest.mark.parametrize('kind', ['BW', 'GNC'])
def test_chance_is_new_in_every_frame_and_for_every_seed(portrait, kind):
    first = apply(portrait, kind, 3)
    assert np.array_equal(first, apply(portrait, kind, 3))
    assert not np.array_equal(first, apply(portrait, kind, 3, index=1))
    assert not np.array_equal(first, apply(portrait, kind, 3, seed=1))


def test_noise_added_twice_is_not_the_same_noise():
    gray = np.full((200, 200, 3), 128, np.uint8)
    once = apply(gray, 'GNC', 1).astype(float)
    twice = distort_frame(gray, [('GNC', 1)] * 2, seed=0, index=0)
    assert twice.var() / once.var() == pytest.approx(2, rel=0.03)


def test_distortions_are_applied_in_their_order(portrait):
    gray_last = [('GNC', 3), ('CS', 5)]
    noise_last = [('CS', 5), ('GNC', 3)]
    frames = [
        distort_frame(portrait, distortions, seed=0, index=0)
        for distortions in (gray_last, noise_last)
    ]
    spread = [np.ptp(frame.astype(int), axis=-1).max() for frame in frames]
    assert spread[0] <= 1
    assert spread[1] > 50


def test_vc_amid_other_types_splits_the_list(portrait):
    frames = [portrait] * 3
    distortions = [('CC', 1), ('VC', 2), ('BW', 1)]
    coded = compress([apply(portrait, 'CC', 1)] * 3, 32, fps=25)
    # the second in a list draws as the third does: by its position
    blank = [('CS', 1), ('CS', 1), ('BW', 1)]
    places = [
        distort_frame(np.zeros_like(portrait), blank, seed=3, index=index)
        for index in range(3)
    ]
    expected = [
        np.where(place == 128, 128, frame)
        for place, frame in zip(places, coded)
    ]
    result = list(distort_frames(frames, distortions, seed=3, fps=25))
    assert np.array_equal(result, expected)


@pytest.mark.parametrize('kind', ON_FRAMES)
def test_a_frame_is_never_changed_in_place(portrait, kind):
    frame = portrait.copy()
    assert not np.array_equal(apply(frame, kind, 3), portrait)
    assert np.array_equal(frame, portrait)


def test_no_distortions_change_nothing(clip):
    frames = list(distort_frames(clip, (), seed=0, fps=25))
    assert np.array_equal(frames, clip)
    assert is_framewise(())


def test_seeds_of_names_are_the_same_everywhere():
    # first 8 bytes of `printf '0 071_054' | sha256sum`, big-endian
    assert seed_of('071_054') == 0xD0B95C11552FE55D
    names = ['071_054', '071_055']
    assert len({seed_of(name, seed) for name in names for seed in (0, 1)}) == 4


def test_meta_syntax_is_read_and_written():
    distortions = (('CS', 3), ('GB', 1))
    assert parse_distortions('CS:3 GB:1') == distortions
    assert format_distortions(distortions) == 'CS:3 GB:1'
    assert parse_distortions('') == ()


@pytest.mark.parametrize(
    'text', ['CS', 'CS:0', 'CS:6', 'XY:1', 'CS:1,GB:2', 'CS:12', 'cs:1']
)
def test_what_is_no_distortion_is_named(text):
    with pytest.raises(ValueError, match=text):
        parse_distortions(text)


def test_unknown_distortions_are_refused_before_the_first_frame(clip):
    with pytest.raises(ValueError, match='CS:6'):
        distort_frames(clip, [('CS', 6)], seed=0, fps=25)


def test_a_meta_file_is_read_line_by_line(tmp_path):
    """`<path> <type>:<level> ...`: README of DeeperForensics-1.0, Lists."""
    path = tmp_path / 'meta.txt'
    path.write_text(
        'end_to_end_level_5/000_M101.mp4 BW:5\n'
        'end_to_end/001_M102.mp4\n'
        '\n'
        'my videos/a b.mp4 CS:3 GB:1\r\n'
    )
    expected = {
        'end_to_end_level_5/000_M101.mp4': (('BW', 5),),
        'end_to_end/001_M102.mp4': (),
        'my videos/a b.mp4': (('CS', 3), ('GB', 1)),
    }
    assert read_meta(path) == expected
    write_meta(tmp_path / 'again.txt', expected)
    assert read_meta(tmp_path / 'again.txt') == expected


def test_a_bad_line_of_a_meta_file_is_named(tmp_path):
    path = tmp_path / 'meta.txt'
    path.write_text('a.mp4 CS:1\nb.mp4 CS:1 XY:2\n')
    with pytest.raises(ValueError, match=r'meta\.txt, line 2: .*XY:2'):
        read_meta(path)


def draw(variant, count=400):
    rng = np.random.default_rng(0)
    return [random_distortions(variant, rng) for _ in range(count)]


def test_a_level_variant_draws_the_type_only():
    """The type is random, the level fixed: DeeperForensics-1.0, issue 10."""
    drawn = draw('level_3')
    assert {d for (d,) in drawn} == {(kind, 3) for kind in TABLE}


def test_the_random_level_variant_draws_every_type_at_every_level():
    every = {(kind, level) for kind in TABLE for level in range(1, 6)}
    assert {d for (d,) in draw('random_level')} == every


@pytest.mark.parametrize('count', [2, 3, 4])
def test_a_mix_has_distinct_types_in_any_order_at_any_level(count):
    drawn = draw(f'mix_{count}')
    assert {len({kind for kind, _ in mix}) for mix in drawn} == {count}
    assert {len(mix) for mix in drawn} == {count}
    assert {mix[0][0] for mix in drawn} == set(TABLE)
    assert {mix[-1] for mix in drawn} >= {(k, 5) for k in TABLE}


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match=r'mix_5.*mix_4'):
        draw('mix_5', 1)


@pytest.fixture
def shift(monkeypatch):
    """A type of ours that adds a drawn whole number below its parameter."""
    module = importlib.import_module('gml_mmaction.video.distortions')
    for name in ('LEVELS', '_FRAMEWISE', '_SEEDED'):
        monkeypatch.setattr(module, name, getattr(module, name).copy())

    @register_distortion('Shift', (2, 4, 8, 16, 32), seeded=True)
    def add(frame, most, rng):
        return frame + np.uint8(rng.integers(1, most))

    return 'Shift'


def test_a_further_type_is_applied_by_its_level_seed_and_index(shift, clip):
    assert parse_distortions('Shift:5 GB:1') == (('Shift', 5), ('GB', 1))
    assert is_framewise([(shift, 5)])
    frames = list(distort_frames(clip, [(shift, 5)], seed=3, fps=25))
    added = [np.unique(b - a).item() for a, b in zip(clip, frames)]
    assert all(1 <= value < 32 for value in added)
    assert len(set(added)) > 1
    alone = distort_frame(clip[7], [(shift, 5)], seed=3, index=7)
    assert np.array_equal(alone, frames[7])
    least = distort_frame(clip[7], [(shift, 1)], seed=3, index=7)
    assert np.array_equal(least, clip[7] + 1)


def test_a_variant_of_the_data_set_draws_none_but_its_own_types(shift):
    rng = np.random.default_rng(0)
    drawn = {
        kind
        for _ in range(200)
        for kind, _ in random_distortions('mix_4', rng)
    }
    assert drawn == set(TABLE)


@pytest.mark.parametrize(
    ('kind', 'levels', 'words'),
    [
        ('GB', (1, 2, 3, 4, 5), 'the name is taken'),
        ('a:b', (1, 2, 3, 4, 5), 'letters and digits'),
        ('Few', (1, 2), '2 levels'),
    ],
)
def test_a_type_that_cannot_be_is_refused(kind, levels, words):
    before = dict(LEVELS)
    with pytest.raises(ValueError, match=words):
        register_distortion(kind, levels)
    assert before == LEVELS
