"""Videos of one's own get a verdict."""

import hashlib
import html
import json
import os
import shutil
import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import CONFIG, REPO, TINY, write_detector, write_prepared
from videos import write

from gml_mmaction.apis import (
    ForgeryInferencer,
    analyse,
    list_inputs,
    load_detector,
)
from gml_mmaction.apis.inputs import InputError, find_inputs
from gml_mmaction.apis.verdict import VERDICTS
from gml_mmaction.errors import DetectorError, GMLError
from gml_mmaction.models.xception import Xception
from gml_mmaction.video import open_video

pytest.importorskip('dlib')
pytest.importorskip('av')

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp('detector') / 'best.pth')


@pytest.fixture(scope='module')
def inferencer(checkpoint):
    return ForgeryInferencer(checkpoint, 'cpu')


@pytest.fixture(scope='module')
def talking(talking_head, tmp_path_factory):
    """A face for 70 frames, which are 35 saved ones and 4 clips."""
    return talking_head(tmp_path_factory.mktemp('talking') / 'a.mp4', 70)


def test_a_video_of_any_name_gets_a_verdict(
    checkpoint, talking, run_python, tmp_path, monkeypatch
):
    """In a locale without UTF-8, whose signs the words have."""
    for name, value in (
        *(('LC_ALL', 'C'), ('PYTHONUTF8', '0')),
        *(('PYTHONCOERCECLOCALE', '0'), ('PYTHONIOENCODING', 'ascii')),
    ):
        monkeypatch.setenv(name, value)
    folder = tmp_path / 'in'
    folder.mkdir()
    names = [b'\xff', b'a\n\x1b[2J', b'n' * 245, b'$\\frac$', 'é'.encode()]
    for name in names:
        shutil.copy(talking, folder / os.fsdecode(name + b'.mp4'))
    done = run_python(
        str(REPO / 'tools/predict.py'),
        *(str(folder), '--checkpoint', str(checkpoint), '--quiet'),
        *('--out', str(tmp_path / 'out'), '--no-overlay', '--device', 'cpu'),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    lines = done.stdout.split('\n')
    verdicts = [line for line in lines if line.startswith(str(folder))]
    assert len(verdicts) == len(names)
    assert all('threshold 0.450' in line for line in verdicts)
    out = tmp_path / 'out'
    written = sorted(path for path in out.iterdir() if path.is_dir())
    assert len(written) == len(names)
    for place in written:
        assert place.name.isprintable()
        assert (place / 'timeline.png').stat().st_size
        assert json.loads((place / 'prediction.json').read_text())['score']


@pytest.fixture(scope='module')
def empty_room(write_video, tmp_path_factory):
    path = tmp_path_factory.mktemp('empty') / 'room.mp4'
    rng = np.random.default_rng(0)
    room = rng.integers(90, 110, (160, 200, 3)).astype(np.uint8)
    return write_video(path, [room] * 40)


def test_clips_are_eight_frames_each_every_second_of_the_video(
    inferencer, talking
):
    prediction = inferencer.analyse(talking).prediction
    (track,) = prediction.tracks
    assert [clip.start for clip in track.clips] == [0, 16, 32, 48]
    assert [clip.stop for clip in track.clips] == [16, 32, 48, 64]
    assert track.clips[1].seconds == [0.64, 1.28]
    assert (track.start, track.stop) == (0, 70)


@pytest.fixture(scope='module')
def portraits(draw_faces):
    """Frames of a face that moves, as at 25 a second."""
    rng = np.random.default_rng(3)
    steps = np.cumsum(rng.integers(-2, 3, (48, 2)), axis=0)
    return [draw_faces((30 + dx, 20 + dy, 120)) for dx, dy in steps]


def lossless(path, frames, **options):
    return write(path, frames, codec='ffv1', pix_fmt='yuv444p', **options)


def test_frames_are_taken_by_time_at_the_rate_of_the_training(
    inferencer, portraits, tmp_path
):
    usual = lossless(tmp_path / 'a.mkv', portraits)
    doubled = [frame for frame in portraits for _ in range(2)]
    fast = lossless(tmp_path / 'b.mkv', doubled, fps=50)
    one, two = (inferencer.analyse(p).prediction for p in (usual, fast))
    (track,), (same) = one.tracks, two.tracks[0]
    assert [clip.score for clip in same.clips] == pytest.approx(
        [clip.score for clip in track.clips]
    )
    assert [c.start for c in same.clips] == [0, 32, 64]
    assert [c.seconds for c in same.clips] == [c.seconds for c in track.clips]
    assert one.video.rate == two.video.rate == 12.5
    assert two.notes == []


def test_a_video_with_too_few_frames_is_taken_whole_and_says_so(
    inferencer, portraits, tmp_path
):
    path = lossless(tmp_path / 'a.mkv', portraits[:24], fps=10)
    prediction = inferencer.analyse(path).prediction
    (note,) = prediction.notes
    assert note.startswith('10 frames a second, fewer than the 12.5 wanted')
    assert prediction.video.rate == 10
    clips = prediction.tracks[0].clips
    assert [clip.start for clip in clips] == [0, 8, 16]
    assert clips[-1].seconds == [1.6, 2.4]


def test_no_clip_reaches_over_a_gap_in_time(inferencer, portraits, tmp_path):
    times = [40 * i + 4000 * (i >= 20) for i in range(48)]
    path = lossless(tmp_path / 'a.mkv', portraits, times=times)
    prediction = inferencer.analyse(path).prediction
    assert [track.start for track in prediction.tracks] == [0, 20]
    spans = [c.seconds for t in prediction.tracks for c in t.clips]
    assert spans == [[0.0, 0.64], [4.8, 5.44]]
    assert prediction.notes[0].startswith('no frames for up to 4.')


def test_clips_are_as_long_as_in_training_and_short_tracks_are_noted(
    portraits, tmp_path
):
    """Six frames of a shot, and 18 of another, in clips of 16."""
    path = write_detector(tmp_path / 'long.pth', options=['clip_len=16'])
    longer = ForgeryInferencer(path, 'cpu')
    times = [40 * i + 4000 * (i >= 12) for i in range(48)]
    video = lossless(tmp_path / 'a.mkv', portraits, times=times)
    prediction = longer.analyse(video).prediction
    (track,) = prediction.tracks
    (clip,) = track.clips
    assert (clip.start, clip.stop) == (12, 12 + 2 * 16)
    note = 'tracks of fewer than 16 frames, left out: 1'
    assert note in prediction.notes
    short = longer.analyse(lossless(tmp_path / 'b.mkv', portraits[:30]))
    assert short.prediction.status == 'too short'
    assert '16' in short.prediction.detail


def test_the_overlay_and_the_moment_show_the_clip_of_each_frame(
    inferencer, portraits, tmp_path
):
    doubled = [frame for frame in portraits for _ in range(2)]
    path = lossless(tmp_path / 'b.mkv', doubled, fps=50)
    analysis = inferencer.analyse(path)
    (track,) = analysis.prediction.tracks
    for clip in track.clips:
        for index in (clip.start, clip.stop - 1):
            moment = analysis.moment(index / 50)
            assert (moment.index, moment.score) == (index, clip.score)


def test_a_checkpoint_without_its_rate_says_so(tmp_path, portraits):
    training = dict(source='mine', size=64, stride=2)
    path = write_detector(tmp_path / 'old.pth', training=training)
    detector = load_detector(path, 'cpu')
    assert detector.rates is None
    assert 'every 2nd frame of the video, whatever its frame rate' in ' '.join(
        detector.words
    )
    video = lossless(tmp_path / 'a.mkv', portraits[:24], fps=10)
    prediction = analyse(detector, video).prediction
    assert prediction.tracks[0].clips[0].stop == 16


@pytest.mark.parametrize('rates', [{'low': 1}, [1, 2, 3], 'fast', -1])
def test_rates_that_cannot_be_are_refused(rates, tmp_path):
    training = dict(source='mine', size=64, stride=2, rates=rates)
    path = write_detector(tmp_path / 'bad.pth', training=training)
    with pytest.raises(DetectorError, match=r'bad\.pth: .* rates'):
        load_detector(path, 'cpu')


def test_a_track_is_the_mean_of_its_clips_and_a_video_its_highest_track(
    inferencer, draw_faces, write_video, tmp_path
):
    rng = np.random.default_rng(0)
    frames = []
    for dx, dy in rng.integers(-2, 3, (40, 2)):
        frames.append(
            draw_faces((20 + dx, 20, 120), (190, 20 + dy, 120), width=330)
        )
    path = write_video(tmp_path / 'two.mp4', frames)
    prediction = inferencer.analyse(path).prediction
    assert len(prediction.tracks) == 2
    means = [
        sum(clip.score for clip in track.clips) / len(track.clips)
        for track in prediction.tracks
    ]
    scores = [track.score for track in prediction.tracks]
    assert scores == pytest.approx(means)
    assert prediction.score == max(scores)
    assert len(set(scores)) == 2


def test_scores_are_those_of_tools_test_on_prepared_data(
    checkpoint, talking, tmp_path, load_tool, monkeypatch
):
    """The same video through prepare_data.py and test.py, with its config."""
    root = tmp_path / 'videos'
    for label in ('real', 'fake'):
        (root / 'test' / label).mkdir(parents=True)
        shutil.copy(talking, root / 'test' / label / f'{label}.mp4')
    data = tmp_path / 'data'
    load_tool('prepare').main(['folder', str(root), str(data), '--size', '64'])
    options = [f'{key}={value}' for key, value in TINY.items()]
    options += [
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
    ]
    load_tool('test').main(
        [
            *(str(CONFIG), str(checkpoint), '--data', str(data)),
            *('--work-dir', str(tmp_path / 'run'), '--cfg-options', *options),
        ]
    )
    scores = json.loads((tmp_path / 'run' / 'scores.json').read_text())
    expected = [
        clip['score'] for clip in scores['clips'] if clip['label'] == 0
    ]
    prediction = analyse(load_detector(checkpoint), talking).prediction
    found = [clip.score for clip in prediction.tracks[0].clips]
    assert len(expected) == 4
    assert found == pytest.approx(expected, abs=1e-6)
    assert np.ptp(expected) > 1e-4


def test_the_number_of_clips_at_once_changes_no_score(inferencer, talking):
    one, many = (
        inferencer.analyse(talking, batch_size=size).prediction.tracks
        for size in (1, 16)
    )
    for a, b in zip(one[0].clips, many[0].clips, strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-6)


def test_the_verdict_is_by_the_threshold(checkpoint, talking):
    score = ForgeryInferencer(checkpoint).analyse(talking).prediction.score
    for threshold, verdict in ((score, 'suspicious'), (1, 'not suspicious')):
        found = ForgeryInferencer(checkpoint, threshold=threshold)
        prediction = found.analyse(talking).prediction
        assert prediction.verdict == verdict
        assert prediction.threshold == threshold


def test_no_verdict_is_ever_real_or_genuine():
    assert not {'real', 'genuine', 'authentic'} & set(VERDICTS)


def test_a_video_without_a_face_says_no_face(inferencer, empty_room):
    prediction = inferencer.analyse(empty_room).prediction
    assert prediction.status == prediction.verdict == 'no face'
    assert prediction.score is None
    assert prediction.video.num_frames == 40


def test_bad_inputs_are_results_with_a_reason(
    inferencer, talking_head, tmp_path
):
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'noise.mp4').write_bytes(bytes(range(256)) * 40)
    short = talking_head(tmp_path / 'short.mp4', 14)
    for name, status in (
        ('none.mp4', 'missing'),
        ('empty.mp4', 'empty'),
        ('noise.mp4', 'unreadable'),
        (short.name, 'too short'),
    ):
        prediction = inferencer.analyse(tmp_path / name).prediction
        assert prediction.status == status, name
        assert prediction.verdict == 'no verdict'
        assert prediction.detail


def test_a_tiny_video_has_no_face(inferencer, write_video, tmp_path):
    frames = [np.full((8, 8, 3), 90, np.uint8)] * 40
    path = write_video(tmp_path / 'tiny.mp4', frames)
    assert inferencer.analyse(path).prediction.status == 'no face'


def test_a_huge_frame_is_not_doubled_and_a_note_says_so(
    inferencer, draw_faces
):
    frame = draw_faces((300, 200, 400), width=3860, height=2180)
    frames = np.broadcast_to(frame, (16, *frame.shape))
    prediction = inferencer.analyse(frames).prediction
    assert prediction.status == 'ok'
    assert prediction.notes == [
        'its frame rate is not known; every 2nd frame taken',
        '3860x2180: faces below 80 pixels are not searched for',
    ]


def test_a_frame_is_doubled_as_often_as_memory_allows(draw_faces, checkpoint):
    detector = load_detector(checkpoint)
    detector.crop_options = replace(detector.crop_options, upsample=4)
    frame = draw_faces((300, 200, 400), width=1920, height=1088)
    frames = np.broadcast_to(frame, (16, *frame.shape))
    notes = analyse(detector, frames).prediction.notes
    assert '1920x1088: faces below 40 pixels are not searched for' in notes


def test_a_cut_file_is_used_up_to_where_it_breaks(
    inferencer, talking_head, tmp_path
):
    """An mp4 whose index comes first, as recorders write it, cut short."""
    import av

    whole = talking_head(tmp_path / 'whole.mp4', 120)
    front = tmp_path / 'front.mp4'
    options = {'movflags': 'faststart'}
    with (
        av.open(str(whole)) as old,
        av.open(str(front), 'w', options=options) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    cut = tmp_path / 'cut.mp4'
    data = front.read_bytes()
    cut.write_bytes(data[: len(data) * 3 // 4])
    prediction = inferencer.analyse(cut).prediction
    assert prediction.status == 'ok'
    (note,) = prediction.notes
    assert note.startswith('the file is broken from frame')
    assert prediction.tracks[-1].stop <= int(note.split()[-1]) < 120


def test_frames_in_an_array_give_the_scores_of_the_file(inferencer, talking):
    with open_video(talking) as reader:
        frames = np.stack(list(reader.frames()))
    in_memory = inferencer.analyse(frames).prediction
    on_disk = inferencer.analyse(talking).prediction
    assert in_memory.score == on_disk.score
    assert in_memory.tracks[0].seconds is None
    assert in_memory.input == 'array'


def test_an_array_of_another_kind_is_a_result_with_a_reason(inferencer):
    prediction = inferencer.analyse(np.zeros((3, 40, 40))).prediction
    assert prediction.status == 'unreadable'
    assert '(T, H, W, 3)' in prediction.detail


def test_reports_of_all_inputs_are_written_and_the_bad_do_not_stop_the_rest(
    inferencer, talking, empty_room, tmp_path
):
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(b'no video')
    inputs = [broken, str(talking), empty_room]
    results = inferencer(inputs, out_dir=tmp_path / 'out', show_progress=False)
    found = [p['status'] for p in results['predictions']]
    assert found == ['unreadable', 'ok', 'no face']
    for prediction, files in zip(
        results['predictions'], results['visualization'], strict=True
    ):
        report = json.loads(Path(files['prediction']).read_text())
        assert report['status'] == prediction['status']
        assert report['detector']['words'][0].startswith('A score is not')
    with open_video(results['visualization'][1]['overlay']) as overlay:
        assert overlay.num_frames == 70
        assert overlay.fps == 25
    assert set(results['visualization'][0]) == {'prediction'}


def test_files_of_equal_names_get_folders_of_their_own(
    inferencer, empty_room, tmp_path
):
    (tmp_path / 'b').mkdir()
    other = shutil.copy(empty_room, tmp_path / 'b' / empty_room.name)
    results = inferencer(
        [empty_room, other],
        out_dir=tmp_path / 'out',
        overlay=False,
        show_progress=False,
    )
    files = [files['prediction'] for files in results['visualization']]
    assert len(set(files)) == 2


def test_a_folder_stands_for_its_videos_or_for_one_of_images(tmp_path):
    for name in ('b.mp4', 'a.MKV', 'notes.txt', '.hidden.mp4'):
        (tmp_path / name).touch()
    names = [path.name for path in list_inputs(tmp_path)]
    assert names == ['a.MKV', 'b.mp4']
    images = tmp_path / 'images'
    images.mkdir()
    (images / '0.png').touch()
    assert list_inputs([images, 'c.mp4']) == [images, 'c.mp4']
    nothing = tmp_path / 'nothing'
    nothing.mkdir()
    with pytest.raises(InputError, match=r'nothing: .*another folder'):
        list_inputs([nothing, nothing])
    (nothing / 'person').mkdir()
    with pytest.raises(InputError, match=r'the folders in it: .*nothing/\*'):
        list_inputs(nothing)
    assert list_inputs([nothing, 'c.mp4']) == [nothing, 'c.mp4']


def test_a_video_that_is_named_in_several_ways_is_done_once(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ('a.mp4', 'b.mp4'):
        Path(name).write_bytes(b'1')
    Path('link.mp4').symlink_to('a.mp4')
    Path('lost.mp4').symlink_to('nowhere.mp4')
    found = find_inputs(['./a.mp4', 'a.mp4', 'link.mp4', str(tmp_path)])
    assert [video.source for video in found.videos] == [
        './a.mp4',
        tmp_path / 'b.mp4',
    ]
    assert found.unread == [
        f'{tmp_path}/lost.mp4: not read: a link that leads nowhere',
        'a.mp4: not read again: it is ./a.mp4',
        'link.mp4: not read again: it is ./a.mp4',
        f'{tmp_path}/a.mp4: not read again: it is ./a.mp4',
        f'{tmp_path}/link.mp4: not read again: it is ./a.mp4',
    ]
    assert find_inputs(found) is found
    linked = list_inputs(['link.mp4', 'b.mp4', 'b.mp4'])
    assert linked == ['link.mp4', 'b.mp4']


def test_a_folder_with_nothing_in_it_is_an_entry_of_its_own(
    inferencer, empty_room, tmp_path
):
    (tmp_path / 'nothing').mkdir()
    made = inferencer(
        [tmp_path / 'nothing', empty_room],
        out_dir=tmp_path / 'out',
        overlay=False,
        show_progress=False,
    )
    first, second = made['predictions']
    assert first['status'] == 'empty'
    assert first['input'] == str(tmp_path / 'nothing')
    assert second['status'] == 'no face'
    assert 'nothing' in (tmp_path / 'out/summary.csv').read_text()


def test_progress_rises_to_the_number_of_frames_and_may_stop(
    inferencer, talking
):
    seen = []
    inferencer.analyse(talking, lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (70, 70)

    class StoppedError(Exception):
        pass

    def stop(done, total):
        raise StoppedError

    with pytest.raises(StoppedError):
        inferencer.analyse(talking, stop)


def test_clips_from_when_a_face_was_gone_are_in_no_score(
    inferencer, draw_faces, write_video, tmp_path
):
    """The face is away from frame 40 on; it is missed 100 frames later."""
    face, wall = draw_faces((30, 20, 120)), draw_faces()
    path = write_video(tmp_path / 'leaves.mp4', [face] * 60 + [wall] * 200)
    prediction = inferencer.analyse(path).prediction
    stops = [c.stop for t in prediction.tracks for c in t.clips]
    assert max(stops) <= 60


def test_a_video_ten_times_as_long_holds_no_more_frames_in_memory(
    inferencer, talking_head, tmp_path
):
    """Traced are all arrays of NumPy: frames, crops, clips, maps.

    Up to 32 frames may be decoded ahead, as chance has it; the crops alone
    would be as large as 50.
    """

    def peak(frames):
        path = talking_head(tmp_path / f'{frames}.mp4', frames)
        tracemalloc.start()
        inferencer.analyse(path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(80)  # what is loaded once
    short, long = peak(80), peak(800)
    frame = 200 * 160 * 3
    assert long < short + 32 * frame


def test_real_people_are_scored_one_track_each_at_least(
    inferencer, real_people
):
    results = inferencer(real_people[:3], show_progress=False)
    for prediction in results['predictions']:
        assert prediction['status'] == 'ok'
        assert 0 <= prediction['score'] <= 1


def test_the_command_prints_a_line_each_and_tells_by_its_exit_code(
    checkpoint, talking, empty_room, tmp_path, load_tool, monkeypatch, capsys
):
    main = load_tool('predict').main
    common = ['--checkpoint', str(checkpoint), '--quiet', '--no-overlay']
    common += ['--out', str(tmp_path / 'out')]
    assert main([str(talking), *common]) == 0
    assert main([str(talking), str(empty_room), *common]) == 1
    printed = capsys.readouterr().out
    assert f'{empty_room}: no face: none was found' in printed
    assert 'A score is not a proof' in printed
    assert 'Trained on data of source ffpp' in printed


def test_files_of_a_folder_that_are_not_read_are_named(
    inferencer, checkpoint, talking, tmp_path, load_tool, monkeypatch, capsys
):
    folder = tmp_path / 'folder'
    (folder / 'below').mkdir(parents=True)
    shutil.copy(talking, folder / 'a.mp4')
    (folder / 'notes\x1b[2J.txt').touch()
    shutil.copy(talking, folder / '.b.mp4')
    (folder / '._a.mp4').write_bytes(b'\0\5\x16\7of a Mac')
    (folder / '.gitignore').touch()
    lines = [
        f'{folder}/.b.mp4: not read: hidden by its name; give it by its own '
        'path',
        f'{folder}/below: not read: a folder within a folder; give it by its '
        'own path',
        f'{folder}/notes\\x1b[2J.txt: not read: no video',
    ]
    assert inferencer(folder, show_progress=False)['unread'] == lines
    assert inferencer(talking, show_progress=False)['unread'] == []
    load_tool('predict').main(
        [
            *(str(folder), '--checkpoint', str(checkpoint), '--quiet'),
            *('--no-overlay', '--out', str(tmp_path / 'out')),
        ]
    )
    assert capsys.readouterr().out.splitlines()[:3] == lines
    page = (tmp_path / 'out/summary.html').read_text()
    assert all(html.escape(line) in page for line in lines)


def test_made_up_training_data_are_said_first(
    talking, tmp_path, load_tool, monkeypatch, capsys
):
    origin = 'made-up videos of one portrait, no real forgery'
    checkpoint = write_detector(tmp_path / 'made_up.pth')
    loaded = torch.load(checkpoint, weights_only=True)
    loaded['meta']['provenance']['training']['origin'] = origin
    torch.save(loaded, checkpoint)
    load_tool('predict').main(
        [
            *(str(talking), '--checkpoint', str(checkpoint), '--quiet'),
            *('--no-overlay', '--out', str(tmp_path / 'out')),
        ]
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f'Trained on {origin}.'
    report = json.loads((tmp_path / 'out/a/prediction.json').read_text())
    assert next(iter(report.items())) == ('origin', f'trained on {origin}')
    assert report['detector']['words'][0] == printed[0]


def test_the_command_ends_with_one_line_without_a_detector(
    tmp_path, load_tool, monkeypatch
):
    prepared = write_prepared(tmp_path / 'p', dict(test=[]))
    weights = prepared / 'manifest.json'
    with pytest.raises(GMLError, match='not a checkpoint, but') as caught:
        load_tool('predict').main(['a.mp4', '--checkpoint', str(weights)])
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'error',
    [
        torch.OutOfMemoryError('CUDA out of memory. Tried to allocate'),
        RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_ends_the_command_with_one_line(
    error, checkpoint, talking, tmp_path, run_command, monkeypatch, capsys
):
    def lack(*_):
        raise error

    monkeypatch.setattr(Xception, 'forward', lack)
    words = [str(talking), '--checkpoint', str(checkpoint), '--quiet']
    words += ['--device', 'cpu', '--no-overlay', '--out', str(tmp_path)]
    assert run_command('predict', words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        'gml predict: cpu has too little memory for 4 clips at once. '
        'Remedy: --batch-size 2 of gml predict'
    )
    with pytest.raises(GMLError, match='for 1 clip at once'):
        ForgeryInferencer(checkpoint, 'cpu')(
            talking, batch_size=1, show_progress=False
        )


def test_a_second_run_gives_the_same_report_to_the_letter(
    checkpoint, talking, run_warm, tmp_path
):
    """By a process of its own, at another time, into another folder."""

    def predict(out):
        done = run_warm(
            str(REPO / 'tools/predict.py'),
            *(str(talking), '--checkpoint', str(checkpoint), '--quiet'),
            *('--out', str(tmp_path / out), '--device', 'cpu'),
        )
        assert done.returncode == 0, done.stderr
        return (tmp_path / out / 'a/prediction.json').read_bytes()

    text = predict('one')
    assert predict('two') == text
    report = json.loads(text)
    digest = hashlib.sha256(talking.read_bytes()).hexdigest()
    assert report['sha256'] == digest
    assert report['options'] == dict(
        clips='all',
        heat='clue',
        heat_scale='relative',
        batch_size=4,
        device='cpu',
        even_if_unlike=False,
    )
    assert {'python', 'torch', 'gml-mmaction'} <= set(report['versions'])
    detector = report['detector']
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert detector['sha256'] == digest
    assert detector['training']['source'] == 'ffpp'
    assert detector['validation']['metrics']['video/auc'] == 0.9
    assert report['tracks'][0]['clips'][1]['seconds'] == [0.64, 1.28]


def test_the_hash_of_a_folder_is_that_of_what_sha256sum_prints(
    inferencer, portraits, tmp_path
):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i, frame in enumerate(portraits[:16]):
        cv2.imwrite(str(folder / f'{i:02}.png'), frame)
    printed = subprocess.run(
        'sha256sum * | sha256sum',
        cwd=folder,
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    prediction = inferencer.analyse(folder).prediction
    assert prediction.sha256 == printed.split()[0]
