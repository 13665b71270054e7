"""Several processes train and test as one does; so do several machines."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import warm
from tiny import (
    CONFIG,
    REPO,
    TINY,
    free_port,
    write_checkpoint,
    write_prepared,
)

from gml_mmaction.engine import newest_checkpoint
from gml_mmaction.host.safe_checkpoints import safe_loading

ITERATIONS = 5  # rounding grows a hundredfold with each
OPTIONS = {
    **TINY,
    'train_cfg.max_iters': ITERATIONS,
    'train_cfg.val_interval': ITERATIONS,
    'default_hooks.checkpoint.interval': ITERATIONS,
    'default_hooks.logger.interval': 1,
    'log_processor.window_size': 1,
    # a step of Adam is as long where the gradient is only rounding
    'optim_wrapper.optimizer.type': 'SGD',
    'optim_wrapper.optimizer.lr': 0.001,
    **{
        f'{name}_dataloader.{key}': value
        for name in ('train', 'val', 'test')
        for key, value in (('num_workers', 0), ('persistent_workers', False))
    },
}
UNEVEN = dict(train_dataloader__sampler__type='ClipSampler')
EXACT = """
_base_ = ['{base}']
custom_imports = dict(imports=['gml_mmaction', 'exact'])
model = dict(data_preprocessor=dict(type='ExactPreprocessor'))
"""
FROZEN = """
custom_hooks = [
    dict(type='ProcessesHook'),
    dict(type='ResumeHook'),
    dict(type='FrozenNormsHook'),
]
"""
pytestmark = pytest.mark.slow


def write_videos(folder, frames=24, **numbers):
    """Write so many videos of each split, real and fake in turn."""
    splits = {
        split: [
            (f'{split}{i}', ('real', 'fake')[i % 2], [f'{split}{i}'], 1)
            for i in range(number)
        ]
        for split, number in numbers.items()
    }
    return write_prepared(folder, splits, frames=frames)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data, and configs that compute in double precision."""
    folder = tmp_path_factory.mktemp('scale')
    write_videos(folder / 'data', train=10, val=5, test=5)
    exact = EXACT.format(base=CONFIG)
    (folder / 'exact_demo.py').write_text(exact)
    (folder / 'frozen_demo.py').write_text(exact + FROZEN)
    return folder


def environment(**more):
    paths = [REPO, REPO / 'tests', Path(__file__).parent]
    return {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
        'PYTHON': warm.python(),
        'PYTHON_EXEC': warm.python(),  # of torchrun, for its processes
        'PYTHONPATH': os.pathsep.join(map(str, paths)),
        'PYTHONFAULTHANDLER': '1',
        'PORT': free_port(),
        **more,
    }


def start(command, *, cwd=None, **variables):
    """Begin a command in a process group of its own."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def output_of(process, seconds=150):
    """Wait; where it takes too long, end it and tell where it stood."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        for pid in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGABRT)
        pytest.fail('hangs: ' + process.communicate(timeout=30)[0][-20000:])


def descendants(pid):
    """A process and all that it started, which have its port to meet at."""
    environ = Path(f'/proc/{pid}/environ').read_bytes().split(b'\0')
    (port,) = (each for each in environ if each.startswith(b'PORT='))
    found = []
    for path in Path('/proc').glob('[0-9]*/environ'):
        with contextlib.suppress(OSError):
            if port in path.read_bytes().split(b'\0'):
                found.append(int(path.parent.name))
    return found


def run(command, **variables):
    process = start(command, **variables)
    output = output_of(process)
    assert process.returncode == 0, output[-9000:]
    return output


def settings(options):
    return ['--cfg-options', *(f'{k}={v}' for k, v in options.items())]


def train_command(config, work_dir, processes, batch, **options):
    """Train as one process, or as several of tools/dist_train.sh."""
    options = {
        **OPTIONS,
        'train_dataloader.batch_size': batch,
        **{key.replace('__', '.'): value for key, value in options.items()},
    }
    first = (
        [warm.python(), REPO / 'tools/train.py', config]
        if processes == 1
        else [REPO / 'tools/dist_train.sh', config, processes]
    )
    flags = ['--data', config.parent / 'data', '--work-dir', work_dir]
    return [*first, *flags, '--seed', '3', *settings(options)]


def train(*arguments, **options):
    return run(train_command(*arguments, **options))


def curve(work_dir, key='loss'):
    """The losses that the log holds."""
    log = next(Path(work_dir).glob('*/vis_data/scalars.json'))
    rows = map(json.loads, log.read_text().splitlines())
    return torch.tensor([row[key] for row in rows if key in row])


def weights(work_dir, iteration=ITERATIONS):
    path = Path(work_dir, f'iter_{iteration}.pth')
    with safe_loading(path):
        return torch.load(path, map_location='cpu')['state_dict']


@pytest.fixture(scope='module')
def one(folder):
    """A training as one process."""
    train(folder / 'exact_demo.py', folder / 'one', 1, 8, **UNEVEN)
    return folder / 'one'


def compare(a, b):
    """Of two trainings, the curves, which the log rounds, and the weights."""
    for key in ('loss', 'loss_cls1', 'loss_l1', 'loss_cls2'):
        torch.testing.assert_close(
            curve(a, key), curve(b, key), rtol=1e-6, atol=1e-6
        )
    torch.testing.assert_close(weights(a), weights(b), rtol=1e-6, atol=1e-7)


@pytest.mark.slow(10)
def test_two_processes_follow_the_curve_of_one(folder, one, tmp_path):
    """Batch norms see both; reals are unevenly spread over the two."""
    config = folder / 'exact_demo.py'
    train(config, tmp_path / 'two', 2, 4, sync_bn='torch', **UNEVEN)
    compare(one, tmp_path / 'two')


def test_two_accumulated_batches_are_one_of_twice_the_size(folder, tmp_path):
    config = folder / 'frozen_demo.py'
    train(config, tmp_path / 'whole', 1, 4)
    twice = 2 * ITERATIONS
    train(
        config,
        tmp_path / 'parts',
        1,
        2,
        optim_wrapper__accumulative_counts=2,
        train_cfg__max_iters=twice,
        train_cfg__val_interval=twice,
        default_hooks__checkpoint__interval=twice,
    )
    parts = curve(tmp_path / 'parts').unflatten(0, (-1, 2)).mean(1)
    torch.testing.assert_close(
        parts, curve(tmp_path / 'whole'), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        weights(tmp_path / 'parts', twice),
        weights(tmp_path / 'whole'),
        rtol=1e-6,
        atol=1e-6,
    )


def test_checkpoints_between_accumulated_steps_are_refused(folder, tmp_path):
    command = train_command(
        folder / 'exact_demo.py',
        tmp_path / 'run',
        1,
        2,
        optim_wrapper__accumulative_counts=3,
    )
    process = start(command)
    output = output_of(process)
    assert process.returncode == 1
    last = output.strip().splitlines()[-1]
    assert last.startswith('train.py: a checkpoint every 5 iterations')
    assert 'multiple of optim_wrapper.accumulative_counts=3' in last


# Testing.


def test_command(folder, data, work_dir, processes):
    """Test as one process, or as several of tools/dist_test.sh."""
    options = {**OPTIONS, 'test_dataloader.batch_size': 2}
    files = [CONFIG, folder / 'any.pth']
    first = (
        [warm.python(), REPO / 'tools/test.py', *files]
        if processes == 1
        else [REPO / 'tools/dist_test.sh', *files, processes]
    )
    flags = ['--data', data, '--work-dir', work_dir]
    return [*first, *flags, *settings(options)]


test_command.__test__ = False


@pytest.fixture(scope='module')
def scores(folder):
    """The scores of 15 clips by one process; see ``test_command``."""
    write_checkpoint(folder / 'any.pth')
    run(test_command(folder, folder / 'data', folder / 'test', 1))
    return (folder / 'test/scores.json').read_text()


@pytest.mark.parametrize('processes', [2, 3])
def test_several_processes_write_the_scores_of_one(
    folder, scores, processes, tmp_path
):
    """To the last digit: 15 clips are uneven over 2, and over batches of 2."""
    assert len(json.loads(scores)['clips']) == 15
    run(test_command(folder, folder / 'data', tmp_path, processes))
    assert (tmp_path / 'scores.json').read_text() == scores


def test_processes_without_a_clip_lose_and_double_none(
    folder, scores, tmp_path
):
    """One video of one clip, three processes."""
    data = write_videos(tmp_path / 'data', test=1, frames=8)
    for processes in (1, 3):
        work_dir = tmp_path / str(processes)
        run(test_command(folder, data, work_dir, processes))
    written = (tmp_path / '3/scores.json').read_text()
    assert len(json.loads(written)['clips']) == 1
    assert written == (tmp_path / '1/scores.json').read_text()


# Several machines.


def ip(*arguments):
    return subprocess.run(['ip', *arguments], capture_output=True).returncode


@pytest.fixture
def machines():
    """Two network namespaces joined by a cable; their variables, prefixes."""
    names = [f'gml{os.getpid()}{letter}' for letter in 'ab']
    if any(ip('netns', 'add', name) for name in names):
        ip('netns', 'del', names[0])
        pytest.skip('ip netns needs root')
    cable = ('link', 'add', 'eth0', 'netns', names[0], 'type', 'veth')
    assert not ip(*cable, 'peer', 'name', 'eth0', 'netns', names[1])
    for i, name in enumerate(names):
        inside = ('-n', name)
        ip(*inside, 'addr', 'add', f'10.77.0.{i + 1}/24', 'dev', 'eth0')
        for device in ('lo', 'eth0'):
            ip(*inside, 'link', 'set', device, 'up')
    yield names
    for name in names:
        kill(name)
        ip('netns', 'del', name)


def on_both(machines, folder, command):
    """Start a command on both machines, each with one process of two."""
    place = command.index(2)
    command = [*command[:place], 1, *command[place + 1 :]]
    port = free_port()
    for machine in machines:
        (folder / machine).mkdir(exist_ok=True)
    return [
        start(
            ['ip', 'netns', 'exec', machine, *command],
            cwd=folder / machine,
            NNODES='2',
            NODE_RANK=str(rank),
            MASTER_ADDR='10.77.0.1',
            PORT=port,
            GLOO_SOCKET_IFNAME='eth0',
        )
        for rank, machine in enumerate(machines)
    ]


@pytest.mark.slow(8)
def test_two_machines_train_and_test_as_one_process(
    folder, one, scores, machines, tmp_path
):
    config = folder / 'exact_demo.py'
    command = train_command(
        config, tmp_path / 'run', 2, 4, sync_bn='torch', **UNEVEN
    )
    finish(on_both(machines, tmp_path, command))
    compare(one, tmp_path / 'run')
    command = test_command(folder, folder / 'data', tmp_path / 'test', 2)
    finish(on_both(machines, tmp_path, command))
    assert (tmp_path / 'test/scores.json').read_text() == scores


def finish(processes):
    for process in processes:
        output = output_of(process)
        assert process.returncode == 0, output[-9000:]


def kill(machine):
    listed = ['ip', 'netns', 'pids', machine]
    found = subprocess.run(listed, capture_output=True, text=True).stdout
    for pid in found.split():
        os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize('cable', ['whole', 'cut'])
def test_a_machine_that_dies_ends_the_other_with_one_line(
    folder, machines, cable, tmp_path
):
    """Without a cable nobody says that it died: a limit of time must."""
    command = train_command(
        folder / 'exact_demo.py',
        tmp_path / 'run',
        2,
        2,
        train_cfg__max_iters=1000,
        default_hooks__checkpoint__interval=2,
        env_cfg__dist_cfg__timeout=20,
    )
    first, _ = on_both(machines, tmp_path, command)
    while not list((tmp_path / 'run').glob('iter_*.pth')):
        assert first.poll() is None, output_of(first)
        time.sleep(0.1)
    if cable == 'cut':
        ip('-n', machines[1], 'link', 'set', 'eth0', 'down')
    kill(machines[1])
    began = time.monotonic()
    output = output_of(first)
    taken = time.monotonic() - began
    print(f'cable {cable}: {taken:.1f} s\n{output[-4000:]}')
    assert first.returncode == 1
    assert 'train.py: another process of this run has ended' in output
    assert taken < (60 if cable == 'cut' else 20)


# Slurm.

SRUN = """#!{python}
# srun as far as tools/slurm_*.sh need it: tasks, signals, the highest exit
import json, os, signal, subprocess, sys, time

options = [item for item in sys.argv[1:] if item.startswith('--')]
options = options[: next(
    i for i, item in enumerate([*sys.argv[1:], '']) if item[:2] != '--'
)]
command = sys.argv[1 + len(options):]
given = dict(item[2:].split('=', 1) for item in options)
print('SRUN', json.dumps([given, command]), flush=True)
if os.environ.get('ONLY_SHOW'):
    sys.exit()
tasks = int(given['ntasks'])
steps = [
    subprocess.Popen(command, env=dict(
        os.environ, SLURM_PROCID=str(i), SLURM_LOCALID=str(i),
        SLURM_NTASKS=str(tasks), SLURM_NODELIST='node[7-8]',
    ))
    for i in range(tasks)
]
signal.signal(
    signal.SIGTERM, lambda *_: [step.send_signal(15) for step in steps]
)
codes = [None]
while None in codes:
    codes = [step.poll() for step in steps]
    if given.get('kill-on-bad-exit') == '1' and any(codes):
        for step in steps:
            step.kill()
    time.sleep(0.01)
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""
SCONTROL = """#!/bin/sh
test "$*" = "show hostnames node[7-8]" && echo localhost && echo node8
"""


@pytest.fixture
def slurm(tmp_path):
    """Variables with which the scripts find our srun and scontrol."""
    found = tmp_path / 'bin'
    found.mkdir()
    for name, text in dict(srun=SRUN, scontrol=SCONTROL).items():
        (found / name).write_text(text.replace('{python}', sys.executable))
        (found / name).chmod(0o755)
    return dict(
        PATH=f'{found}{os.pathsep}{os.environ["PATH"]}',
        MASTER_PORT=free_port(),
        GPUS='2',
        GPUS_PER_NODE='0',
    )


def shown(output):
    """The options and the command that srun got."""
    line = next(r for r in output.splitlines() if r.startswith('SRUN'))
    return json.loads(line.removeprefix('SRUN'))


def slurm_command(command, script):
    """The command of several processes, for Slurm's scripts."""
    files = command[1 : command.index(2)]
    rest = command[command.index(2) + 1 :]
    return [REPO / 'tools' / script, 'short', 'a job', *files, *rest]


def test_slurm_trains_and_tests_as_one_process(
    folder, one, scores, slurm, tmp_path
):
    command = train_command(
        folder / 'exact_demo.py', tmp_path, 2, 4, sync_bn='torch', **UNEVEN
    )
    output = run(slurm_command(command, 'slurm_train.sh'), **slurm)
    compare(one, tmp_path)
    options, _ = shown(output)
    assert options['partition'] == 'short'
    assert options['job-name'] == 'a job'
    assert options['signal'] == 'TERM@120'
    assert 'gres' not in options
    command = test_command(folder, folder / 'data', tmp_path, 2)
    run(slurm_command(command, 'slurm_test.sh'), **slurm)
    assert (tmp_path / 'scores.json').read_text() == scores


def test_slurms_signal_saves_a_checkpoint_to_go_on_from(
    folder, slurm, tmp_path
):
    work_dir = tmp_path / 'run'
    command = train_command(
        folder / 'exact_demo.py',
        work_dir,
        2,
        2,
        train_cfg__max_iters=1000,
        default_hooks__checkpoint__interval=2,
    )
    process = start(slurm_command(command, 'slurm_train.sh'), **slurm)
    while not list(work_dir.glob('iter_*.pth')):
        assert process.poll() is None, output_of(process)
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output = output_of(process)
    assert process.returncode == 143, output
    saved = newest_checkpoint(work_dir)
    assert f'SIGTERM: {saved} was saved' in output
    number = int(saved.stem.split('_')[1])
    more = [*command, f'train_cfg.max_iters={number + 1}']
    more.insert(more.index('--seed'), '--resume')
    output = run(slurm_command(more, 'slurm_train.sh'), **slurm)
    assert f'resumed epoch: 0, iter: {number}' in output


@pytest.mark.parametrize(
    ('gpus', 'per_node', 'asked'), [('16', '8', '8'), ('4', '8', '4')]
)
def test_slurm_is_asked_for_gpus_of_whole_nodes(slurm, gpus, per_node, asked):
    given = dict(GPUS=gpus, GPUS_PER_NODE=per_node, ONLY_SHOW='1')
    given['SRUN_ARGS'] = '--time=1-0 --account=us'
    script = REPO / 'tools/slurm_train.sh'
    output = run([script, 'p', 'j', CONFIG, '--amp'], **{**slurm, **given})
    options, command = shown(output)
    assert options['ntasks'] == gpus
    assert options['gres'] == f'gpu:{asked}'
    assert options['ntasks-per-node'] == asked
    assert (options['time'], options['account']) == ('1-0', 'us')
    assert command[-4:] == [str(CONFIG), '--launcher', 'slurm', '--amp']
