"""Real commands on a GPU: training, resuming, processes, bad input."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import warm
from where import DEVICE, REPO

pytestmark = pytest.mark.slow
CONFIG = 'configs/gml_xception-small_demo.py'
OPTIONS = [
    *('train_cfg.val_interval=25', 'default_hooks.checkpoint.interval=25'),
    *('default_hooks.logger.interval=5', 'train_dataloader.batch_size=8'),
    *('train_dataloader.num_workers=2', 'val_dataloader.num_workers=1'),
]
SMALL = [
    *('model.backbone.width=0.125', 'model.cls_head.in_channels=256'),
    'model.cls_head.ad_head.in_channels=91',
]
AMP = ['bf16', 'fp16'] if DEVICE == 'cuda' else ['bf16']
PYTHON = [sys.executable, '-W', 'default']
ITERS = 50 if DEVICE == 'cuda' else 4


def run(*words, environment=(), check=True, limit=280):
    # A forked Python must not have looked for a GPU before.
    python = [warm.python()] if DEVICE == 'cpu' else PYTHON
    paths = [str(REPO), *filter(None, sys.path)]
    done = subprocess.run(
        [*python, *map(str, words)],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=limit,
        env={
            **os.environ,
            'PYTHON_EXEC': python[0],  # of torchrun, for its processes
            'PYTHONPATH': os.pathsep.join(paths),
            **dict(environment),
        },
    )
    text = done.stdout + done.stderr
    if check:
        assert done.returncode == 0, text[-3000:]
    return done


def training(crops, work_dir, *flags, iters=ITERS, sets=()):
    """The words of a training after ``python``."""
    small = SMALL if DEVICE == 'cpu' else []
    every = [f'train_cfg.max_iters={iters}', *OPTIONS, *small]
    if DEVICE == 'cpu':
        every += ['train_cfg.val_interval=2']
        every += ['default_hooks.checkpoint.interval=2']
        every += ['default_hooks.logger.interval=1']
    return [
        *('-m', 'gml_mmaction', 'train', CONFIG, '--data', crops),
        *('--work-dir', work_dir, '--seed', '0', *flags),
        *('--cfg-options', *every, *sets),
    ]


def train(*args, environment=(), **kwargs):
    done = run(*training(*args, **kwargs), environment=environment)
    return done.stdout + done.stderr


def together(crops, work_dir, count, *flags, **kwargs):
    """The same by torchrun."""
    words = training(
        crops, work_dir, '--launcher', 'pytorch', *flags, **kwargs
    )
    torchrun = ['-m', 'torch.distributed.run', '--standalone']
    return [*torchrun, f'--nproc_per_node={count}', *words]


def rows(work_dir):
    """What the last run logged of its losses."""
    last = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))[-1]
    lines = [json.loads(line) for line in last.read_text().splitlines()]
    return [line for line in lines if 'loss' in line]


def test_one_process_leaves_its_group(crops, tmp_path):
    """By NCCL on a GPU, by gloo on a CPU."""
    done = run(*together(crops, tmp_path, 1, iters=4))
    assert 'destroy_process_group' not in done.stderr


def test_two_processes_share_a_gpu_by_gloo(crops, tmp_path):
    sets = ['env_cfg.dist_cfg.backend=gloo', 'sync_bn=torch']
    sets += ['train_dataloader.batch_size=4']
    done = run(*together(crops, tmp_path, 2, iters=4, sets=sets))
    assert 'Grad strides do not match' not in done.stderr


def test_more_processes_than_gpus_are_refused_for_nccl(
    crops, tmp_path, on_gpu
):
    count = torch.cuda.device_count() + 1
    done = run(*together(crops, tmp_path, count, iters=4), check=False)
    assert done.returncode != 0
    assert 'needs one for each process' in done.stderr


def test_a_card_too_small_gets_a_batch_that_fits(
    crops, tmp_path, on_gpu, note
):
    """A hundredth of it is all that this process may take."""
    own = tmp_path / 'hundredth.py'
    own.write_text(
        'import torch\ntorch.cuda.set_per_process_memory_fraction(0.01)\n'
    )
    sets = ['train_dataloader.batch_size=4096']
    words = training(crops, tmp_path / 'run', '--import', own, sets=sets)
    done = run(*words, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    note(line=last)
    assert re.search(r'batch_size=4096\. Remedy: --amp bf16, or', last)


@pytest.mark.parametrize('how', [None, *AMP])
def test_it_trains_and_goes_on_elsewhere(how, crops, tmp_path, note):
    """On the GPU; in bf16 also there again, on a CPU in float32, and back."""
    flags = ['--amp', how] if how else []
    text = train(crops, tmp_path, *flags)
    found = rows(tmp_path)
    waited = sum(row['data_time'] for row in found)
    waited /= sum(row['time'] for row in found)
    note(first=found[0]['loss'], last=found[-1]['loss'], waited=waited)
    if DEVICE == 'cuda':
        assert found[-1]['loss'] < found[0]['loss']
        assert 'GradScaler' not in text  # its old name warns
    if how != 'bf16':
        return
    hidden = dict(CUDA_VISIBLE_DEVICES='')
    resumed = (flags, {}), ([], hidden), (flags, {})
    for more, (options, environment) in enumerate(resumed):
        train(
            *(crops, tmp_path, *options, '--resume'),
            iters=ITERS + 2 * more + 2,
            environment=environment,
        )
    assert rows(tmp_path)[-1]['step'] == ITERS + 6


def test_deterministic_runs_are_the_same(crops, tmp_path):
    losses = []
    for name in 'ab':
        work_dir = tmp_path / name
        train(crops, work_dir, '--deterministic', iters=6)
        losses.append([row['loss'] for row in rows(work_dir)])
    assert losses[0] == losses[1]


def test_what_cannot_be_deterministic_says_so(crops, tmp_path, on_gpu):
    config = 'configs/baselines/c3d-small_demo.py'
    words = training(crops, tmp_path, '--deterministic', iters=2)
    words[words.index(CONFIG)] = config
    done = run(*words)
    assert 'does not have a deterministic' in done.stdout + done.stderr


def test_a_compiled_backbone_trains(crops, tmp_path, note):
    """On a CPU, where it compiles for minutes, of one block and one step."""
    flags, sets = ['--compile'], []
    if DEVICE == 'cpu':
        flags += ['--no-validate']
        sets = ['model.backbone.middle_blocks=1', 'model.backbone.tap=block4']
        sets += ["model.backbone.motion_stages=['block1.0']"]
    text = train(crops, tmp_path, *flags, iters=2, sets=sets)
    note(loss=rows(tmp_path)[-1]['loss'])
    assert 'is compiled' in text
    saved = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    assert not any('_orig_mod' in name for name in saved['state_dict'])
