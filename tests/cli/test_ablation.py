"""gml ablation: what it runs, in which order, and what it keeps."""

import json
import sys

import pytest
import warm

from gml_mmaction.cli.ablation import list_runs, main, parse_args
from gml_mmaction.errors import SettingError
from gml_mmaction.evaluation.experiments import EXPERIMENTS, VIDEOS

SMALL = ('--num-train', '8', '--num-val', '4', '--num-test', '4')


def order(*argv):
    return [
        (run.seed, run.name, run.kind, run.variant)
        for run in list_runs(parse_args([*argv]))
    ]


def test_every_seed_is_a_whole_table_before_the_next():
    runs = order()
    assert [run[0] for run in runs] == sorted(run[0] for run in runs)
    names = [name for seed, name, _, _ in runs if seed == 0]
    assert list(dict.fromkeys(names)) == [
        *('one-site', 'initial-values', 'all-sites')
    ]
    for name in set(names):
        experiment = EXPERIMENTS[name]
        cells = len(experiment.kinds) * len(experiment.variants)
        assert sum(run[1] == name for run in runs) == cells * experiment.seeds
    assert len(set(runs)) == len(runs)


def test_the_command_line_narrows_an_experiment():
    runs = order(
        *('one-site', 'all-sites', '--seeds', '7', '--kinds', 'triplet'),
        *('--variants', 'STM'),
    )
    assert runs == [
        (7, 'one-site', 'triplet', 'STM'),
        (7, 'all-sites', 'triplet', 'STM'),
    ]


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['one-sight'], "no experiment 'one-sight': one-site, "),
        (['one-site', '--variants', 'GML'], "no variant 'GML': MCB separate"),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_ones(argv, message, capsys):
    with pytest.raises(SystemExit):
        parse_args(argv)
    assert message in capsys.readouterr().err


def test_a_result_of_other_settings_is_not_counted(tmp_path):
    args = parse_args(['one-site', '--work-dir', str(tmp_path)])
    run = next(list_runs(args))
    assert run.read() is None
    run.result.parent.mkdir(parents=True)
    run.result.write_text(json.dumps(run.settings()))
    assert run.read() == run.settings()
    run.result.write_text(json.dumps(dict(run.settings(), videos=['--seed'])))
    with pytest.raises(SettingError, match=r'other settings. Remedy: another'):
        run.read()


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """A work dir for tiny sets, which the runs in it share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'executable', warm.python())
        patch.setitem(VIDEOS, 'large', (*SMALL, '--frames', '16'))
        own = EXPERIMENTS['genuine']._replace(untrained=2)
        patch.setitem(EXPERIMENTS, 'genuine', own)
        yield tmp_path_factory.mktemp('ablation')


@pytest.mark.slow
def test_a_run_is_kept_with_its_settings_and_not_done_again(small, capfd):
    command = [
        *('one-site', '--kinds', 'triplet', '--variants', 'STM'),
        *('--seeds', '3', '--iters', '1', '--work-dir', str(small)),
    ]
    main(command)
    path = small / 'results/one-site-1/triplet/STM/3.json'
    kept = json.loads(path.read_text())
    assert kept['seed'] == 3
    assert 'model.backbone.motion_block.type=STMBlock' in kept['options']
    assert kept['validation'][0][0] == 1
    assert kept['version']
    assert kept['commit']
    assert not list(small.rglob('*.pth'))
    before = path.stat().st_mtime_ns
    capfd.readouterr()
    main(command)
    assert path.stat().st_mtime_ns == before
    printed = capfd.readouterr().out
    assert '$ gml' not in printed
    assert f'{kept["metrics"]["video/auc"]:.3f} (1)' in printed


def genuine_bytes(data):
    videos = (data / 'videos/original_sequences').rglob('*.mp4')
    return {path.name: path.read_bytes() for path in videos}


@pytest.mark.slow
def test_a_run_on_genuine_videos_keeps_pairs_null_and_threshold(small, capfd):
    command = [
        *('genuine', '--kinds', 'triplet', 'consistency'),
        *('--variants', 'Xception', '--seeds', '3', '--iters', '1'),
        *('--work-dir', str(small)),
    ]
    main(command)
    results = small / 'results/genuine-1'
    kept, other = (
        json.loads((results / kind / 'Xception/3.json').read_text())
        for kind in ('triplet', 'consistency')
    )
    assert kept['trained_on'] == other['trained_on'] == 'jitter'
    assert kept['seconds'] == other['seconds']  # one training, two tests
    assert kept['metrics'] != other['metrics']
    trained, like, unlike = (
        genuine_bytes(small / f'data/large/{kind}-3')
        for kind in ('jitter', 'consistency', 'triplet')
    )
    assert trained == like != unlike
    metrics, null = kept['metrics'], kept['untrained']['video/auc']
    assert len(null) == kept['networks'] == 2
    assert metrics['pair/fakes'] == metrics['pair/originals'] == 2
    assert 0 <= metrics['video/acc_val'] <= 1
    printed = capfd.readouterr().out
    assert f'{min(null):.3f} to {max(null):.3f} (2)' in printed
    assert f'{metrics["pair/higher"]} of 2 (p ' in printed
    assert 'genuine, video/acc_val' in printed
