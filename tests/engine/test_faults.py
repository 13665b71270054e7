"""What goes wrong while a training runs gives one line and costs nothing.

Real trainings as processes (drill.py), as short as they can be; what was
saved before stays whole, and the training goes on from it.
"""

import resource
import signal
import sys
import time

import drill
import pytest

from gml_mmaction.engine import newest_checkpoint

pytestmark = pytest.mark.slow
SHORT = ['train_cfg.max_iters=8', 'train_cfg.val_interval=4']


@pytest.fixture
def training(tmp_path):
    """Start a training and wait for its first checkpoint."""
    data, config = drill.prepare(tmp_path)
    run = tmp_path / 'run'

    class Training:
        def __init__(self):
            self.data, self.run = data, run
            self.command = drill.command(data, config, run)

        def start(self, *options, python=None):
            command = drill.command(data, config, run, *options)
            self.process = drill.start(command, python)
            while not list(run.glob('iter_*.pth')):
                assert self.process.poll() is None, self.end()[1]
                time.sleep(0.02)
            return self.process

        def end(self):
            output, _ = self.process.communicate(timeout=120)
            return self.process.returncode, output

        def goes_on(self):
            last = newest_checkpoint(run)
            iterations = int(last.stem.split('_')[1]) + 2
            output = drill.train_to_the_end(
                drill.command(
                    *(data, config, run),
                    f'train_cfg.max_iters={iterations}',
                    'train_cfg.val_interval=4',
                )
            )
            return (run / f'iter_{iterations}.pth').exists(), output

    return Training()


def only_line(output):
    """The last line; nothing of a traceback may stand before it."""
    assert 'Traceback' not in output, output
    return output.strip().splitlines()[-1]


def assert_whole(run):
    """All checkpoints load, and nothing half-written lies about."""
    checkpoints = list(run.glob('*.pth'))
    assert checkpoints
    for path in checkpoints:
        assert drill.load(path)['state_dict']
    assert [path.name for path in run.glob('.*')] == []


@pytest.mark.parametrize('fault', ['gone', 'no image'])
def test_a_crop_that_vanishes_is_named_and_the_run_goes_on_with_it(
    training, fault
):
    training.start()
    crops = sorted((training.data / 'frames/r0').rglob('*.jpg'))
    kept = {path: path.read_bytes() for path in crops}
    for path in crops:
        path.unlink() if fault == 'gone' else path.write_bytes(b'no image')
    code, output = training.end()
    assert code == 1, output
    line = only_line(output)
    assert any(str(path) in line for path in crops)
    assert 'gml prepare' in line
    assert_whole(training.run)
    for path, data in kept.items():
        path.write_bytes(data)
    assert training.goes_on()[0]


def test_a_full_disk_is_one_line_and_what_was_saved_stays(training):
    """No file may grow beyond 100 kB any more, as if the disk were full."""
    process = training.start(python=sys.executable)
    size = min(p.stat().st_size for p in training.run.glob('iter_*.pth'))
    assert size > 200_000
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    code, output = training.end()
    assert code == 1, output
    assert 'File too large' in only_line(output)
    assert_whole(training.run)
    assert training.goes_on()[0]


def test_a_truncated_newest_checkpoint_is_passed_over(training):
    training.start(*SHORT)
    code, output = training.end()
    assert code == 0, output
    newest = training.run / 'iter_8.pth'
    whole = newest.read_bytes()
    newest.write_bytes(whole[: len(whole) // 2])
    ended, output = training.goes_on()
    assert ended
    assert f'{newest} is damaged and is skipped' in output
    assert 'iter: 6' in output


def test_a_loss_that_is_no_number_ends_a_real_run_in_one_line(training):
    options = ['optim_wrapper.optimizer.lr=1e30', 'param_scheduler=[]']
    training.start(*options, 'default_hooks.checkpoint.interval=1')
    code, output = training.end()
    assert code == 1, output
    line = only_line(output)
    assert 'the training has diverged' in line
    assert_whole(training.run)


def test_a_second_training_is_told_of_the_first_and_a_killed_one_of_none(
    training,
):
    first = training.start(python=sys.executable)
    first.send_signal(signal.SIGSTOP)  # it holds the folder, and stands still
    before = {p: p.stat().st_mtime_ns for p in training.run.rglob('*')}
    second = drill.start(training.command)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 1
    assert output.count('\n') == 1
    line = only_line(output)
    assert f'{training.run}: another training is running there' in line
    assert f'(process {first.pid} on ' in line
    assert {p: p.stat().st_mtime_ns for p in training.run.rglob('*')} == before
    first.kill()  # its loaders' processes, which wait for it, may live on
    first.wait()
    done, output = training.goes_on()
    assert done, output
    assert_whole(training.run)
