import functools
import json

import pytest

from gml_mmaction.sources.ffpp import list_videos

SMALL = '--num-train 4 --num-val 4 --num-test 4 --frames 16 --workers 1'


@pytest.fixture(scope='module')
def main(run_command):
    return functools.partial(run_command, 'demo-data')


@pytest.fixture(scope='module')
def root(main, tmp_path_factory):
    root = tmp_path_factory.mktemp('demo') / 'set'
    main([str(root), *SMALL.split()])
    return root


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_the_options_reach_the_set(main, tmp_path):
    options = '--kind consistency --seed 3 --amplitude 0.02 --step 0.3'
    more = '--noise 1 --test-person astronaut'
    tiny = '--num-train 0 --num-val 0 --num-test 4 --frames 17 --workers 1'
    main([str(tmp_path), *f'{options} {more} {tiny}'.split()])
    plan = json.loads((tmp_path / 'people.json').read_text())
    assert plan['parameters'] == {
        'kind': 'consistency',
        'seed': 3,
        'amplitude': 0.02,
        'step': 0.3,
        'noise': 1.0,
        'smooth_real': True,
    }
    assert {
        (video['person'], video['split'], video['num_frames'])
        for video in plan['videos'].values()
    } == {('astronaut', 'test', 17)}


@pytest.mark.slow
def test_a_set_is_completed_and_told(main, root, capsys):
    before = contents(root)
    kept, lost = (video.path for video in list_videos(root)[:2])
    changed = kept.stat().st_mtime_ns
    lost.unlink()
    main([str(root), *SMALL.split()])
    assert contents(root) == before
    assert kept.stat().st_mtime_ns == changed
    out, err = capsys.readouterr()
    assert out.splitlines()[:3] == [
        'train: 2 real, 2 fake (astronaut)',
        'val: 2 real, 2 fake (astronaut)',
        'test: 2 real, 2 fake (grace_hopper)',
    ]
    assert '11/12' in err  # the bar starts with what is there
    assert '12/12' in err


def test_other_parameters_are_refused_in_one_line(main, root, capsys):
    before = contents(root)
    assert main([str(root), *SMALL.split(), '--seed', '1']) == 1
    message = capsys.readouterr().err
    assert message.startswith(f'gml demo-data: {root}: ')
    assert 'other parameters. Remedy: another folder' in message
    assert len(message.splitlines()) == 1
    assert contents(root) == before
