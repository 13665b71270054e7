"""docs/own_detector.md is followed in an empty folder."""

import argparse
import re
import shlex
import sys
from importlib import import_module

import pytest
from tiny import REPO, write_prepared

from gml_mmaction.cli import COMMANDS
from gml_mmaction.errors import SettingError
from gml_mmaction.io.files import read_json

TEXT = (REPO / 'docs/own_detector.md').read_text(encoding='utf-8')
SHORT = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2']
SHORT += ['train_dataloader.batch_size=2']
SMALL = ['--reference', 'gml_xception-small_demo']
MORE = dict(
    figures=['absent.pth', '--fake', 'suspect.mp4'],
    robustness=['--target', 'mine=data/mine'],
)
ALONE = ['num_workers=0', 'persistent_workers=False']


def section(title):
    return TEXT.split(f'\n## {title}\n')[1].split('\n## ')[0]


def files(title):
    """Each file that a section shows: the last name before it."""
    text = section(title)
    return {
        re.findall(r'`(\w+\.py)`', text[: block.start()])[-1]: block[1]
        for block in re.finditer(r'```python\n(.*?)```', text, re.S)
    }


@pytest.fixture(scope='module')
def desk(tmp_path_factory, talking_head):
    """An empty folder with prepared data and a video."""
    root = tmp_path_factory.mktemp('own')
    splits = {
        split: [
            (f'{split}{i}{method}', method, [f'{split}{i}'], 1)
            for i in range(2)
            for method in ('real', 'fake')
        ]
        for split in ('train', 'val', 'test')
    }
    (root / 'data').mkdir()
    write_prepared(root / 'data/mine', splits)
    talking_head(root / 'suspect.mp4', num_frames=24)
    return root


@pytest.fixture
def follow(desk, run_warm, monkeypatch):
    """Put a section's files there and run its commands, shortened."""
    monkeypatch.chdir(desk)

    def run(title):
        for name, text in files(title).items():
            (desk / name).write_text(text)
        block = '\n'.join(
            re.findall(r'```bash\n(.*?)```', section(title), re.S)
        )
        printed = []
        for line in block.splitlines():
            for best in desk.glob('work_dirs/*/best_*.pth'):
                folder = best.relative_to(desk).parent.as_posix()
                line = line.replace(
                    f'{folder}/best_video_auc_iter_N.pth',
                    f'{folder}/{best.name}',
                )
            gml, name, *arguments = shlex.split(line)
            assert gml == 'gml'
            if name in ('train', 'test'):
                arguments += ['--cfg-options', *SHORT]
                arguments += [
                    f'{split}_dataloader.{setting}'
                    for split in ('train', 'val', 'test')
                    for setting in ALONE
                ]
            done = run_warm('-m', 'gml_mmaction', name, *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            printed.append(done.stdout)
        return printed

    return run


@pytest.mark.slow
def test_a_network_of_mmaction2_is_a_few_lines(desk, follow):
    pytest.importorskip('dlib')
    follow('A network of MMAction2')
    (path,) = desk.glob('uniformer_verdict/*/prediction.json')
    report = read_json(path)
    assert report['detector']['network'] == 'UniFormer, I3DHead'
    assert report['detector']['heat'] == 'cam'


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained_tested_and_predicts(
    desk, follow, run_warm
):
    pytest.importorskip('dlib')
    shown = ['differences.py', 'mine.py']
    assert list(files('A network of your own')) == shown
    *_, predicted = follow('A network of your own')
    assert re.search(r'suspect\.mp4: .*score 0\.\d', predicted)
    (path,) = desk.glob('verdict/*/prediction.json')
    report = read_json(path)
    assert report['detector']['network'] == 'Differences, LogitHead'
    assert report['detector']['heat'] == 'none'
    assert 'No heat maps' in report['detector']['words'][-1]

    (best,) = desk.glob('work_dirs/mine/best_*.pth')
    words = ['suspect.mp4', '--checkpoint', str(best)]
    refused = run_warm('-m', 'gml_mmaction', 'predict', *words)
    assert refused.returncode == 1
    assert "the type 'Differences' is not one that a" in refused.stderr
    assert '--import' in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    words += ['--import', 'absent.py']
    refused = run_warm('-m', 'gml_mmaction', 'predict', *words)
    assert '--import absent.py: there is no such module' in refused.stderr


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        ('init', ['mine.py', 'x.pth']),
        pytest.param(
            'benchmark',
            ['mine.py', '--size', '64', '--rounds', '1', *SMALL],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            'benchmark',
            ['mine.py', '--size', '64', '--estimate', *SMALL],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_untrained_network_is_built_with_import_alone(
    desk, monkeypatch, run_warm, command, words
):
    monkeypatch.chdir(desk)
    for name, text in files('A network of your own').items():
        (desk / name).write_text(text)
    words = ['-m', 'gml_mmaction', command, *words]
    refused = run_warm(*words)
    (line,) = refused.stderr.splitlines()
    assert "model.backbone.type='Differences': no such model" in line
    assert line.endswith('Remedy: --import FILE.py if it is one of your own')
    done = run_warm(*words, '--import', 'differences.py')
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_checkpoint_of_a_network_in_two_files_is_loaded(
    desk, monkeypatch, run_warm
):
    monkeypatch.chdir(desk)
    shown = files('A network of your own')
    (desk / 'blocks.py').write_text(shown['differences.py'])
    (desk / 'net.py').write_text('import blocks\n')
    (desk / 'two.py').write_text(shown['mine.py'])
    own = ('--import', 'net.py')
    done = run_warm('-m', 'gml_mmaction', 'init', 'two.py', 'two.pth', *own)
    assert done.returncode == 0, done.stderr
    words = ('-m', 'gml_mmaction', 'export', 'two.pth', 'two.pt2')
    refused = run_warm(*words)
    assert "the type 'Differences' is not one" in refused.stderr
    done = run_warm(*words, *own)
    assert done.returncode == 0, done.stderr
    assert (desk / 'two.pt2').is_file()


@pytest.fixture
def module(command):
    import_module('gml_mmaction.apis')  # as a command with --import does
    return import_module(f'gml_mmaction.cli.{command.replace("-", "_")}')


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_that_take_a_config_or_a_checkpoint_take_import(
    command, module, desk, monkeypatch
):
    monkeypatch.chdir(desk)
    said = 'Every command that takes a config or a checkpoint takes `--import`'
    assert said in ' '.join(section('A network of your own').split())
    parsers = []
    parse = argparse.ArgumentParser.parse_args

    def keep(parser, words, *more):
        parsers.append(parser)
        return parse(parser, words, *more)

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', keep)
    monkeypatch.setattr(sys, 'argv', ['gml'])
    with pytest.raises(SystemExit):
        module.main(['--no-such-option'])
    actions = parsers[0]._actions
    takes = {'config', 'configs', 'checkpoint', 'networks'}
    own = any(action.dest in takes for action in actions)
    assert own == any(action.dest == 'modules' for action in actions)
    if own:
        words = ['--import', 'absent.py']
        for action in actions:
            if action.required:
                words += [*action.option_strings[:1], 'gml_xception_ffpp']
        words += MORE.get(command, [])
        with pytest.raises(SettingError, match=r'^--import absent\.py: there'):
            module.main(words)


def test_the_shown_files_fit_the_style_of_the_project():
    for title in ('A network of MMAction2', 'A network of your own'):
        for name, text in files(title).items():
            assert max(map(len, text.splitlines())) < 80
            compile(text, name, 'exec')
