"""What a device cannot do ends in a line; what differs on a GPU."""

import os
import re
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import warm
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import OPTIM_WRAPPERS
from tiny import CONFIG, REPO, TINY, write_prepared
from torch import nn

from gml_mmaction.engine import ProcessesHook, accelerator
from gml_mmaction.engine.accelerator import (
    TF32,
    float32_on_gpus,
    set_tf32,
)
from gml_mmaction.engine.memory import (
    ShortageError,
    naming_shortage,
    what_fits,
)
from gml_mmaction.errors import SettingError
from gml_mmaction.host.mixed_precision import settle_precision
from gml_mmaction.host.processes import LauncherError, refuse_nccl
from gml_mmaction.kernels import gpu


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    videos = [('r', 'real', ['1'], 1), ('f', 'fake', ['2'], 1)]
    splits = {
        split: [(f'{split}/{name}', *rest) for name, *rest in videos]
        for split in ('train', 'val', 'test')
    }
    root = tmp_path_factory.mktemp('data') / 'crops'
    return write_prepared(root, splits)


def train(data, work_dir, *flags, environment=(), python=None):
    options = TINY | {
        'train_cfg.max_iters': 2,
        'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 2,
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
    }
    words = [f'{key}={value}' for key, value in options.items()]
    return subprocess.run(
        [
            *(python or warm.python(), 'tools/train.py', str(CONFIG)),
            *('--data', str(data), '--work-dir', str(work_dir), *flags),
            *('--cfg-options', *words),
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
        env=os.environ | {'OMP_NUM_THREADS': '1'} | dict(environment),
    )


def is_one_line(done, *words):
    assert done.returncode == 1, done.stderr[-2000:]
    (line,) = done.stderr.splitlines()
    assert 'Remedy: ' in line
    assert all(word in line for word in words), line


@pytest.mark.slow
@pytest.mark.parametrize(
    ('flags', 'environment', 'words'),
    [
        (['--amp', 'fp16'], {}, ['--amp fp16', '--amp bf16']),
        (
            ['--cfg-options', 'env_cfg.dist_cfg.backend=nccl'],
            {},
            ['PyTorch sees none', 'gloo'],
        ),
        (['--compile'], {'CXX': '/nowhere/c++'}, ['--compile', 'CXX']),
        ([], {'GML_TRITON': '1'}, ['GML_TRITON=1', 'unset']),
    ],
    ids=['fp16', 'nccl', 'compile', 'kernel'],
)
def test_what_a_cpu_cannot_do_is_one_line_and_writes_nothing(
    flags, environment, words, data, tmp_path
):
    python = sys.executable if environment else None  # read at its start
    done = train(
        *(data, tmp_path, *flags), environment=environment, python=python
    )
    is_one_line(done, *words)
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


@pytest.mark.slow
def test_too_little_memory_is_one_line_that_says_what_to_try(data, tmp_path):
    """A process that may have 2.2 GB trains a wide network on 64 clips."""
    limit = 2_200_000 * 1024
    wide = ['model.backbone.width=0.5', 'model.cls_head.in_channels=1024']
    wide += ['model.cls_head.ad_head.in_channels=364']
    script = (
        'import resource, runpy, sys\n'
        f'resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n'
        'sys.argv = sys.argv[1:]\n'
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    options = [f'{key}={value}' for key, value in TINY.items()]
    sets = ['train_dataloader.batch_size=64', 'train_dataloader.num_workers=0']
    done = subprocess.run(
        [
            *(warm.python(), '-c', script, 'tools/train.py', str(CONFIG)),
            *('--data', str(data), '--work-dir', str(tmp_path)),
            *('--cfg-options', *options, *sets, *wide),
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
        env=os.environ | {'OMP_NUM_THREADS': '1'},
    )
    is_one_line(done, 'batch_size=64', '--amp bf16', 'accumulative_counts=')
    assert not list(tmp_path.glob('*.pth'))
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != limit


def a_runner(batch=16, **more):
    cfg = Config.fromfile(REPO / 'configs/gml_xception_ffpp.py')
    cfg.train_dataloader.batch_size = batch
    cfg.optim_wrapper.update(more)
    hub = SimpleNamespace(runtime_info=dict(loop_stage='train'))
    return SimpleNamespace(cfg=cfg, message_hub=hub)


@pytest.mark.slow
def test_half_of_the_papers_batch_is_estimated_to_fit_a_card_of_24_gb():
    """23.0 GiB of 16 clips do not fit; documents say so."""
    assert what_fits(a_runner(), 16, True, 24 * 10**9) == 8
    assert what_fits(a_runner(), 2, True, 10**9) == 0


def test_an_error_of_the_allocator_names_the_batch_and_others_stay():
    runner = a_runner(batch=1)
    runner.cfg.train_dataloader.dataset.pipeline = []  # no estimate
    with (
        pytest.raises(ShortageError) as caught,
        naming_shortage(runner),
    ):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')
    assert re.search(
        r'train_dataloader\.batch_size=1\. Remedy: --amp bf16, or a device',
        str(caught.value),
    )
    with pytest.raises(RuntimeError, match='shapes'), naming_shortage(runner):
        raise RuntimeError('shapes')


@pytest.fixture
def a_gpu(monkeypatch):
    """Let it be thought that there is one; nothing is computed on it."""
    monkeypatch.setattr(accelerator, 'cpu_only', lambda: False)
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', '')  # as before, later
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG')


@pytest.mark.parametrize('deterministic', [True, False])
def test_on_a_gpu_loaders_pin_memory_and_cublas_gets_its_workspace(
    deterministic, a_gpu
):
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=1),
            val_dataloader=dict(pin_memory=False),
            test_dataloader=None,
            randomness=dict(deterministic=deterministic),
        )
    )
    accelerator.settle_accelerator(cfg)
    assert cfg.train_dataloader.pin_memory is True
    assert cfg.val_dataloader.pin_memory is False  # as a user has it
    workspace = os.environ.get('CUBLAS_WORKSPACE_CONFIG')
    assert workspace == (':4096:8' if deterministic else None)


@pytest.mark.parametrize('deterministic', [True, False])
def test_on_a_gpu_copies_do_not_wait_and_what_is_not_deterministic_warns(
    deterministic, a_gpu
):
    lines = []
    model = nn.Module()
    model.data_preprocessor = BaseDataPreprocessor()
    runner = SimpleNamespace(
        model=model, logger=SimpleNamespace(info=lines.append)
    )
    try:
        torch.use_deterministic_algorithms(deterministic)
        accelerator.use_accelerator(runner)
        warns = torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    finally:
        torch.use_deterministic_algorithms(False)
    assert model.data_preprocessor._non_blocking is True
    assert warns == deterministic
    assert ['--deterministic' in line for line in lines] == (
        [False, True] if deterministic else [False]
    )
    assert TF32 in lines[0]


def mixed(**given):
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper', **given)))
    settle_precision(cfg)
    return cfg.optim_wrapper


def test_a_dtype_that_does_not_exist_is_refused():
    with pytest.raises(SettingError, match=r'dtype=.*float8.*use one of'):
        mixed(dtype='float8')


def test_mixed_precision_is_one_wrapper_whatever_the_host_calls_it():
    assert mixed()['type'] == 'MixedOptimWrapper'
    assert mixed(dtype='bfloat16', loss_scale='dynamic')['dtype'] == 'bfloat16'


@pytest.mark.parametrize('first', ['float16', 'bfloat16'])
def test_a_scale_is_kept_and_a_checkpoint_without_one_goes_on(first):
    """From float16 to bfloat16 and back, as between two devices."""
    mixed()
    wrappers = {}
    for dtype in ('float16', 'bfloat16'):
        layer = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        wrappers[dtype] = OPTIM_WRAPPERS.build(
            dict(
                type='MixedOptimWrapper',
                dtype=dtype,
                optimizer=optimizer,
                loss_scale=dict(init_scale=8.0),
            )
        )
        wrappers[dtype].update_params(layer(torch.ones(1, 2)).sum())
    state = wrappers[first].state_dict()
    assert ('loss_scaler' in state) == (first == 'float16')
    other = wrappers['float16' if first == 'bfloat16' else 'bfloat16']
    other.load_state_dict(state)
    again = wrappers['float16']
    assert again.loss_scaler.get_scale() == 8.0


def test_scaled_losses_give_the_same_step():
    mixed()
    weights = []
    for dtype in ('float16', 'bfloat16'):
        layer = nn.Linear(2, 1)
        nn.init.ones_(layer.weight)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
        wrapper = OPTIM_WRAPPERS.build(
            dict(type='MixedOptimWrapper', dtype=dtype, optimizer=optimizer)
        )
        wrapper.update_params(layer(torch.ones(1, 2)).sum())
        weights.append(layer.weight.detach().clone())
    assert torch.equal(*weights)
    assert torch.equal(weights[0], torch.full((1, 2), 0.5))


@pytest.mark.parametrize('quote', ['', "'", '"'])
def test_nccl_on_a_cpu_is_refused_if_a_user_asks_for_it(quote):
    refuse_nccl(['env_cfg.dist_cfg.backend=gloo', 'a=nccl'])
    with pytest.raises(LauncherError, match='leave it out'):
        refuse_nccl([f'env_cfg.dist_cfg.backend={quote}nccl{quote}'])


def test_tf32_is_stated_and_set():
    before = (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )
    try:
        set_tf32(False)
        assert float32_on_gpus() == (
            'float32 in convolutions, float32 in matrix products'
        )
        set_tf32(None)  # leaves it
        assert 'TF32' not in float32_on_gpus()
        set_tf32(True)
        assert float32_on_gpus().count('TF32') == 2
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.backends.cuda.matmul.allow_tf32 = before[1]


def test_requests_of_hooks_travel_with_the_losses():
    hook, wish = ProcessesHook(), []
    asked = hook.listen(lambda: bool(wish))
    other = hook.listen(lambda: False)
    outputs = dict(loss=torch.tensor(2.0))
    hook.after_train_iter(None, 0, outputs=outputs)
    assert not asked()
    wish.append(1)
    hook.after_train_iter(None, 0, outputs=outputs)
    assert asked()
    assert not other()
    assert outputs == dict(loss=torch.tensor(2.0))


def test_tf32_is_read_by_either_of_pytorch_s_names():
    """PyTorch refuses the first where the second was set."""
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, 'fp32_precision'):
        pytest.skip('one set of names in this PyTorch')
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = 'tf32'
        assert gpu.tf32_allowed() == (True, True)
        assert gpu._precision(torch.zeros(1)) == 'tf32'
        assert float32_on_gpus().endswith('TF32 in matrix products')
    finally:
        matmul.fp32_precision = before
    assert float32_on_gpus() == TF32
