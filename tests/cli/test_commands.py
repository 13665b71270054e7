"""How ``gml`` begins and ends, whatever the command."""

import os
import signal
import subprocess
import sys

import pytest
from tiny import CONFIG, REPO, TINY, write_prepared

from gml_mmaction import cli

ENV = os.environ | {
    'PYTHONPATH': os.pathsep.join([str(REPO), *filter(None, sys.path)])
}
METHODS = ('real', 'Deepfakes')
GML = (sys.executable, '-m', 'gml_mmaction')


@pytest.mark.parametrize('command', cli.COMMANDS)
def test_every_command_tells_its_usage(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['gml'])
    with pytest.raises(SystemExit) as end:
        cli.main([command, '--help'])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f'usage: gml {command} [-h]')


def test_help_lists_every_command_and_imports_nothing_of_the_stack(run_python):
    code = (
        'import sys; sys.argv = ["gml"]; from gml_mmaction.cli import main; '
        'main(["--help"]); '
        'print({"torch", "numpy", "mmengine"} & set(sys.modules))'
    )
    done = run_python('-c', code)
    *_, last = lines = done.stdout.splitlines()
    assert last == 'set()', done.stderr
    assert {line.split()[0] for line in lines if line} >= {*cli.COMMANDS}


def test_an_unknown_command_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['gml'])
    with pytest.raises(SystemExit) as end:
        cli.main(['trian'])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    assert err == "gml: no command 'trian'. Remedy: gml --help\n"
    assert out == ''


@pytest.mark.parametrize('program', ['-m gml_mmaction', 'tools/train.py'])
def test_a_broken_stack_is_one_line_of_any_command(
    program, run_python, tmp_path
):
    (tmp_path / 'mmcv.py').write_text(
        'raise ModuleNotFoundError("No module named \'mmcv\'")'
    )
    words = program.replace('tools', str(REPO / 'tools')).split()
    if words[0] == '-m':
        words.append('train')
    done = run_python(*words, 'config.py', path=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert 'mmcv cannot be imported' in line
    assert 'Remedy: pip install "gml-mmaction[lite]"' in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ('words', 'unbuffered'),
    [(['--help'], ''), (['--help'], '1'), (['predict', '--help'], '')],
)
def test_output_that_nobody_reads_ends_a_command_quietly(words, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed:
        done = subprocess.run(
            [*GML, *words],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            env=ENV | {'PYTHONUNBUFFERED': unbuffered},
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, '')


@pytest.mark.slow
def test_ctrl_c_ends_a_training_in_one_line(tmp_path):
    splits = {
        split: [(f'{split}-{method}', method, 'a', 1) for method in METHODS]
        for split in ('train', 'val')
    }
    data = write_prepared(tmp_path / 'data', splits)
    options = TINY | {'train_cfg.max_iters': 10**6}
    # a worker that was about to send a clip may print an error of its own
    options['train_dataloader.num_workers'] = 0
    options['train_dataloader.persistent_workers'] = False
    command = ['train', str(CONFIG), '--work-dir', str(tmp_path / 'run')]
    command += ['--data', str(data), '--cfg-options']
    command += [f'{key}={value}' for key, value in options.items()]
    process = subprocess.Popen(
        [*GML, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
        # what a shell starts in the background ignores Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stdout:
        if 'Iter(train)' in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == 'gml train: stopped'
    assert 'gml_mmaction' not in errors  # no traceback of ours


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        ('genuine', ['videos', '--out', 'x', '--untrained', '1001']),
        ('genuine', ['videos', '--out', 'x', '--iters', '0']),
        ('genuine', ['videos', '--out', 'x', '--seed', '-1']),
        ('export', ['a.pth', '--rounds', '-1']),
        ('init', ['gml_xception_ffpp', '--seed', str(2**32)]),
        ('predict', ['a.mp4', '--checkpoint', 'a', '--batch-size', '0']),
        ('predict', ['a.mp4', '--checkpoint', 'a', '--clips', 'many']),
        ('web', ['a.pth', '--port', '65536']),
        ('train', ['a.py', '--seed', '1.5']),
    ],
)
def test_a_number_out_of_bounds_is_refused_before_any_work(
    load_tool, command, words, capsys
):
    with pytest.raises(SystemExit):
        load_tool(command).parse_args(words)
    last = capsys.readouterr().err.splitlines()[-1]
    assert f'{words[-1]!r}: give a whole number, ' in last
