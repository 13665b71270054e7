"""A training that is stopped goes on as if it had not been."""

import os
import signal
import sys
import time

import drill
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from tiny import REPO

from gml_mmaction import host
from gml_mmaction.datasets.samplers import ClipSampler, DrawnIndex, seeded
from gml_mmaction.engine import DivergedError, FiniteHook, newest_checkpoint
from gml_mmaction.engine.runner import build_runner


@pytest.mark.slow(70)
@pytest.mark.timeout(1300)  # seconds; some 60 trainings are begun
def test_a_training_ends_as_an_unbroken_one_wherever_it_is_killed(
    run_warm, tmp_path
):
    """The long form: python tests/engine/drill.py FOLDER --kills 20."""
    done = run_warm(
        *(drill.__file__, str(tmp_path), '--kills', '1', '--iterations', '12'),
        path=REPO / 'tests',
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if 'differing' in line] == [
        '24 changes of files; differing: nothing',
        '25 changes of files; differing: nothing',
        '1 kills; differing: nothing',
    ]


def forget_validation(path):
    """Let a checkpoint be as it was saved before its validation."""
    loaded = drill.load(path)
    loaded['meta']['provenance'].pop('validation')
    torch.save(loaded, path)


@pytest.mark.slow
def test_the_last_validation_is_made_up_for_too(tmp_path):
    data, config = drill.prepare(tmp_path)
    short = ['train_cfg.max_iters=3', 'train_cfg.val_interval=99']
    arguments = drill.command(data, config, tmp_path / 'run', *short)
    drill.train_to_the_end(arguments)
    (best,) = (tmp_path / 'run').glob('best_*')
    best.unlink()
    forget_validation(tmp_path / 'run' / 'iter_3.pth')
    drill.train_to_the_end(arguments)
    assert best.exists()


@pytest.mark.slow
def test_a_validation_that_was_due_is_made_up_for_after_a_kill(tmp_path):
    """Checkpoint 4 is there, its validation is not: as if killed between."""
    data, config = drill.prepare(tmp_path)
    short = ['train_cfg.max_iters=4', 'train_cfg.val_interval=99']
    arguments = drill.command(data, config, tmp_path / 'run', *short)
    drill.train_to_the_end(arguments)
    for path in (tmp_path / 'run').glob('best_*'):
        path.unlink()
    forget_validation(tmp_path / 'run' / 'iter_4.pth')
    longer = ['train_cfg.max_iters=6', 'train_cfg.val_interval=4']
    output = drill.train_to_the_end(
        drill.command(data, config, tmp_path / 'run', *longer)
    )
    assert output.count('Iter(val) [1/1]') == 2  # of iterations 4 and 6
    assert 'at 4 iter is saved' in output


@pytest.mark.slow
@pytest.mark.parametrize('receiver', ['training', 'training and workers'])
def test_sigterm_saves_exits_with_143_and_the_run_goes_on(tmp_path, receiver):
    data, config = drill.prepare(tmp_path)
    arguments = drill.command(data, config, tmp_path / 'run')
    alone = receiver == 'training'
    process = drill.start(arguments, None if alone else sys.executable)
    while not list((tmp_path / 'run').glob('iter_*.pth')):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    if alone:
        process.send_signal(signal.SIGTERM)
    else:
        os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert 'SIGTERM' in output
    saved = newest_checkpoint(tmp_path / 'run')
    assert str(saved) in output
    assert drill.load(saved)['optimizer']['state']
    number = int(saved.stem.split('_')[1])
    arguments.append(f'train_cfg.max_iters={number + 2}')
    output = drill.train_to_the_end(arguments)
    assert f'iter: {number}' in output
    assert len(list((tmp_path / 'run').glob('iter_*.pth'))) == 2  # as kept


def test_the_draws_of_two_processes_are_those_of_one(monkeypatch):
    dataset = range(7)
    one = iter(ClipSampler(dataset, seed=5))
    expected = [(int(d), d.number) for d, _ in zip(one, range(20))]
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, 2)
        )
        draws = iter(ClipSampler(dataset, seed=5))
        found += [(int(d), d.number) for d, _ in zip(draws, range(10))]
    assert sorted(found, key=lambda pair: pair[1]) == expected


def test_a_draw_reaches_a_worker_process_with_its_number():
    import pickle

    draw = pickle.loads(pickle.dumps(DrawnIndex(3, seed=7, number=11)))
    assert (draw, draw.seed, draw.number) == (3, 7, 11)


def test_a_seeded_draw_is_its_own_and_leaves_the_others_alone():
    np.random.seed(0)
    torch.manual_seed(0)
    expected = np.random.rand(), torch.rand(()).item()
    np.random.seed(0)
    torch.manual_seed(0)
    with seeded(1, 2):
        inside = np.random.rand(), torch.rand(()).item()
    assert (np.random.rand(), torch.rand(()).item()) == expected
    with seeded(1, 2):
        assert (np.random.rand(), torch.rand(()).item()) == inside
    with seeded(2, 1):
        assert np.random.rand() != inside[0]


def test_the_newest_checkpoint_is_the_newest_that_is_whole(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    for number in (2, 10, 9):
        torch.save(dict(a=1), tmp_path / f'iter_{number}.pth')
    assert newest_checkpoint(tmp_path).name == 'iter_10.pth'
    data = (tmp_path / 'iter_10.pth').read_bytes()
    (tmp_path / 'iter_10.pth').write_bytes(data[: len(data) // 2])
    assert newest_checkpoint(tmp_path).name == 'iter_9.pth'


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'iter_2.pth'
    path.write_bytes(b'before')

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    host.prepare_run()
    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space left'):
        LocalBackend().put(b'after', path)
    assert path.read_bytes() == b'before'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('loss', [float('nan'), float('inf')])
def test_a_loss_that_is_not_finite_ends_the_run_with_one_line(tmp_path, loss):
    runner = small_runner(tmp_path)
    hook = FiniteHook(interval=1)
    hook.after_train_iter(runner, 0, outputs=dict(loss=torch.tensor(0.5)))
    with pytest.raises(DivergedError, match='diverged') as caught:
        hook.after_train_iter(runner, 0, outputs=dict(loss=torch.tensor(loss)))
    assert '\n' not in str(caught.value)
    assert 'learning rate' in str(caught.value)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    runner = small_runner(tmp_path)
    runner.register_hook(FiniteHook())
    with torch.no_grad():
        next(runner.model.parameters()).fill_(torch.nan)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    with pytest.raises(DivergedError, match='is not finite'):
        runner.save_checkpoint(
            str(tmp_path),
            'iter_1.pth',
            save_optimizer=False,
            save_param_scheduler=False,
            by_epoch=False,
        )
    assert not (tmp_path / 'iter_1.pth').exists()


def small_runner(folder):
    data, _ = drill.prepare(folder)
    cfg = Config.fromfile(REPO / 'configs/gml_xception-small_demo.py')
    cfg.merge_from_dict(
        {
            **drill.OPTIONS,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
        }
    )
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].dataset.data_root = str(data)
    cfg.custom_hooks = []
    cfg.work_dir = str(folder / 'run')
    return build_runner(cfg)
