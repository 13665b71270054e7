"""A verdict is compared with genuine videos and with the training data."""

import json

import cv2
import numpy as np
import pytest
from msgspec.structs import replace
from tiny import CONFIG, TINY, write_detector
from videos import write

from gml_mmaction.apis import Analysis, ForgeryInferencer
from gml_mmaction.apis.verdict import face_side
from gml_mmaction.engine.config_check import read_settings
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import CheckpointError
from gml_mmaction.evaluation.prediction import Clip, Prediction, ScoredTrack
from gml_mmaction.evaluation.reference import GenuineScores
from gml_mmaction.evaluation.scores import ScoreFileError
from gml_mmaction.video import open_video
from gml_mmaction.visualization.overlay import Heat, _Finder, footer_lines
from gml_mmaction.visualization.timeline import verdict_line

pytest.importorskip('dlib')
pytest.importorskip('av')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, talking_head, load_tool):
    """A detector that a short training left; and its genuine videos."""
    folder = tmp_path_factory.mktemp('trained')
    root = folder / 'videos'
    for split in ('train', 'val'):
        for name in ('real/a', 'real/b', 'fake/c', 'fake/d'):
            talking_head(root / split / f'{name}.mp4', 48)
    data = folder / 'data'
    load_tool('prepare').main(['folder', str(root), str(data), '--size', '64'])
    cfg = read_settings(CONFIG)
    loaders = ('train_dataloader', 'val_dataloader')
    cfg.merge_from_dict(
        {
            **TINY,
            **{f'{name}.num_workers': 0 for name in loaders},
            **{f'{name}.persistent_workers': False for name in loaders},
            **{f'{name}.dataset.data_root': str(data) for name in loaders},
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
            'randomness.seed': 0,
        }
    )
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.work_dir = str(folder / 'run')
    build_runner(cfg).train()
    (best,) = (folder / 'run').glob('best_*.pth')
    return best, sorted((root / 'val/real').glob('*.mp4'))


def glowing(analysis):
    """Share of the frames in clips in which there is any heat."""
    heat = Heat(analysis.heat, analysis.ends)
    finder = _Finder(analysis.prediction, heat)
    found = [finder.at(i) for i in range(analysis.prediction.video.num_frames)]
    peaks = [face.heat.max() for faces in found for face in faces]
    return np.mean(np.array(peaks) > 0)


@pytest.mark.slow
def test_a_genuine_video_of_which_no_frame_is_unusual_does_not_glow(trained):
    checkpoint, videos = trained
    absolute = ForgeryInferencer(checkpoint, 'cpu')
    relative = ForgeryInferencer(checkpoint, 'cpu', relative_heat=True)
    shares = [glowing(absolute.analyse(video)) for video in videos]
    assert np.mean(shares) <= 0.1  # of 48 frames
    found = relative.analyse(videos[0])
    assert glowing(found) > 0.9
    assert found.options['heat_scale'] == 'relative'
    words = ' '.join(relative.detector['words'])
    assert 'the hottest place of a genuine video glows too' in words
    words = ' '.join(absolute.detector['words'])
    assert 'Heat is on the scale of genuine validation videos' in words


@pytest.fixture(scope='module')
def larger(trained, tmp_path_factory):
    """A genuine video, three times as wide and high."""
    with open_video(trained[1][0]) as reader:
        frames = [cv2.resize(f, None, fx=3, fy=3) for f in reader.frames()]
    return write(tmp_path_factory.mktemp('large') / 'large.mkv', frames)


@pytest.mark.slow
def test_a_video_unlike_the_training_gets_no_verdict_unless_asked_for(
    trained, larger
):
    checkpoint, (video, _) = trained
    usual = ForgeryInferencer(checkpoint, 'cpu').analyse(video).prediction
    assert usual.verdict in ('suspicious', 'not suspicious')
    assert usual.unlike == []
    analysis = ForgeryInferencer(checkpoint, 'cpu').analyse(larger)
    found = analysis.prediction
    assert found.verdict == 'no verdict'
    (face,) = [text for text in found.unlike if 'face' in text]
    assert face.startswith('size of the face ')
    assert 'times the highest' in face
    assert found.score is not None
    line = verdict_line(found)
    assert line.startswith('no verdict, unlike the training: video score')
    assert f'unlike the training: {face}' in footer_lines([], found)
    asked = ForgeryInferencer(checkpoint, 'cpu', even_if_unlike=True)
    other = asked.analyse(larger).prediction
    assert other.verdict in ('suspicious', 'not suspicious')
    assert other.unlike == found.unlike


@pytest.mark.slow
def test_the_command_says_in_which_a_video_is_unlike(
    trained, larger, load_tool, tmp_path, capsys
):
    command = [str(larger), '--checkpoint', str(trained[0]), '--quiet']
    command += ['--no-overlay', '--out', str(tmp_path), '--device', 'cpu']
    assert load_tool('predict').main(command) == 0
    printed = capsys.readouterr().out
    assert 'no verdict, unlike the training' in printed
    assert '[unlike the training: size of the face' in printed
    report = json.loads((tmp_path / 'large/prediction.json').read_text())
    assert report['detector']['validation']['reference']['inputs']['face']
    load_tool('predict').main([*command, '--even-if-unlike'])
    assert 'suspicious: video score' in capsys.readouterr().out


@pytest.fixture(scope='module')
def tracks():
    rng = np.random.default_rng(0)
    return rng.random((24, 4)).round(3).tolist()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory, tracks):
    """A detector that knows 24 genuine tracks of 4 clips."""
    validation = dict(
        metrics={'video/eer_threshold': 0.5},
        clips=96,
        reference=dict(tracks=tracks),
    )
    path = tmp_path_factory.mktemp('detector') / 'best.pth'
    return write_detector(path, validation=validation)


@pytest.mark.slow
def test_the_threshold_is_compared_with_a_score_corrected_for_many_faces(
    checkpoint, tracks, draw_faces
):
    frames = np.stack(
        [
            draw_faces((20 + i % 3, 20, 120), (190, 20, 120), width=330)
            for i in range(40)
        ]
    )
    found = ForgeryInferencer(checkpoint, 'cpu').analyse(frames).prediction
    clips = [[clip.score for clip in track.clips] for track in found.tracks]
    assert len(clips) == 2
    expected = GenuineScores(tracks, 'mean').correct(clips)
    assert (found.corrected, found.chance) == expected[:2]
    assert found.score == max(track.score for track in found.tracks)
    for threshold, verdict in (
        (found.corrected, 'suspicious'),
        (found.corrected + 1e-6, 'not suspicious'),
    ):
        inferencer = ForgeryInferencer(checkpoint, 'cpu', threshold)
        assert inferencer.analyse(frames).prediction.verdict == verdict
    assert f'corrected for 2 faces and {sum(map(len, clips))} clips' in (
        verdict_line(found)
    )


def test_a_checkpoint_without_statistics_works_and_says_that_they_are_missing(
    tmp_path, talking_head
):
    path = write_detector(tmp_path / 'old.pth')
    inferencer = ForgeryInferencer(path, 'cpu')
    found = inferencer.analyse(talking_head(tmp_path / 'a.mp4', 40)).prediction
    assert found.verdict in ('suspicious', 'not suspicious')
    assert (found.corrected, found.unlike) == (None, [])
    words = ' '.join(inferencer.detector['words'])
    assert 'The checkpoint does not say what its training videos' in words
    assert inferencer.detector['heat_scale'] == 'relative'


def shifted(frame, x=0.0, scale=1.0):
    """A frame whose picture is moved to the right, and grown about (300, 130),
    where the face is."""
    height, width = frame.shape[:2]
    matrix = np.float32(
        [[scale, 0, x + 300 * (1 - scale)], [0, scale, 130 * (1 - scale)]]
    )
    edge = cv2.BORDER_REPLICATE
    return cv2.warpAffine(frame, matrix, (width, height), borderMode=edge)


@pytest.fixture(scope='module')
def person(real_people):
    """160 frames, 640x480, of a person who speaks in front of a camera."""
    (path,) = [path for path in real_people if path.stem == 'school']
    with open_video(path) as reader:
        frames = list(reader.frames())
    return (frames + frames[::-1] + frames)[:160]


@pytest.mark.slow
@pytest.mark.parametrize(
    'move',
    [
        lambda i: dict(x=-150 + 300 * i / 160),
        lambda i: dict(x=150 * np.sin(i / 8)),
        lambda i: dict(scale=1 + i / 160),
    ],
    ids=['slowly', 'fast', 'nearer'],
)
def test_a_person_whose_face_moves_is_one_track_and_squares_follow(
    inferencer, person, move
):
    frames = np.stack([shifted(f, **move(i)) for i, f in enumerate(person)])
    found = inferencer.analyse(frames).prediction
    (track,) = found.tracks
    assert len(track.clips) >= 9
    assert len({tuple(clip.square) for clip in track.clips}) > 1
    for clip in track.clips:
        x0, _, side = clip.square
        expected = move(clip.start)
        middle = 300 + expected.get('x', 0)
        assert abs(x0 + side / 2 - middle) < 0.45 * side


def test_the_picture_of_a_moment_and_the_size_of_a_face_are_its_clips():
    """Not those of where its track began."""
    frames = np.zeros((48, 200, 400, 3), np.uint8)
    frames[16:, 40:120, 260:340] = 200
    squares = [20, 60, 40], [260, 40, 80], [260, 40, 80]
    clips = [
        Clip(start=a, stop=a + 16, seconds=None, score=0.1 * a, square=square)
        for a, square in zip((0, 16, 32), squares)
    ]
    track = ScoredTrack(
        track=0,
        start=0,
        stop=48,
        seconds=None,
        square=[20, 60, 40],
        seen=1.0,
        score=0.5,
        clips=clips,
    )
    prediction = Prediction(
        input='array',
        threshold=0.5,
        score=0.5,
        most_suspicious=replace(clips[1], track=0),
        tracks=[track],
    )
    data = Analysis(frames, prediction, {}).draw_face()
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), 0)
    assert picture[40:120, 40:120].mean() > 180
    assert face_side(track) == 80


@pytest.fixture(scope='module')
def inferencer(tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    return ForgeryInferencer(write_detector(folder / 'best.pth'), 'cpu')


@pytest.mark.slow
def test_an_inset_picture_that_changes_ends_no_track(inferencer, person):
    rng = np.random.default_rng(0)
    insets = [
        cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (220, 320))
        for _ in range(4)
    ]
    frames = np.stack(person)
    for i, frame in enumerate(frames):
        frame[:320, :220] = insets[i // 40]
    (track,) = inferencer.analyse(frames).prediction.tracks
    assert (track.start, track.stop) == (0, 160)


@pytest.mark.slow
def test_a_change_of_person_in_an_inset_picture_begins_another_track(
    inferencer, real_people, person
):
    """A clip of both would move as no face does."""
    insets = []
    for name in ('milk', 'brother'):
        (path,) = [path for path in real_people if path.stem == name]
        with open_video(path) as reader:
            insets += list(reader.frames())[:44]
    frames = np.stack(person[:88])
    for frame, inset in zip(frames, insets, strict=True):
        frame[:300, :400] = cv2.resize(inset, (400, 300))
    tracks = inferencer.analyse(frames).prediction.tracks
    inside = [track for track in tracks if track.square[0] < 200]
    assert [track.start for track in inside] == [0, 48]
    assert inside[0].stop == 44
    assert all(clip.stop <= 44 for clip in inside[0].clips)


@pytest.mark.slow
def test_a_face_that_is_not_seen_for_a_second_is_noted(inferencer, person):
    """As one in profile: here it is covered, from frame 60 on."""
    frames = np.stack(person + person[:60])
    frames[60:, 60:220, 200:400] = 90
    notes = inferencer.analyse(frames).prediction.notes
    assert any(
        note.startswith('no face was found in ')
        and 'one in profile, turned away or covered is not found' in note
        for note in notes
    )


@pytest.mark.slow
def test_the_command_counts_false_alarms_on_genuine_videos(
    checkpoint, tracks, load_tool, tmp_path, capsys
):
    """Of the very tracks that are known; fakes in the file do not count."""
    rows = [
        dict(
            video_id=f'{label}-{i}',
            track=0,
            clip_index=j,
            method='fake' if label else 'real',
            label=label,
            score=1.0 if label else score,
        )
        for label in (0, 1)
        for i, clips in enumerate(tracks)
        for j, score in enumerate(clips)
    ]
    path = tmp_path / 'scores.json'
    path.write_text(json.dumps(dict(videos=[], clips=rows)))
    main = load_tool('false_alarms').main
    found = main([str(checkpoint), str(path), '--videos', '50'])
    one, *_, many = [row for row in found if row.clips is None]
    assert (one.tracks, many.tracks) == (1, 32)
    share = np.mean([np.mean(clips) >= 0.5 for clips in tracks])
    assert one.highest == pytest.approx(share, abs=0.2)
    assert many.highest > 0.99
    assert many.corrected < share + 0.15
    assert '| faces | clips of each |' in capsys.readouterr().out
    scored = dict(name='other.pth', sha256='12' * 32)
    other = dict(videos=[], clips=rows, checkpoint=scored)
    (tmp_path / 'other.json').write_text(json.dumps(other))
    with pytest.raises(ScoreFileError, match=r'scores of other\.pth'):
        main([str(checkpoint), str(tmp_path / 'other.json')])
    old = write_detector(tmp_path / 'old.pth')
    with pytest.raises(CheckpointError, match='does not know enough genuine'):
        main([str(old), str(path)])
