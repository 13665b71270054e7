"""MMAction2's own tools, out of its wheel, run our configs as they are."""

import json
from pathlib import Path

import mmaction
import pytest
import torch
import warm
from tiny import CONFIG, TINY, free_port, write_prepared

TOOLS = Path(mmaction.__file__).parent / '.mim' / 'tools'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# What MMAction2's tools import; the package comes by the config.
IMPORTED = (
    *('matplotlib.pyplot', 'mmaction.registry', 'mmengine.runner'),
    *('scipy.stats', 'sklearn.metrics', 'torch.distributed.run'),
)
OPTIONS = {
    **TINY,
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'train_dataloader.batch_size': 2,
    **{f'{name}.num_workers': 0 for name in LOADERS},
    **{f'{name}.persistent_workers': False for name in LOADERS},
}


@pytest.fixture
def data(tmp_path):
    splits = {
        split: [
            (f'{split}-{method}{i}', method, ['a'], 1)
            for method in ('real', 'Deepfakes')
            for i in range(2)
        ]
        for split in ('train', 'val', 'test')
    }
    return write_prepared(tmp_path / 'data', splits)


@pytest.mark.slow(5)
@pytest.mark.skipif(not TOOLS.is_dir(), reason='MMAction2 brings no tools')
@pytest.mark.parametrize('processes', [1, 2])
def test_the_hosts_own_tools_train_and_test_a_detector(
    processes, data, tmp_path, run_python, monkeypatch
):
    """By custom_imports alone; two processes meet on a CPU, too."""
    roots = {f'{name}.dataset.data_root': data for name in LOADERS}
    options = [f'{key}={value}' for key, value in (OPTIONS | roots).items()]

    def run(tool, *words, out):
        words = [str(TOOLS / tool), str(CONFIG), *map(str, words)]
        words += ['--work-dir', str(out), '--cfg-options', *options]
        launch = [
            *('-m', 'torch.distributed.run'),
            f'--nproc_per_node={processes}',
            f'--master_port={free_port()}',
        ]
        if processes > 1:
            words = [*launch, *words, '--launcher', 'pytorch']
        python = warm.python('', *IMPORTED)
        monkeypatch.setenv('PYTHON_EXEC', python)  # of torchrun
        done = run_python(*words, python=python)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    faster = 'The motion blocks take the faster passes'
    said = run('train.py', '--seed', 1, out=tmp_path / 'run')
    assert said.count(faster) == 1  # the first process logs
    checkpoint = tmp_path / 'run/iter_2.pth'
    meta = torch.load(checkpoint, weights_only=False)['meta']
    assert meta['iter'] == 2
    assert faster in run('test.py', checkpoint, out=tmp_path / 'test')
    metrics = json.loads((tmp_path / 'test/test_metrics.json').read_text())
    assert 0 <= metrics['video/auc'] <= 1
