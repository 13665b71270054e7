import functools
import json
import os

import pytest


@pytest.fixture(scope='module')
def main(run_command):
    return functools.partial(run_command, 'check')


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'0')


@pytest.fixture
def ffpp(tmp_path):
    """Write FaceForensics++ as it is published: 1000 reals, 1000 fakes."""
    root = tmp_path / 'ffpp'
    ids = iter(f'{i:03}' for i in range(1000))
    for split, count in {'train': 360, 'val': 70, 'test': 70}.items():
        pairs = [(next(ids), next(ids)) for _ in range(count)]
        for a, b in pairs:
            for name in (a, b):
                folder = root / 'original_sequences/youtube/c23/videos'
                touch(folder / f'{name}.mp4')
            for name in (f'{a}_{b}', f'{b}_{a}'):
                folder = root / 'manipulated_sequences/Deepfakes/c23/videos'
                touch(folder / f'{name}.mp4')
        (root / f'{split}.json').write_text(json.dumps(pairs))
    return root


@pytest.fixture
def dfo(tmp_path):
    """Write an official test of two: a target of training, one of test."""
    root = tmp_path / 'dfo'
    lists = {'train': '995_M004', 'val': '001_W010', 'test': '000_W101'}
    lists['test'] += '\n994_W102'
    (root / 'lists/splits').mkdir(parents=True)
    for split, names in lists.items():
        (root / f'lists/splits/{split}.txt').write_text(names + '\n')
        for name in names.split():
            touch(root / f'manipulated_videos/end_to_end/{name}.mp4')
    return root


def test_a_whole_tree_exits_with_0(main, ffpp, capsys):
    assert main(['ffpp', str(ffpp)]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = ' '.join(lines[1].split())
    assert row == 'train real 720 720 0 0 720 equal'
    assert lines[-1] == 'all there'


def test_a_missing_and_an_empty_file_exit_with_1(main, ffpp, capsys):
    fakes = ffpp / 'manipulated_sequences/Deepfakes/c23/videos'
    (fakes / '000_001.mp4').unlink()
    (fakes / '001_000.mp4').write_bytes(b'')
    assert main(['ffpp', str(ffpp)]) == 1
    out = capsys.readouterr().out
    assert 'PROBLEM: 1 missing video: manipulated_seq' in out
    assert 'PROBLEM: 1 empty video: manipulated_seq' in out


def test_dfo_official_leaks_from_training_on_ffpp(main, ffpp, dfo, capsys):
    """It is split by actor; LipForensics' test (the default) does not leak."""
    command = ['dfo', str(dfo), '--ffpp', str(ffpp)]
    against = ['--against', 'ffpp', str(ffpp)]
    leak = 'training split of ffpp: ffpp/000'
    main([*command, *against, '--protocol', 'official'])
    out = capsys.readouterr().out
    assert 'PROBLEM: 1 of 4 people in the test are in the ' + leak in out
    assert '1 of 2 targets of the test are in FaceForensics++' in out
    main([*command, *against])
    assert 'note: 0 of 142 people in the test' in capsys.readouterr().out


def test_json_holds_the_report(main, ffpp, tmp_path):
    path = tmp_path / 'report.json'
    assert main(['ffpp', str(ffpp), '--json', str(path)]) == 0
    report = json.loads(path.read_text())
    assert report['problems'] == []
    assert sum(row['present'] for row in report['rows']) == 2000


def test_options_of_the_other_set_are_given_by_name(main, ffpp, capsys):
    (ffpp / 'elsewhere').mkdir()
    for split in ('train', 'val', 'test'):
        (ffpp / f'{split}.json').rename(ffpp / f'elsewhere/{split}.json')
    splits = ffpp / 'elsewhere'
    command = ['ffpp', str(ffpp), '--splits', str(splits)]
    against = ['--against', 'ffpp', str(ffpp)]
    assert main([*command, *against]) == 2
    assert 'no split files' in capsys.readouterr().err
    against += [f'splits={splits}', 'methods=FaceSwap', 'methods=Deepfakes']
    assert main([*command, *against]) == 0
    assert 'note: 0 of 140 people in the test' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--against', 'ffpp'], '--against ffpp: its folder is missing'),
        (['--against', 'fpp', 'root'], "unknown source 'fpp'"),
        (['--compression', 'c24'], "unknown compression 'c24'"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(
    main, ffpp, capsys, arguments, message
):
    assert main(['ffpp', str(ffpp), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


def test_an_odd_name_is_a_note_in_one_line(main, tmp_path, capsys):
    touch(tmp_path / 'real/a.mp4')
    touch(tmp_path / 'fake/b.mp4')
    touch(tmp_path / 'fake' / os.fsdecode(b'\xff\nPROBLEM: none\x1b[8m.mp4'))
    assert main(['folder', str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith('PROBLEM') for line in lines)
    assert [line for line in lines if line.startswith('note: 1 name not ')]
