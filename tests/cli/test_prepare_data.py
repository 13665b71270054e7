import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from videos import write

from gml_mmaction.datasets import FaceClipDataset
from gml_mmaction.sources.ffpp import list_videos
from gml_mmaction.sources.options import source_notes

pytestmark = pytest.mark.slow

SPLITS = ('train', 'val', 'test')


@pytest.fixture(scope='module')
def main(run_command):
    return functools.partial(run_command, 'prepare')


@pytest.fixture(scope='module')
def prepared(main, ffpp_tree, tmp_path_factory):
    """Return the whole tree, prepared in one go; do not change it."""
    out = tmp_path_factory.mktemp('prepared') / 'out'
    assert main(['ffpp', str(ffpp_tree), str(out), '--workers', '2']) == 0
    return out


@pytest.fixture
def own_tree(ffpp_tree, tmp_path):
    """Return a tree that a test may change."""
    return shutil.copytree(ffpp_tree, tmp_path / 'root')


def read(path):
    return json.loads(path.read_text())


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_annotations_name_crops_that_are_there(prepared):
    methods = ['real'] * 2 + ['Deepfakes'] * 2 + ['FaceSwap'] * 2
    for split in SPLITS:
        entries = read(prepared / f'{split}.json')['data_list']
        assert [entry['method'] for entry in entries] == methods
        for entry in entries:
            assert entry['label'] == (entry['method'] != 'real')
            assert entry['track'] == 0
            assert entry['frame_dir'] == f'frames/{entry["video_id"]}/0'
            crops = sorted((prepared / entry['frame_dir']).iterdir())
            assert [p.name for p in crops] == [
                f'{i:06}.jpg' for i in range(entry['num_frames'])
            ]
            assert entry['num_frames'] == 10


def test_the_manifest_tells_of_every_video_but_not_of_the_machine(
    prepared, ffpp_tree
):
    manifest = read(prepared / 'manifest.json')
    assert len(manifest['videos']) == 18
    assert set(manifest['versions']) >= {'dlib', 'av', 'opencv', 'numpy'}
    for entry in manifest['videos']:
        path = ffpp_tree / entry['path']
        assert path.stat().st_size == entry['bytes']
        assert entry['total_frames'] == 20
    text = (prepared / 'manifest.json').read_text()
    assert str(ffpp_tree) not in text
    assert str(prepared) not in text


def test_one_worker_and_two_give_the_same_bytes(
    main, ffpp_tree, prepared, tmp_path
):
    out = tmp_path / 'out'
    assert main(['ffpp', str(ffpp_tree), str(out), '--workers', '1']) == 0
    assert contents(out) == contents(prepared)


def test_broken_videos_are_counted_and_the_run_goes_on(
    main, own_tree, draw_faces, write_video, tmp_path, capsys
):
    fakes = own_tree / 'manipulated_sequences'
    deepfakes = fakes / 'Deepfakes/c23/videos'
    (deepfakes / '071_054.mp4').write_bytes(b'')
    (deepfakes / '054_071.mp4').write_bytes(b'not a video' * 999)
    head = (deepfakes / '720_672.mp4').read_bytes()
    (deepfakes / '720_672.mp4').write_bytes(head[: len(head) // 2])
    swaps = fakes / 'FaceSwap/c23/videos'
    write_video(swaps / '071_054.mp4', [draw_faces()] * 20)
    write_video(swaps / '054_071.mp4', [draw_faces((30, 20, 120))] * 5)
    (swaps / '953_974.mp4').unlink()

    out = tmp_path / 'out'
    assert main(['ffpp', str(own_tree), str(out), '--workers', '2']) == 0
    report = read(out / 'report.json')
    assert {f['video_id']: f['reason'] for f in report['failures']} == {
        'Deepfakes/c23/071_054': 'empty',
        'Deepfakes/c23/054_071': 'unreadable',
        'Deepfakes/c23/720_672': 'unreadable',
        'FaceSwap/c23/071_054': 'no face',
        'FaceSwap/c23/054_071': 'too short',
    }
    assert report['missing'] == ['FaceSwap/c23/953_974']
    check_sums(report, expected=18)
    assert report['total']['prepared'] == 12
    listed = [e for s in SPLITS for e in read(out / f'{s}.json')['data_list']]
    assert len(listed) == 12
    printed = capsys.readouterr().out
    assert 'FaceSwap/c23/071_054: no face' in printed
    total = next(x for x in printed.splitlines() if x.startswith('total'))
    assert total.split()[1:5] == ['18', '1', '17', '12']
    assert len(list((out / 'frames').glob('*/*/*'))) == 12


def check_sums(report, expected):
    for row in [*report['rows'], report['total']]:
        assert row['expected'] == row['missing'] + row['found']
        assert row['found'] == row['prepared'] + sum(row['failed'].values())
    for key in ('expected', 'missing', 'found', 'prepared', 'frames'):
        rows = sum(row[key] for row in report['rows'])
        assert rows == report['total'][key]
    assert report['total']['expected'] == expected


def test_half_of_a_tree_is_prepared_and_the_rest_is_counted(
    main, own_tree, prepared, tmp_path
):
    gone = sorted(own_tree.rglob('*.mp4'))[::2]
    for path in gone:
        path.unlink()
    out = tmp_path / 'out'
    assert main(['ffpp', str(own_tree), str(out), '--workers', '2']) == 0
    report = read(out / 'report.json')
    check_sums(report, expected=18)
    assert report['total']['missing'] == len(report['missing']) == 9
    crops = {k: v for k, v in contents(out).items() if k.endswith('.jpg')}
    assert len(crops) == 90
    assert crops.items() < contents(prepared).items()


@pytest.fixture
def stopped(ffpp_tree, tmp_path):
    """Begin a preparation; return its process, which stands still."""
    repo = Path(__file__).parents[2]
    command = ['ffpp', str(ffpp_tree), str(tmp_path / 'out'), '--workers', '1']
    process = subprocess.Popen(
        [sys.executable, 'tools/prepare_data.py', *command],
        cwd=repo,
        env={**os.environ, 'PYTHONPATH': str(repo)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list((tmp_path / 'out/.partial').glob('*')):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.wait()


def test_a_second_preparation_is_told_of_the_first_and_leaves_its_files(
    main, ffpp_tree, prepared, stopped, tmp_path, capsys
):
    out = tmp_path / 'out'
    command = ['ffpp', str(ffpp_tree), str(out), '--workers', '1']
    scratch = list((out / '.partial').iterdir())
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert f'{out}: another preparation is running there' in error
    assert f'(process {stopped.pid} on ' in error
    assert list((out / '.partial').iterdir()) == scratch
    stopped.send_signal(signal.SIGCONT)
    assert stopped.wait(120) == 0
    assert contents(out) == contents(prepared)


def test_a_preparation_goes_on_at_once_when_the_first_was_killed(
    main, ffpp_tree, prepared, stopped, tmp_path
):
    out = tmp_path / 'out'
    stopped.kill()
    stopped.wait()
    assert main(['ffpp', str(ffpp_tree), str(out), '--workers', '2']) == 0
    assert contents(out) == contents(prepared)


def test_an_odd_name_is_counted_in_the_report_and_stops_nothing(
    main, talking_head, tmp_path, capsys
):
    root, out = tmp_path / 'root', tmp_path / 'out'
    path = talking_head(root / 'real/a.mp4')
    for name in (b'\xff.mp4', b'b\n\x1b[2J.mp4'):
        shutil.copy(path, root / 'real' / os.fsdecode(name))
    assert main(['folder', str(root), str(out), '--workers', '1']) == 0
    report = read(out / 'report.json')
    assert report['total']['prepared'] == 1
    (note,) = [n for n in report['notes'] if n.startswith('2 names not ')]
    assert '(to be renamed): ' in note
    assert note.endswith(r'real/b\n\x1b[2J.mp4, real/\udcff.mp4')
    assert note in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize('name', [b'\xff', b'a\nb'])
def test_a_set_whose_folder_has_an_odd_name_is_one_clear_line(
    main, talking_head, tmp_path, capsys, name
):
    root = tmp_path / os.fsdecode(name)
    talking_head(tmp_path / 'a.mp4')
    (root / 'real').mkdir(parents=True)
    shutil.copy(tmp_path / 'a.mp4', root / 'real')
    assert main(['folder', str(root), str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert 'a name in this path is not UTF-8' in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def stamps(out):
    """Return when each record was written."""
    return {p: p.stat().st_mtime_ns for p in out.glob('records/*/*/*.json')}


def test_a_finished_run_is_not_repeated_and_is_mended_where_it_broke(
    main, ffpp_tree, prepared, tmp_path
):
    out = shutil.copytree(prepared, tmp_path / 'out')
    before = stamps(out)
    (out / 'frames/Deepfakes/c23/071_054/0/000004.jpg').unlink()
    shutil.rmtree(out / 'frames/youtube/c23/720')
    (out / 'test.json').unlink()
    (out / '.partial').mkdir()
    (out / '.partial/rest').touch()
    assert main(['ffpp', str(ffpp_tree), str(out), '--workers', '1']) == 0
    assert contents(out) == contents(prepared)
    changed = {p for p, stamp in stamps(out).items() if stamp != before[p]}
    assert changed == {
        out / 'records/Deepfakes/c23/071_054.json',
        out / 'records/youtube/c23/720.json',
    }


def test_a_video_that_changed_is_done_again(
    main, own_tree, talking_head, tmp_path
):
    out = tmp_path / 'out'
    command = ['ffpp', str(own_tree), str(out), '--workers', '1']
    assert main(command) == 0
    reals = own_tree / 'original_sequences/youtube/c23/videos'
    talking_head(reals / '071.mp4', num_frames=30)
    (reals / '054.mp4').write_bytes(b'')
    same_size = b'x' * (reals / '720.mp4').stat().st_size
    (reals / '720.mp4').write_bytes(same_size)
    assert main(command) == 0
    entries = read(out / 'train.json')['data_list']
    lengths = {e['video_id']: e['num_frames'] for e in entries}
    assert lengths['youtube/c23/071'] == 15
    assert 'youtube/c23/054' not in lengths
    for name in ('054', '720'):
        assert not (out / 'frames/youtube/c23' / name).exists()
    failed = {f['reason'] for f in read(out / 'report.json')['failures']}
    assert failed == {'empty', 'unreadable'}


def test_a_restart_with_another_size_is_refused(
    main, ffpp_tree, prepared, capsys
):
    before = contents(prepared)
    command = ['ffpp', str(ffpp_tree), str(prepared), '--size', '112']
    assert main(command) == 1
    error = capsys.readouterr().err
    assert 'size was 224, is 112' in error
    assert error.count('\n') == 1
    assert contents(prepared) == before


def test_max_frames_differ_by_split(main, ffpp_tree, tmp_path):
    out = tmp_path / 'out'
    limits = ['--max-frames', 'train=18', 'test=16']
    command = ['ffpp', str(ffpp_tree), str(out), '--methods', 'FaceSwap']
    assert main([*command, *limits, '--workers', '1', '--size', '64']) == 0
    for split, frames in (('train', 9), ('val', 10), ('test', 8)):
        annotation = read(out / f'{split}.json')
        assert annotation['metainfo']['size'] == 64
        assert {e['num_frames'] for e in annotation['data_list']} == {frames}
        assert {e['method'] for e in annotation['data_list']} == {
            'real',
            'FaceSwap',
        }


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--compression', 'c99'], 'unknown compression'),
        (['--methods', 'Photoshop'], 'unknown method'),
        (['--compression', 'raw'], 'no video of the 6 in its list is there'),
        (['--quality', '0'], 'quality is 0'),
        (['--workers', '0'], 'workers is 0'),
        (['--min-frames', '0'], 'min_frames is 0'),
    ],
)
def test_a_mistake_is_one_clear_line(
    main, ffpp_tree, tmp_path, capsys, arguments, message
):
    command = ['ffpp', str(ffpp_tree), str(tmp_path / 'out'), *arguments]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith('gml prepare: ')
    assert message in error
    assert error.count('\n') == 1


def test_a_cluster_that_is_not_there_is_one_clear_line(
    main, ffpp_tree, tmp_path, capsys
):
    pytest.importorskip('distributed')
    command = ['ffpp', str(ffpp_tree), str(tmp_path / 'out')]
    assert main([*command, '--cluster', 'nowhere']) == 1
    error = capsys.readouterr().err
    assert error.startswith('gml prepare: ')
    assert "'nowhere'" in error
    assert error.count('\n') == 1


def test_options_of_crops_and_of_the_source_reach_the_parameters(
    main, ffpp_tree, tmp_path
):
    out = tmp_path / 'out'
    options = '--store boxes --image png --tracks all --size 64 --stride 1'
    more = '--min-frames 5 --quality 80 --workers 1 --methods FaceSwap'
    command = ['ffpp', str(ffpp_tree), str(out), *f'{options} {more}'.split()]
    assert main(command) == 0
    chosen = {
        'store': 'boxes',
        'image': 'png',
        'tracks': 'all',
        'size': 64,
        'stride': 1,
        'min_frames': 5,
        'quality': 80,
    }
    assert chosen.items() <= read(out / 'parameters.json').items()
    methods = {v['method'] for v in read(out / 'manifest.json')['videos']}
    assert methods == {'real', 'FaceSwap'}
    for name in ('parameters.json', 'manifest.json'):
        assert read(out / name)['source_options'] == {
            'compression': 'c23',
            'methods': ['FaceSwap'],
            'splits': None,
        }


def test_a_restart_with_another_compression_is_refused(
    main, ffpp_tree, prepared, own_tree, capsys
):
    for path in own_tree.rglob('c23'):
        path.rename(path.with_name('c40'))
    command = ['ffpp', str(own_tree), str(prepared), '--compression', 'c40']
    assert main(command) == 1
    error = capsys.readouterr().err
    assert 'source_options.compression was c23, is c40' in error


def test_what_a_source_has_to_say_is_printed_first(
    main, ffpp_tree, tmp_path, capsys
):
    command = ['ffpp', str(ffpp_tree), str(tmp_path / 'out')]
    assert main([*command, '--size', '0']) == 1  # before anything is done
    notes = source_notes('ffpp', list_videos(ffpp_tree), {})
    assert capsys.readouterr().out.splitlines() == notes


def test_help_of_a_source_has_its_options(main, capsys):
    for command in ['--help'], ['ffpp', '--help']:
        assert main(command) == 0
    general, ffpp = capsys.readouterr().out.split('usage:')[1:]
    assert 'ffpp' in general
    assert '--compression' not in general
    assert '--compression' in ffpp


def test_real_people_are_prepared(main, real_people, tmp_path):
    reals = tmp_path / 'root/original_sequences/youtube/c23/videos'
    reals.mkdir(parents=True)
    for split, pair in (('train', 'ab'), ('val', 'cd'), ('test', 'ef')):
        path = tmp_path / f'root/{split}.json'
        path.write_text(json.dumps([list(pair)]))
    sources = dict(zip('abcdef', real_people))
    for name, video in sources.items():
        shutil.copy(video, reals / f'{name}.mp4')
    out = tmp_path / 'out'
    assert main(['ffpp', str(tmp_path / 'root'), str(out)]) == 0
    manifest = read(out / 'manifest.json')
    assert len(manifest['videos']) == len(sources)
    for entry in manifest['videos']:
        capture = cv2.VideoCapture(str(sources[Path(entry['path']).stem]))
        total = sum(1 for _ in iter(capture.grab, False))
        assert entry['total_frames'] == total
        (track,) = entry['tracks']
        assert track['num_frames'] == -(-total // 2)
        fps = capture.get(cv2.CAP_PROP_FPS)
        assert entry['fps'] == pytest.approx(fps, rel=1e-3)


@pytest.fixture(scope='module')
def two_rates(draw_faces, tmp_path_factory):
    """Real videos of 30 frames a second, fakes of 20."""
    root = tmp_path_factory.mktemp('two_rates')
    rng = np.random.default_rng(0)
    for name, fps in (('train/real/a', 30), ('train/fake/swap/b', 20)):
        steps = np.cumsum(rng.integers(-2, 3, (3 * fps, 2)), axis=0)
        faces = [draw_faces((30 + x, 20 + y, 120)) for x, y in steps]
        write(root / f'{name}.mp4', faces, fps=fps)
    return root


def test_classes_of_different_rates_are_told(
    main, two_rates, tmp_path, capsys
):
    command = ['folder', str(two_rates), str(tmp_path / 'out')]
    assert main([*command, '--workers', '1']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'train: frames a second: real 15, swap 10' in lines
    (warning,) = (line for line in lines if 'may learn the rate' in line)
    assert warning.startswith('train: swap at another frame rate than real')
    assert warning.endswith('Remedy: prepare with --rate 10')
    metainfo = read(tmp_path / 'out/train.json')['metainfo']
    assert metainfo['rates'] == {'low': 10, 'median': 10, 'high': 15}


def test_with_a_rate_all_have_the_same_and_both_stores_the_same_crops(
    main, two_rates, tmp_path, capsys
):
    clips = {}
    for store in ('crops', 'boxes'):
        out = tmp_path / store
        options = ['--rate', '10', '--store', store, '--image', 'png']
        options += ['--size', '64', '--workers', '1']
        assert main(['folder', str(two_rates), str(out), *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert 'train: 10 frames a second' in lines
        manifest = read(out / 'manifest.json')
        assert manifest['rate'] == 10
        assert [video['rate'] for video in manifest['videos']] == [10, 10]
        dataset = FaceClipDataset(
            ann_file='train.json',
            data_root=str(out),
            test_mode=True,
            pipeline=[dict(type='ClipDecode'), dict(type='FaceCrop', size=64)],
        )
        clips[store] = [dataset[i] for i in range(len(dataset))]
    by_time = {'real': np.arange(0, 90, 3), 'swap': np.arange(0, 60, 2)}
    assert len(clips['crops']) == 6
    for one, two in zip(clips['crops'], clips['boxes'], strict=True):
        wanted = by_time[one['method']][8 * one['clip_index'] :][:8]
        assert list(one['source_inds']) == list(wanted)
        assert list(two['source_inds']) == list(wanted)
        assert np.array_equal(one['imgs'], two['imgs'])


def test_a_restart_with_another_rate_is_refused(
    main, two_rates, tmp_path, capsys
):
    command = ['folder', str(two_rates), str(tmp_path / 'out'), '--rate']
    assert main([*command, '10', '--workers', '1']) == 0
    assert main([*command, '5', '--workers', '1']) == 1
    assert 'rate was 10.0, is 5.0' in capsys.readouterr().err


def test_a_set_of_which_nothing_is_prepared_ends_with_a_remedy(
    main, tmp_path, capsys
):
    (tmp_path / 'set/real').mkdir(parents=True)
    (tmp_path / 'set/real/a.mp4').write_text('no video')
    root = str(tmp_path / 'set')
    assert main(['folder', root, str(tmp_path / 'out')]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f'gml prepare: {root}: no video gave crops')
    assert 'Remedy: ' in last
