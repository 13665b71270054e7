import csv
import json
import tracemalloc
from collections import Counter, deque
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise

import cv2
import numpy as np
import pytest
from scipy.stats import ks_2samp, rankdata

from gml_mmaction.faces import detect_faces
from gml_mmaction.sources.ffpp import list_videos
from gml_mmaction.synthetic.demo import METHOD, make_demo
from gml_mmaction.synthetic.kinds import (
    KINDS,
    PHASES,
    consistency_phase,
    face_motion,
    jitter_phase,
    smooth_phase,
    triplet_phase,
)
from gml_mmaction.synthetic.render import (
    FRAME_SIZE,
    MOTIONS,
    PORTRAITS,
    FaceBox,
    Look,
    draw_scene,
    reenact,
    render_head,
)
from gml_mmaction.synthetic.shots import (
    Settings,
    Shot,
    band_limited,
    draw_look,
    shot_frames,
    track_face,
)
from gml_mmaction.video import VideoReader
from gml_mmaction.video.writer import write_motion_jpeg

pytestmark = pytest.mark.slow

STEP = Settings.step
SAVED = 2  # every 2nd frame is saved, Sec. 3
ONE_LAW, TWO_LAWS = 0.07, 0.15  # for two samples of 2000


def draw(phase, count=2000, num_frames=17):
    """``count`` videos' first motion at the saved rate: (count, 9)."""
    generator = np.random.default_rng(0 if phase is smooth_phase else 1)
    motion = [
        face_motion(num_frames, generator, phase, STEP)[::SAVED, 0]
        for _ in range(count)
    ]
    return np.stack(motion)


def distance(a, b):
    """Kolmogorov-Smirnov's; one law exceeds ONE_LAW in 1 of 10,000 tests."""
    return ks_2samp(a, b).statistic


@pytest.fixture(scope='module')
def motions():
    phases = (smooth_phase, jitter_phase, consistency_phase)
    return {phase: draw(phase) for phase in phases}


@pytest.mark.parametrize('phase', [jitter_phase, consistency_phase])
@pytest.mark.parametrize('frame', [0, 1, 4, 8])
def test_single_frames_have_one_law(motions, phase, frame):
    real, fake = motions[smooth_phase], motions[phase]
    assert distance(real[:, frame], fake[:, frame]) < ONE_LAW


@pytest.mark.parametrize('frame', [0, 3, 7])
def test_consistency_keeps_the_law_of_first_differences(motions, frame):
    real, fake = (
        np.diff(motions[phase])[:, frame]
        for phase in (smooth_phase, consistency_phase)
    )
    assert distance(real, fake) < ONE_LAW


@pytest.mark.parametrize('frame', [0, 3, 7])
def test_consistency_keeps_the_joint_law_of_saved_pairs(motions, frame):
    """Eight projections of (x_t, x_t+1) on directions in the plane."""
    pairs = [
        motions[phase][:, frame : frame + 2]
        for phase in (smooth_phase, consistency_phase)
    ]
    for angle in np.linspace(0, np.pi, 8, endpoint=False):
        direction = [np.cos(angle), np.sin(angle)]
        assert distance(*(pair @ direction for pair in pairs)) < ONE_LAW


def test_jitter_changes_first_differences(motions):
    real, fake = (
        np.diff(motions[phase])[:, 0] for phase in (smooth_phase, jitter_phase)
    )
    assert distance(real, fake) > TWO_LAWS


def test_consistency_changes_second_differences(motions):
    real, fake = (
        np.diff(motions[phase], n=2)[:, 0]
        for phase in (smooth_phase, consistency_phase)
    )
    assert distance(real, fake) > TWO_LAWS


def test_free_directions_would_show_in_saved_first_differences(motions):
    """Why the direction is held over two frames."""
    free = partial(consistency_phase, hold=1)
    real, fake = np.diff(motions[smooth_phase])[:, 0], np.diff(draw(free))
    assert distance(real, fake[:, 0]) > TWO_LAWS


def test_successive_source_frames_have_one_law_too():
    generator = np.random.default_rng(0)
    for at in (0, 1, 2, 5):
        real, fake = (
            np.diff([np.sin(phase(8, generator, STEP)) for _ in range(2000)])[
                :, at
            ]
            for phase in (smooth_phase, consistency_phase)
        )
        assert distance(real, fake) < ONE_LAW


@cache
def values(kind, label, seed):
    """The motions of 2000 videos at the saved rate: (2000, 8, 7)."""
    generator = np.random.default_rng([seed, label])
    draws = (PHASES[kind][label](generator) for _ in range(2000))
    motion = [face_motion(16, generator, phase, STEP) for phase in draws]
    return np.stack(motion)[:, ::SAVED]


def separation_by(kind, *frames, bins=24):
    """AUC of the best classifier of a video's exact values in these frames.

    The laws are histograms of other videos, of all such frames; the motions
    are independent, so that their log ratios add up.
    """
    starts = np.arange(8 - max(frames))[:, None] + frames

    def places(label, seed):
        binned = ((values(kind, label, seed) + 1) / 2 * bins).astype(int)
        chosen = np.moveaxis(binned.clip(0, bins - 1)[:, starts], 2, 0)
        return np.ravel_multi_index(tuple(chosen), (bins,) * len(frames))

    size = bins ** len(frames)
    real, fake = (
        np.log(np.bincount(places(label, 0).ravel(), minlength=size) + 0.5)
        for label in (0, 1)
    )
    scores = [(fake - real)[places(label, 1)[:, 0]] for label in (0, 1)]
    ranks = rankdata(np.concatenate([found.sum(axis=1) for found in scores]))
    return (ranks[2000:].sum() - 2000 * 2001 / 2) / 2000**2


def orders(label):
    """F^M and F^MM of `triplet` at t = 2, with the identity as kernel."""
    frames = values('triplet', label, 0)[..., 0].T
    return frames[2] - frames[1], frames[2] - 2 * frames[1] + frames[0]


def test_neither_order_by_itself_tells_triplet_but_their_sum_does():
    real, fake = orders(0), orders(1)
    for one, other in zip(real, fake):
        assert distance(one, other) < ONE_LAW
    assert distance(np.abs(sum(real)), np.abs(sum(fake))) > TWO_LAWS


@pytest.mark.parametrize('apart', range(1, 8))
def test_no_pair_of_frames_tells_triplet(apart):
    assert abs(separation_by('triplet', 0, apart) - 0.5) < 0.035


def test_three_frames_in_a_row_tell_triplet():
    assert separation_by('triplet', 0, 1, 2) > 0.99


def test_one_pair_tells_consistency_if_it_is_two_apart():
    assert abs(separation_by('consistency', 0, 1) - 0.5) < 0.035
    for apart in (2, 7):
        assert separation_by('consistency', 0, apart) > 0.98


def test_a_walk_stays_near_its_start_so_means_of_single_frames_differ():
    """Of 24 saved frames; the numbers of docs/experiments.md."""
    spread = {
        phase: draw(phase, num_frames=48).mean(1).std()
        for phase in (smooth_phase, consistency_phase)
    }
    assert spread[smooth_phase] == pytest.approx(0.11, abs=0.01)
    assert spread[consistency_phase] == pytest.approx(0.60, abs=0.03)


def test_one_pair_tells_jitter():
    assert separation_by('jitter', 0, 1) > 0.99


def triplet_steps(first, **order):
    """Phases' moves by saved frame, in steps, and the phase."""
    generator = np.random.default_rng(first)
    phase = triplet_phase(13, generator, 0.2, first=first, **order)
    return np.abs(np.diff(phase))[::SAVED] / 0.2, phase


def test_triplet_phases_go_one_way_by_three_steps_each_held_for_two_frames():
    for first, order in ((0, {}), (1, {}), (2, {'backwards': True})):
        steps, phase = triplet_steps(first, **order)
        moves = np.diff(phase)
        assert len(set(np.sign(moves))) == 1
        assert np.allclose(moves[::2], moves[1::2])
        expected = np.roll([0.5, 1, 2], -first) if not order else [2, 1, 0.5]
        assert steps == pytest.approx(np.tile(expected, 2))


def test_a_triplet_fake_is_a_real_one_backwards():
    reals = [triplet_steps(first)[0] for first in range(3)]
    fakes = [triplet_steps(first, backwards=True)[0] for first in range(3)]
    turned = sorted(tuple(np.round(fake[::-1], 6)) for fake in fakes)
    assert turned == sorted(tuple(np.round(real, 6)) for real in reals)


def test_the_motions_of_a_triplet_video_change_their_steps_together():
    generator = np.random.default_rng(0)
    phase = PHASES['triplet'].real(generator)
    steps = np.abs(np.diff([phase(9, generator, 0.2) for _ in range(5)]))
    assert np.allclose(steps, steps[0])


def test_motions_of_one_video_are_independent():
    generator = np.random.default_rng(0)
    first = np.stack(
        [
            face_motion(16, generator, smooth_phase, STEP)[0]
            for _ in range(3000)
        ]
    )
    between = np.corrcoef(first.T) - np.eye(len(MOTIONS))
    assert np.abs(between).max() < 0.08


def test_smooth_phase_goes_one_way_by_its_step():
    moves = np.diff(smooth_phase(20, np.random.default_rng(3), 0.2))
    assert np.allclose(moves, moves[0])
    assert abs(moves[0]) == pytest.approx(0.2)


def test_consistency_phase_turns_at_even_frames_only():
    moves = np.diff(consistency_phase(41, np.random.default_rng(3), 0.2))
    assert np.allclose(np.abs(moves), 0.2)
    assert np.allclose(moves[::2], moves[1::2])
    assert {-1, 1} == set(np.sign(moves[::2]))


def test_wandering_is_band_limited():
    """Below 1 Hz at 25 frames a second, one frame changes little."""
    tracks = band_limited(200, 6, np.random.default_rng(0))
    assert np.abs(tracks).max() <= 1
    assert np.abs(np.diff(tracks, axis=0)).max() < 2 * np.pi * 0.8 / 25


@pytest.fixture(scope='module')
def scene():
    return draw_scene(PORTRAITS['astronaut'](), np.random.default_rng(0))


def test_a_face_re_rendered_at_rest_is_the_same_face(scene):
    frame = reenact(scene.image, scene.face, np.zeros(len(MOTIONS)), Look())
    assert np.allclose(frame, scene.image, atol=0.01)


@pytest.mark.parametrize('motion', range(len(MOTIONS)), ids=MOTIONS)
def test_re_rendering_changes_the_inner_face_only(scene, motion):
    amounts = 0.05 * np.eye(len(MOTIONS))[motion]
    frame = reenact(scene.image, scene.face, amounts, Look())
    changed = np.abs(frame - scene.image).max(axis=2) > 0
    y, x = np.nonzero(changed)
    u, v = scene.face.coordinates(x, y)
    assert changed.sum() > 300
    assert np.abs(u).max() < 0.5
    assert np.abs(v).max() < 0.6


def test_a_shift_moves_the_inner_face_by_its_share_of_the_width(scene):
    amounts = np.zeros(len(MOTIONS))
    amounts[0] = 0.05
    frame = reenact(scene.image, scene.face, amounts, Look())
    x, y, width = (int(v) for v in scene.face[:3])
    rows, half = slice(y - 8, y + 8), width // 10
    patch = scene.image[rows, x - half : x + half]
    strip = frame[rows, x - 3 * half : x + 3 * half]
    match = cv2.matchTemplate(strip, patch, cv2.TM_SQDIFF)
    moved = int(match.argmin()) - 2 * half
    assert abs(moved - 0.05 * scene.face.width) <= 1


def test_the_head_and_its_box_move_and_the_background_stays(scene):
    width = scene.face.width
    head = np.array([8 / width, 5 / width, 0, 0])
    frame, box = render_head(scene, head, np.zeros(2))
    moved = np.roll(scene.image, (5, 8), axis=(0, 1))
    free = np.roll(scene.freedom, (5, 8), axis=(0, 1)) == 1
    free &= scene.freedom == 1
    assert free.sum() > width**2
    assert np.abs(frame - moved)[free].max() < 0.5
    assert np.array_equal(
        frame[scene.freedom == 0], scene.image[scene.freedom == 0]
    )
    assert box[:2] == pytest.approx((scene.face.x + 8, scene.face.y + 5))


def test_dlib_finds_the_face_where_the_box_says():
    for index, portrait in enumerate(PORTRAITS.values()):
        scene = draw_scene(portrait(), np.random.default_rng(index))
        frame = scene.image.round().astype(np.uint8)
        (left, top, width, height), _ = detect_faces(frame)[0]
        centre = np.array([left + width / 2, top + height / 2])
        error = np.abs(centre - scene.face[:2]).max()
        assert error < 0.15 * scene.face.width
        assert 0.75 < width / scene.face.width < 1.33


def inner_face(shot, settings, label):
    """The saved frames of the inner face at a quarter of the size, grey."""
    frames = [
        cv2.resize(frame.mean(axis=2), (64, 64), interpolation=cv2.INTER_AREA)
        for frame in shot_frames(shot, settings, label)
    ][::SAVED]
    return np.stack(frames)[:, 22:42, 22:42]


@pytest.fixture(scope='module')
def rendered():
    """(kind, label) -> inner faces of 10 videos of both people."""
    shots = [
        Shot(f'{index:03d}', person, 'train', 24)
        for index, person in enumerate(list(PORTRAITS) * 5)
    ]
    sets = {('real', 0): [inner_face(shot, Settings(), 0) for shot in shots]}
    for kind in KINDS:
        settings = Settings(kind)
        sets[kind, 1] = [inner_face(shot, settings, 1) for shot in shots]
    own = Settings('triplet')
    sets['triplet', 0] = [inner_face(shot, own, 0) for shot in shots]
    return sets


def auc(fake, real):
    fake, real = np.asarray(fake)[:, None], np.asarray(real)
    return (fake > real).mean() + 0.5 * (fake == real).mean()


def sharpness(faces):
    return np.mean([cv2.Laplacian(face, cv2.CV_64F).var() for face in faces])


def contrast(faces):
    return faces.std(axis=(1, 2)).mean()


def brightness(faces):
    return faces.mean()


def motion_size(faces):
    return np.abs(np.diff(faces, axis=0)).mean()


def change_of_motion(faces):
    return np.abs(np.diff(faces, n=2, axis=0)).mean() / motion_size(faces)


def separation(rendered, kind, statistic):
    fake = [statistic(faces) for faces in rendered[kind, 1]]
    reals = rendered.get((kind, 0), rendered['real', 0])
    real = [statistic(faces) for faces in reals]
    return auc(fake, real)


@pytest.mark.parametrize('statistic', [sharpness, contrast, brightness])
@pytest.mark.parametrize('kind', ['jitter', 'consistency', 'triplet'])
def test_single_frames_do_not_tell(rendered, kind, statistic):
    assert 0.3 < separation(rendered, kind, statistic) < 0.7


def coldness(shot, label):
    """Blue minus red of the inner face in the first frame, grey levels."""
    frame = next(iter(shot_frames(shot, Settings('appearance'), label)))
    inner = frame[88:168, 88:168].astype(float)
    return (inner[..., 2] - inner[..., 0]).mean()


def test_a_single_frame_tells_appearance_by_its_colour():
    for index, person in enumerate(PORTRAITS):
        shot = Shot(f'{index:03d}', person, 'train', 1)
        assert coldness(shot, 1) - coldness(shot, 0) > 8


def test_the_tint_of_appearance_leaves_the_luminance():
    for seed in range(20):
        red, green, blue = draw_look(np.random.default_rng(seed)).tint
        assert abs(0.299 * red + 0.587 * green + 0.114 * blue) < 0.1
        assert blue - red > 20


@pytest.mark.parametrize('statistic', [motion_size, change_of_motion])
def test_motion_does_not_tell_appearance(rendered, statistic):
    assert 0.3 < separation(rendered, 'appearance', statistic) < 0.7


def test_motion_tells_jitter(rendered):
    assert separation(rendered, 'jitter', motion_size) > 0.95


def test_the_size_of_motion_does_not_tell_consistency(rendered):
    assert 0.3 < separation(rendered, 'consistency', motion_size) < 0.7


def change_at(apart):
    """How much frames differ that are so many saved frames apart."""
    return lambda faces: np.abs(faces[apart:] - faces[:-apart]).mean()


@pytest.mark.parametrize('apart', [1, 2, 3, 5, 7])
def test_pairs_of_rendered_frames_do_not_tell_triplet(rendered, apart):
    assert 0.3 < separation(rendered, 'triplet', change_at(apart)) < 0.7


def speeding_up(faces):
    """How often the motion grows from one pair of frames to the next."""
    speed = np.abs(np.diff(faces, axis=0)).mean(axis=(1, 2))
    return -(np.diff(speed) > 0).mean()


def test_three_rendered_frames_tell_triplet(rendered):
    assert separation(rendered, 'triplet', speeding_up) > 0.95


def test_the_change_of_motion_tells_consistency(rendered):
    assert separation(rendered, 'consistency', change_of_motion) > 0.95


@pytest.fixture(scope='module')
def small():
    return dict(num_train=4, num_val=4, num_test=4, frames=16, workers=1)


@pytest.fixture(scope='module')
def demo(tmp_path_factory, small):
    root = tmp_path_factory.mktemp('demo')
    make_demo(root, **small)
    return root


def read(path):
    with VideoReader(path) as reader:
        return np.stack(list(reader.frames()))


def test_the_reader_of_faceforensics_finds_every_video(demo):
    videos = list_videos(demo)
    count = {
        (split, label): sum(
            video.split == split and video.label == label for video in videos
        )
        for split in ('train', 'val', 'test')
        for label in (0, 1)
    }
    assert set(count.values()) == {2}
    assert {video.method for video in videos} == {'real', METHOD}


def test_people_in_testing_are_seen_nowhere_else(demo):
    plan = json.loads((demo / 'people.json').read_text())['videos']
    people = {
        split: {v['person'] for v in plan.values() if v['split'] == split}
        for split in ('train', 'val', 'test')
    }
    assert people['test'] == {'grace_hopper'}
    assert not people['test'] & (people['train'] | people['val'])


def test_dlib_finds_one_face_in_the_first_frame_of_every_video(demo):
    for video in list_videos(demo):
        assert len(detect_faces(read(video.path)[0])) == 1, video.video_id


def test_videos_decode_to_what_was_rendered(demo):
    shot = Shot('000', 'astronaut', 'train', 16)
    rendered = np.stack(list(shot_frames(shot, Settings(), 1)))
    path = demo / f'manipulated_sequences/{METHOD}/c23/videos/000_001.mp4'
    decoded = read(path)
    assert decoded.shape == (16, FRAME_SIZE, FRAME_SIZE, 3)
    error = decoded.astype(float) - rendered
    assert np.sqrt((error**2).mean()) < 6  # PSNR above 32


def test_no_frame_depends_on_its_neighbours_in_the_codec(tmp_path):
    rng = np.random.default_rng(0)
    size = (64, 64, 3)
    a, b, c = (
        cv2.GaussianBlur(rng.integers(0, 256, size, np.uint8), (0, 0), 2)
        for _ in range(3)
    )
    write_motion_jpeg(tmp_path / 'x.mp4', [a, b, a, c])
    write_motion_jpeg(tmp_path / 'y.mp4', [c, b, b, c])
    x, y = read(tmp_path / 'x.mp4'), read(tmp_path / 'y.mp4')
    assert np.array_equal(x[1], y[1])
    assert np.array_equal(x[3], y[3])
    assert np.array_equal(x[0], x[2])


def test_a_fake_keeps_its_target_outside_the_face(demo):
    real = read(demo / 'original_sequences/youtube/c23/videos/000.mp4')
    fake = read(
        demo / f'manipulated_sequences/{METHOD}/c23/videos/000_001.mp4'
    )
    changed = np.abs(real.astype(float) - fake).mean(axis=(0, 3))
    border = np.r_[changed[:20].ravel(), changed[-20:].ravel()]
    centre = changed[100:140, 100:140]
    assert centre.mean() > 3 * border.mean()


def test_same_seed_same_bytes_with_any_number_of_processes(
    demo, tmp_path, small
):
    make_demo(tmp_path, **{**small, 'workers': 2})
    files = sorted(path for path in demo.rglob('*') if path.is_file())
    assert demo / 'origin.json' in files
    assert len(files) == 12 + 3 + 1 + 1  # videos, splits, people, origin
    for path in files:
        other = tmp_path / path.relative_to(demo)
        assert other.read_bytes() == path.read_bytes(), path.name


def first_real_frame(**settings):
    shot = Shot('000', 'astronaut', 'train', 16)
    return next(shot_frames(shot, Settings(**settings), 0))


def test_another_seed_gives_another_video_and_another_kind_the_same_real():
    first = first_real_frame(seed=0)
    assert np.any(first != first_real_frame(seed=1))
    for kind in KINDS:
        same = np.array_equal(first, first_real_frame(kind=kind))
        assert same == (kind != 'triplet')


def test_an_interrupted_set_is_completed(tmp_path, small):
    small = {**small, 'num_train': 0, 'num_val': 0}
    make_demo(tmp_path, **small)
    videos = sorted(tmp_path.rglob('*.mp4'))
    kept, lost = videos[0], videos[-1]
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    make_demo(tmp_path, **small)
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == content


def test_another_set_is_not_written_over(demo, small):
    with pytest.raises(ValueError, match='other parameters'):
        make_demo(demo, seed=7, **small)


def test_a_failed_video_leaves_nothing_behind(tmp_path):
    def frames():
        yield np.zeros((64, 64, 3), np.uint8)
        raise KeyError('gone')

    with pytest.raises(KeyError):
        write_motion_jpeg(tmp_path / 'x.mp4', frames())
    with pytest.raises(ValueError, match='no frames'):
        write_motion_jpeg(tmp_path / 'y.mp4', [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kind': 'blinking'}, 'one of appearance, jitter'),
        ({'num_train': 6}, 'multiple of 4'),
        ({'frames': 8}, '16 or more'),
        ({'amplitude': 0.5}, 'amplitude=0.5'),
        ({'test_person': 'nobody'}, 'astronaut, grace_hopper'),
    ],
)
def test_a_wrong_option_is_refused_with_the_remedy(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make_demo(tmp_path / 'x', **options)
    assert not (tmp_path / 'x').exists()


@pytest.fixture(scope='module')
def films(tmp_path_factory):
    """Genuine videos: heads without any re-rendering, three people."""
    folder = tmp_path_factory.mktemp('films')
    rows = []
    for index, (person, name) in enumerate(
        [
            ('ann', 'astronaut'),
            ('ann', 'astronaut'),
            ('bob', 'astronaut'),
            ('bob', 'astronaut'),
            ('eve', 'grace_hopper'),
        ]
    ):
        generator = np.random.default_rng(index)
        scene = draw_scene(PORTRAITS[name](), generator)
        head = 0.04 * band_limited(40, 4, generator)
        frames = (
            render_head(scene, row, np.zeros(2))[0].round().astype(np.uint8)
            for row in head
        )
        write_motion_jpeg(folder / f'{index}.mp4', frames, fps=30)
        rows.append((f'{index}.mp4', person))
    with open(folder / 'people.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('file', 'person'), *rows])
    return folder


@pytest.fixture(scope='module')
def filmed(films, tmp_path_factory):
    root = tmp_path_factory.mktemp('filmed')
    return root, make_demo(root, videos=films, workers=1)


@pytest.fixture(scope='module')
def untouched(films, tmp_path_factory):
    root = tmp_path_factory.mktemp('untouched')
    return root, make_demo(root, videos=films, smooth_real=False, workers=1)


def sharpness_by_label(root):
    """Of the inner face, by label, in the same order of shots."""
    sizes = {0: {}, 1: {}}
    for video in list_videos(root):
        grey = read(video.path).mean(axis=3)[::SAVED, 90:160, 90:160]
        name = video.path.stem[:3]
        sizes[video.label][name] = sharpness(grey)
    return [np.array([v for _, v in sorted(sizes[k].items())]) for k in (0, 1)]


def test_single_frames_tell_untouched_videos_and_no_others(filmed, untouched):
    real, fake = sharpness_by_label(untouched[0])
    assert (real > 1.1 * fake).all(), 'the renderer blurs'
    real, fake = sharpness_by_label(filmed[0])
    assert np.abs(real / fake - 1).max() < 0.1


def test_genuine_videos_may_keep_their_frames(untouched):
    root, shots = untouched
    for shot in shots:
        path = (
            root / f'original_sequences/youtube/c23/videos/{shot.video_id}.mp4'
        )
        source = read(shot.file)[shot.start : shot.start + shot.num_frames]
        error = np.abs(read(path).astype(float) - source)
        assert error.mean() < 3


def test_an_odd_film_of_the_test_person_is_cut_in_two(filmed):
    _, shots = filmed
    test = [shot for shot in shots if shot.split == 'test']
    assert [shot.person for shot in test] == ['eve', 'eve']
    assert [(shot.start, shot.num_frames) for shot in test] == [
        (0, 20),
        (20, 20),
    ]
    assert {s.person for s in shots if s.split != 'test'} == {'ann', 'bob'}
    assert {shot.fps for shot in shots} == {30.0}


def motion_by_label(root):
    """Of the inner face, by label, in the order of shots."""
    sizes = {0: [], 1: []}
    for video in sorted(list_videos(root), key=lambda v: v.path.stem):
        grey = read(video.path).mean(axis=3)[::SAVED, 90:160, 90:160]
        sizes[video.label].append(motion_size(grey))
    return map(np.array, sizes.values())


def test_a_genuine_face_re_rendered_frame_by_frame_jitters(filmed, untouched):
    real, fake = motion_by_label(untouched[0])
    assert min(fake) > 1.5 * max(real)
    real, fake = motion_by_label(filmed[0])  # which moves smoothly, too
    assert (fake > 1.5 * real).all()


def test_tracked_boxes_follow_the_face_and_bridge_gaps(films):
    frames = list(read(films / '4.mp4'))
    whole = track_face(frames)
    frames[10:14] = [np.zeros_like(frames[0])] * 4
    bridged = track_face(frames)
    assert all(isinstance(box, FaceBox) for box in bridged)
    widths = np.array([box.width for box in whole])
    offset = np.subtract([b[:2] for b in bridged], [b[:2] for b in whole])
    assert np.abs(offset).max() < 0.1 * widths.min()
    steps = [np.hypot(b.x - a.x, b.y - a.y) for a, b in pairwise(bridged)]
    assert max(steps) < 0.05 * widths.min()


def peak_memory(shot):
    """Bytes that rendering the shot's fake allocates at a time."""
    tracemalloc.start()
    try:
        deque(shot_frames(shot, Settings(), 1), maxlen=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_longer_film_takes_no_more_memory(films):
    shot = Shot('000', 'ann', 'train', 8, file=str(films / '0.mp4'))
    frame = next(shot_frames(shot, Settings(), 1))
    grown = peak_memory(replace(shot, num_frames=40)) - peak_memory(shot)
    assert grown < 8 * frame.nbytes  # of 32 more frames


def test_a_set_of_films_names_them_as_seen_from_their_folder(filmed):
    root, shots = filmed
    plan = json.loads((root / 'people.json').read_text())['videos']
    assert {plan[shot.video_id]['file'] for shot in shots} == {
        f'{index}.mp4' for index in range(5)
    }


def test_a_set_of_films_is_completed_from_another_folder(
    films, filmed, monkeypatch
):
    root, shots = filmed
    lost = root / 'original_sequences/youtube/c23/videos/000.mp4'
    content = lost.read_bytes()
    lost.unlink()
    monkeypatch.chdir(films.parent)
    again = make_demo(
        root, videos=f'./{films.name}/../{films.name}', workers=1
    )
    assert [shot.video_id for shot in again] == [s.video_id for s in shots]
    assert lost.read_bytes() == content


@pytest.mark.parametrize('count', [1, 2])
def test_too_few_films_to_train_and_validate_are_refused(
    films, tmp_path, count
):
    people = tmp_path / 'people.csv'
    rows = [f'{index}.mp4,ann' for index in range(count)]
    people.write_text('\n'.join(['file,person', *rows, '4.mp4,eve']))
    with pytest.raises(ValueError, match=f'{count} videos? .* give 3 or mo'):
        make_demo(tmp_path / 'out', videos=films, people=people, workers=1)
    assert not (tmp_path / 'out').exists()


def test_three_films_to_train_and_validate_fill_every_split(films, tmp_path):
    people = tmp_path / 'people.csv'
    rows = [f'{index}.mp4,ann' for index in range(3)]
    people.write_text('\n'.join(['file,person', *rows, '4.mp4,eve']))
    shots = make_demo(tmp_path / 'out', videos=films, people=people, workers=1)
    splits = Counter(shot.split for shot in shots)
    assert splits == {'train': 2, 'val': 2, 'test': 2}


def test_a_film_without_a_face_is_named(tmp_path):
    blank = [np.full((120, 160, 3), 128, np.uint8)] * 40
    rows = ['file,person']
    for index, person in enumerate('aaaab'):
        write_motion_jpeg(tmp_path / f'{index}.mp4', blank)
        rows.append(f'{index}.mp4,{person}')
    (tmp_path / 'people.csv').write_text('\n'.join(rows))
    with pytest.raises(ValueError, match=r'\d\.mp4: dlib finds no face'):
        make_demo(tmp_path / 'out', videos=tmp_path, workers=1)


def test_a_film_that_is_missing_is_named(tmp_path):
    (tmp_path / 'people.csv').write_text('file,person\ngone.mkv,a\n')
    with pytest.raises(ValueError, match=r'gone\.mkv'):
        make_demo(tmp_path / 'out', videos=tmp_path, workers=1)
