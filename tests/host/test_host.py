import atexit
import importlib
import importlib.metadata
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import warm
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from torch import nn

from gml_mmaction import host
from gml_mmaction.engine.runner import build_runner, prepare_runner_cfg
from gml_mmaction.errors import GMLError
from gml_mmaction.host.mixed_precision import bfloat16
from gml_mmaction.host.processes import LAUNCHER_VARIABLES, LauncherError
from gml_mmaction.host.safe_checkpoints import (
    UnsafeCheckpointError,
    safe_loading,
)
from gml_mmaction.stack import (
    StackError,
    declared,
    ranges,
    remedy,
    require,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def prepared():
    host.prepare()


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'the-checkpoint-ran-code'


class Calls:
    """Pickles as a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def write(path, payload):
    torch.save({'state_dict': {'w': torch.ones(2)}, 'extra': payload}, path)
    return str(path)


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


def write_opcodes(path, opcodes):
    """Write ``torch.save``'s old format with opcodes of our own."""
    with open(path, 'wb') as file:
        for part in (
            torch.serialization.MAGIC_NUMBER,
            torch.serialization.PROTOCOL_VERSION,
            {},
        ):
            pickle.dump(part, file, protocol=2)
        file.write(b'\x80\x02' + opcodes + b'.')
        pickle.dump([], file, protocol=2)
    return str(path)


def text(word):
    return b'X' + len(word).to_bytes(4, 'little') + word.encode()


HISTORY_BUFFER = b'cmmengine.logging.history_buffer\nHistoryBuffer\n'


def getattr_chain(*names):
    """HistoryBuffer.<name>.<name>..., by ``builtins.getattr`` calls."""
    found = HISTORY_BUFFER
    for name in names:
        found = b'cbuiltins\ngetattr\n' + found + text(name) + b'\x86R'
    return found


def touch_by_eval(marker):
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def history_with_a_note(note):
    buffer = HistoryBuffer([1.0], [1])
    buffer.note = note
    return {'message_hub': {'log_scalars': {'loss': buffer}}}


HOSTILE = {
    'os.system': lambda m: Calls(os.system, f'touch {m}'),
    'builtins.eval': lambda m: Calls(eval, touch_by_eval(m)),
    'builtins.exec': lambda m: Calls(exec, touch_by_eval(m)),
    'getattr of a class': lambda m: Calls(Path.touch, m),
    'subprocess': lambda m: Calls(subprocess.call, ['touch', str(m)]),
    'nested': lambda m: {
        'loss': [HistoryBuffer(), Calls(os.system, f'touch {m}')]
    },
    'part of a history': lambda m: history_with_a_note(
        Calls(os.system, f'touch {m}')
    ),
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_a_checkpoint_that_runs_a_program_elsewhere_is_refused_and_does_not(
    kind, tmp_path, marker
):
    path = write(tmp_path / 'evil.pth', HOSTILE[kind](marker))
    torch.load(path, weights_only=False)
    assert marker.exists()
    marker.unlink()
    with pytest.raises(UnsafeCheckpointError, match=r'evil\.pth') as error:
        load(path)
    assert not marker.exists()
    assert '\n' not in str(error.value)
    assert 'weights_only' not in str(error.value)


def test_the_refusal_names_what_the_checkpoint_asks_for(tmp_path, marker):
    path = write(tmp_path / 'evil.pth', HOSTILE['os.system'](marker))
    asked = os.system.__module__ + r'\.system'
    with pytest.raises(UnsafeCheckpointError, match=asked):
        load(path)


@pytest.mark.parametrize(
    'names',
    [
        ('__init__',),
        ('__init__', '__globals__'),
        ('min', '__globals__'),
        ('register_statistics',),
        ('__class__', '__base__', '__subclasses__'),
        ('_statistics_methods',),
    ],
)
def test_getattr_chains_from_history_buffer_are_refused(names, tmp_path):
    path = write_opcodes(tmp_path / 'evil.pth', getattr_chain(*names))
    with pytest.raises(UnsafeCheckpointError, match='getattr'):
        load(path)


def test_getattr_hands_out_a_statistics_method(tmp_path):
    path = write_opcodes(tmp_path / 'good.pth', getattr_chain('min'))
    assert load(path) is HistoryBuffer.min


def test_a_statistics_method_cannot_be_called_by_the_file(tmp_path):
    call = getattr_chain('min') + HISTORY_BUFFER + b')R\x85R'
    path = write_opcodes(tmp_path / 'evil.pth', call)
    with pytest.raises(UnsafeCheckpointError, match='unrecognized'):
        load(path)


def test_a_checkpoint_cannot_replace_the_statistics_of_the_class(tmp_path):
    swapped = HistoryBuffer([1.0, 2.0], [1, 1])
    original = dict(HistoryBuffer._statistics_methods)
    try:
        HistoryBuffer._statistics_methods['mean'] = HistoryBuffer.max
        path = write(tmp_path / 'swapped.pth', swapped)
    finally:
        HistoryBuffer._statistics_methods.update(original)
    load(path)
    assert HistoryBuffer._statistics_methods == original
    assert HistoryBuffer([1.0, 2.0], [1, 1]).statistics('mean') == 1.5


@pytest.mark.parametrize(
    'payload',
    [
        np.array([{'a': 1}], dtype=object),
        np.zeros(2, dtype=[('x', 'f8'), ('y', 'O')]),
        np.dtype('O'),
        np.ma.masked_array([1.0]),
    ],
    ids=['objects', 'record', 'dtype', 'subclass'],
)
def test_numpy_beyond_plain_numbers_is_refused(payload, tmp_path):
    path = write(tmp_path / 'odd.pth', payload)
    with pytest.raises(UnsafeCheckpointError, match=r'odd\.pth'):
        load(path)


def test_forged_flags_do_not_reach_a_dtype(tmp_path):
    forged = (
        b'cnumpy\ndtype\n' + text('f8') + b'\x89\x88\x87R'
        b'(K\x03' + text('<') + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb'
    )
    loaded = load(write_opcodes(tmp_path / 'forged.pth', forged))
    assert loaded.flags == np.dtype('f8').flags == 0


@pytest.mark.parametrize(
    'code', ['b1', 'i1', 'u1', 'i4', 'u4', 'i8', 'f2', 'f4', 'f8']
)
def test_arrays_and_scalars_of_numbers_load(code, tmp_path):
    array = np.arange(6).reshape(2, 3).astype(code)
    for value in (array, array.T, array[1, 2]):
        loaded = load(write(tmp_path / 'numbers.pth', value))['extra']
        assert loaded.dtype == value.dtype
        np.testing.assert_array_equal(loaded, value)


@pytest.mark.parametrize('module', ['numpy.core', 'numpy._core'])
def test_arrays_written_by_numpy_1_and_2_load(module, tmp_path):
    scalar = (
        f'c{module}.multiarray\nscalar\ncnumpy\ndtype\n'.encode()
        + text('f8')
        + b'\x89\x88\x87R(K\x03'
        + text('<')
        + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'
        + b'c_codecs\nencode\n'
        + text(np.float64(2.0).tobytes().decode('latin1'))
        + text('latin1')
        + b'\x86R\x86R'
    )
    assert load(write_opcodes(tmp_path / 'scalar.pth', scalar)) == 2.0


def test_plain_getattr_allowed_elsewhere_stays_out(tmp_path):
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([getattr])
    try:
        chain = getattr_chain('__init__', '__globals__')
        path = write_opcodes(tmp_path / 'evil.pth', chain)
        with pytest.raises(UnsafeCheckpointError, match='getattr'):
            load(path)
        assert getattr in torch.serialization.get_safe_globals()
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def test_a_type_that_the_user_allows_still_loads(tmp_path):
    path = write(tmp_path / 'queue.pth', Calls(deque, [1, 2]))
    with pytest.raises(UnsafeCheckpointError, match='deque'):
        load(path)
    with torch.serialization.safe_globals([deque]):
        assert load(path)['extra'] == deque([1, 2])


@pytest.mark.parametrize('value', ['0', '1'])
def test_no_environment_variable_switches_the_safe_loader_off(
    value, tmp_path, marker, monkeypatch
):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', value)
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    path = write(tmp_path / 'evil.pth', HOSTILE['os.system'](marker))
    with pytest.raises(UnsafeCheckpointError):
        load(path)
    assert not marker.exists()
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == value
    assert os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] == '0'


def test_a_loader_that_asks_for_the_unsafe_one_gets_the_safe_one(
    tmp_path, marker
):
    """MMEngine 0.11's loader, and torch.hub's, pass weights_only=False."""
    path = write(tmp_path / 'evil.pth', HOSTILE['os.system'](marker))
    refused = pytest.raises(UnsafeCheckpointError)
    with refused, safe_loading(path):
        torch.load(path, weights_only=False)
    assert not marker.exists()


def test_a_checkpoint_from_an_address_is_loaded_safely(
    tmp_path, marker, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    path = Path(write(tmp_path / 'evil.pth', HOSTILE['os.system'](marker)))
    cache = tmp_path / 'hub' / 'hub' / 'checkpoints'
    cache.mkdir(parents=True)
    path.rename(cache / 'evil.pth')  # what torch.hub finds, it does not fetch
    with pytest.raises(UnsafeCheckpointError, match='https://'):
        load('https://example.org/evil.pth')
    assert not marker.exists()


def test_prepare_twice_wraps_the_loader_once():
    before = CheckpointLoader.load_checkpoint.__func__
    host.prepare()
    assert CheckpointLoader.load_checkpoint.__func__ is before


def test_mmaction_models_import_and_drn_says_what_is_wrong():
    import mmaction.models  # noqa: F401
    from mmaction.registry import MODELS as ACTION_MODELS

    spec = importlib.util.find_spec('mmaction')
    models = Path(spec.submodule_search_locations[0]) / 'models'
    if (models / 'localizers' / 'drn').exists():
        pytest.skip('this MMAction2 has its own DRN')
    with pytest.raises(Exception, match='sources'):
        ACTION_MODELS.build({'type': 'DRN'})


BROKEN = {
    'mmcv': ('raise ModuleNotFoundError("No module named \'mmcv\'")', 'lite'),
    'cv2': (
        "raise ImportError('libGL.so.1: cannot open shared object file')",
        'apt-get install libgl1',
    ),
}


@pytest.mark.parametrize('name', BROKEN)
def test_a_missing_part_gives_one_line_with_the_remedy(
    name, run_python, tmp_path
):
    source, advice = BROKEN[name]
    (tmp_path / f'{name}.py').write_text(source)
    done = run_python('-c', 'import gml_mmaction', path=tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert 'StackError: mmcv cannot be imported' in last
    assert advice in last


def test_require_returns_the_module_or_names_the_extra(run_python, tmp_path):
    assert require('json') is importlib.import_module('json')
    (tmp_path / 'dlib.py').write_text('import no_such_module_')
    code = "from gml_mmaction.stack import require; require('dlib')"
    done = run_python('-c', code, path=tmp_path)
    assert 'StackError: dlib cannot be imported' in done.stderr
    assert 'pip install no_such_module_' in done.stderr
    with pytest.raises(StackError, match=r'pip install absent_thing'):
        require('absent_thing')


def test_remedy_for_a_missing_dlib_names_the_extra():
    text = remedy('dlib', "No module named 'dlib'")
    assert 'gml-mmaction[lite]' in text


def test_the_errors_that_a_tool_prints_share_a_class():
    for error, builtin in (
        (StackError, ImportError),
        (LauncherError, ValueError),
        (UnsafeCheckpointError, ValueError),
    ):
        assert issubclass(error, GMLError)
        assert issubclass(error, builtin)


def test_the_doctor_checks_the_ranges_that_are_declared():
    found = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, declared())
    }
    for part in ranges().values():
        assert found.pop(part.distribution) == SpecifierSet(part.limits)
    web = SpecifierSet('<4,>=3.18')  # which only gml web looks at
    others = {str(limits) for limits in found.values() if limits != web}
    assert not [limits for limits in others if '<' in limits]


def test_a_source_tree_that_is_not_installed_declares_nothing(run_python):
    """Nothing but the standard library and the source tree is there."""
    code = (
        'import sys; sys.path = [p for p in sys.path if "-packages" not in p]'
        '; sys.argv = ["gml"]; from gml_mmaction import stack'
        '; print(stack.declared(), stack.remedy("torch", "No module named'
        " 'torch'\"))"
    )
    done = run_python('-S', '-c', code)
    assert done.stdout == '[] pip install "torch"\n', done.stderr


def test_importing_the_package_warns_of_nothing(run_python):
    """With full mmcv, and without: mmcv-lite warns of what it lacks."""
    done = run_python('-W', 'error::UserWarning', '-c', 'import gml_mmaction')
    assert done.returncode == 0, done.stderr


def test_the_standard_library_stands_in_for_importlib_metadata(run_python):
    code = """
        from importlib.machinery import PathFinder
        find = PathFinder.find_spec
        PathFinder.find_spec = lambda name, *rest: (
            None if name == 'importlib_metadata' else find(name, *rest))
        from gml_mmaction import host
        host.prepare()
        import importlib.metadata, importlib_metadata
        import mmaction.utils
        assert importlib_metadata is importlib.metadata
        print('same')
    """
    done = run_python('-c', textwrap.dedent(code))
    assert done.stdout.strip() == 'same', done.stderr


def test_status_gives_a_reason_for_the_safe_loader_and_names_upstream():
    found = {item.name: (item.upstream, why) for item, why in host.status()}
    upstream, why = found['safe loading of checkpoints']
    assert upstream == 'open-mmlab/mmengine#1655'
    assert why


@MODELS.register_module(force=True)
class HostToyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.dtypes = []

    def forward(self, inputs, labels, sample_idx=None, mode='tensor'):
        scores = self.linear(inputs)
        self.dtypes.append(scores.dtype)
        if mode == 'loss':
            return {'loss': nn.functional.cross_entropy(scores, labels)}
        return list(zip(scores.argmax(1), labels, strict=True))


@DATASETS.register_module(force=True)
class HostToyData(BaseDataset):
    def load_data_list(self):
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        return [{'inputs': x, 'labels': int(x[0] > 0)} for x in inputs]


@METRICS.register_module(force=True)
class HostToyMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [float(a == b) for a, b in data_samples]

    def compute_metrics(self, results):
        return {'right': np.mean(results), 'count': len(results)}


def toy_cfg(work_dir, max_iters=2, **changes):
    loader = {
        'dataset': {'type': 'HostToyData'},
        'batch_size': 2,
        'num_workers': 0,
        'collate_fn': {'type': 'default_collate'},
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
    }
    cfg = {
        'model': {'type': 'HostToyModel'},
        'work_dir': str(work_dir),
        'train_dataloader': loader,
        'val_dataloader': loader,
        'val_evaluator': {'type': 'HostToyMetric'},
        'val_cfg': {},
        'train_cfg': {
            'by_epoch': False,
            'max_iters': max_iters,
            'val_interval': 1,
        },
        'optim_wrapper': {
            'optimizer': {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}
        },
        'param_scheduler': {
            'type': 'StepLR',
            'step_size': 1,
            'by_epoch': False,
        },
        'default_hooks': {
            'checkpoint': {
                'type': 'CheckpointHook',
                'interval': 1,
                'by_epoch': False,
                'save_best': 'right',
                'rule': 'greater',
            },
            'logger': {'type': 'LoggerHook', 'interval': 1},
        },
        'randomness': {'seed': 0},
        'experiment_name': Path(work_dir).name,
    }
    return Config({**cfg, **changes})


def test_a_checkpoint_of_a_real_runner_resumes_where_it_stopped(tmp_path):
    resume = {
        'load_from': str(tmp_path / 'straight' / 'iter_2.pth'),
        'resume': True,
    }
    weights, losses = [], []
    for name, changes in (('straight', {}), ('resumed', resume)):
        cfg = toy_cfg(tmp_path / name, max_iters=4, **changes)
        runner = build_runner(cfg)
        runner.train()
        weights.append(runner.model.linear.weight)
        losses.append(runner.message_hub.get_scalar('train/loss').data[0])
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    torch.testing.assert_close(weights[0], weights[1])


def repack(path, method, copies=1):
    """Write the archive of a checkpoint anew."""
    with zipfile.ZipFile(path) as archive:
        entries = [(i.filename, archive.read(i)) for i in archive.infolist()]
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
        archive.filelist *= copies


@pytest.mark.parametrize(
    ('method', 'copies'), [(zipfile.ZIP_DEFLATED, 1), (zipfile.ZIP_STORED, 9)]
)
def test_tensors_larger_than_their_file_are_refused(tmp_path, method, copies):
    path = tmp_path / 'a.pth'
    torch.save({'w': torch.zeros(10**5)}, path)
    repack(path, zipfile.ZIP_STORED)
    assert len(load(path)['w']) == 10**5
    repack(path, method, copies)
    with pytest.raises(UnsafeCheckpointError, match='larger than the'):
        load(path)


@pytest.mark.parametrize('key', ['config', 'cfg'])
def test_resuming_runs_no_text_of_the_checkpoint(tmp_path, marker, key):
    build_runner(toy_cfg(tmp_path / 'first')).train()
    path = tmp_path / 'first/iter_2.pth'
    loaded = load(path)
    loaded['meta'][key] = f"x = open({str(marker)!r}, 'w')"
    torch.save(loaded, path)
    more = {'load_from': str(path), 'resume': True}
    runner = build_runner(toy_cfg(tmp_path / 'b', max_iters=3, **more))
    if key == 'config':
        with pytest.raises(GMLError, match='line 1 is not a plain value'):
            runner.train()
    else:
        runner.train()
    assert not marker.exists()


def test_resuming_reads_the_config_of_an_old_checkpoint(tmp_path):
    build_runner(toy_cfg(tmp_path / 'first')).train()
    path = tmp_path / 'first/iter_2.pth'
    loaded = load(path)
    loaded['meta']['config'] = 'gpu_ids = [0]\nmodel = dict(depth=2)\n'
    torch.save(loaded, path)
    more = {'load_from': str(path), 'resume': True}
    runner = build_runner(toy_cfg(tmp_path / 'b', max_iters=3, **more))
    runner.train()
    assert runner.iter == 3


def test_the_text_of_a_config_is_never_run(marker):
    text = f"x = open({str(marker)!r}, 'w')"
    with pytest.raises(GMLError, match='not a plain value'):
        Config.fromstring(text, '.py')
    assert Config.fromstring('a = dict(b=1)', '.py').a.b == 1
    assert Config.fromstring('{"a": 1}', '.json').a == 1
    assert not marker.exists()


@DATASETS.register_module(force=True)
class HostNumbers(BaseDataset):
    """20 numbers; every one that is read is written to a file."""

    def load_data_list(self):
        return [{'inputs': torch.full((4,), float(i))} for i in range(20)]

    def __getitem__(self, index):
        with open(self.metainfo['log'], 'a') as log:
            print(index, file=log)
        return {**super().__getitem__(index), 'labels': 0}


@MODELS.register_module(force=True)
class HostListener(HostToyModel):
    """Keeps the numbers that it is trained with."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def forward(self, inputs, labels, sample_idx=None, mode='tensor'):
        self.heard.append(inputs[:, 0].int().tolist())
        return super().forward(inputs, labels, sample_idx, mode)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('sampler', 'workers', 'most_read'),
    [
        ('InfiniteSampler', 0, 6),
        ('InfiniteSampler', 2, 6 + 2 * 2 * 2 * 2),
        ('DefaultSampler', 0, 6 + 2),
    ],
)
def test_a_resumed_run_has_the_order_of_an_unbroken_one_and_skips_unread(
    sampler, workers, most_read, tmp_path
):
    """Of 16 batches of 2 numbers, the last 3 come after the restart.

    Workers read ahead by 2 batches each, at the start and at the end.
    """
    heard, logs = [], [tmp_path / 'unbroken.txt', tmp_path / 'resumed.txt']
    for log in logs:
        cfg = toy_cfg(tmp_path / log.stem, max_iters=16)
        cfg.model = {'type': 'HostListener'}
        cfg.train_dataloader = {
            'dataset': {'type': 'HostNumbers', 'metainfo': {'log': str(log)}},
            'batch_size': 2,
            'num_workers': workers,
            'collate_fn': {'type': 'default_collate'},
            'sampler': {'type': sampler, 'shuffle': True},
        }
        cfg.train_cfg.val_begin = 99
        cfg.resume = bool(heard)
        cfg.load_from = str(tmp_path / 'unbroken/iter_13.pth')
        cfg.default_hooks.checkpoint.pop('save_best')
        if not heard:
            cfg.load_from = None
        runner = build_runner(cfg)
        runner.train()
        heard.append(runner.model.heard)
    assert heard[1] == heard[0][-3:]
    assert len(logs[0].read_text().split()) >= 32
    assert len(logs[1].read_text().split()) <= most_read


def test_runs_that_begin_in_one_second_share_nothing(tmp_path, monkeypatch):
    clock = SimpleNamespace(**{**vars(time), 'time': lambda: 1e9})
    monkeypatch.setattr('mmengine.runner.runner.time', clock)
    runs = [build_runner(toy_cfg(tmp_path)) for _ in range(3)]
    for run in runs:
        run.train()
    for name in ('timestamp', 'logger', 'message_hub', 'visualizer'):
        assert len({id(getattr(run, name)) for run in runs}) == 3
    logs = [Path(run.log_dir, f'{run.timestamp}.log') for run in runs]
    assert [log.read_text().count('Saving') for log in logs] == [2, 2, 2]


def test_the_loaders_of_this_mmengine_fail_without_us(tmp_path):
    """Says when the workaround may go: MMEngine's own file, PyTorch's way."""
    build_runner(toy_cfg(tmp_path)).train()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'iter_2.pth', weights_only=True)


def test_heads_of_the_host_train_and_predict_under_bfloat16_autocast():
    from mmaction.models.heads import I3DHead
    from mmaction.structures import ActionDataSample

    def samples():
        return [ActionDataSample().set_gt_label(k) for k in (0, 1, 1)]

    def run(head, feats):
        scores = [s.pred_score for s in head.predict(feats, samples())]
        return [head.loss(feats, samples())['loss_cls'], *scores]

    host.prepare_run()
    kwargs = {'topk': (1,), 'average_clips': 'prob'}
    head = I3DHead(num_classes=2, in_channels=4, **kwargs).eval()
    feats = torch.randn(3, 4, 1, 2, 2)
    expected = run(head, feats)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert head(feats).dtype == torch.bfloat16
        found = run(head, feats)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=0)


def test_a_config_is_laid_out_once_and_as_upstream_does(monkeypatch):
    from mmengine.config import config

    host.prepare_run()
    ours = config.FormatCode
    cfg = Config(dict(b=[1, 2], a=dict(c='x' * 90)))
    text = cfg.pretty_text
    began = time.process_time()
    assert all(cfg.pretty_text == text for _ in range(100))
    again = time.process_time() - began
    monkeypatch.setattr(config, 'FormatCode', ours.__wrapped__)
    began = time.process_time()
    assert all(cfg.pretty_text == text for _ in range(10))
    assert again < time.process_time() - began
    cfg.b = 3
    monkeypatch.setattr(config, 'FormatCode', ours)
    assert 'b = 3' in cfg.pretty_text


def test_prepare_twice_wraps_methods_once():
    from mmaction.models.heads import BaseHead

    def wrapped():
        return BaseHead.loss_by_feat, BaseHead.predict_by_feat

    host.prepare_run()
    before = wrapped()
    host.prepare_run()
    assert wrapped() == before


def test_3d_convolutions_under_bfloat16_autocast_have_finite_gradients():
    """Where oneDNN reads what nobody wrote, NaN is put there."""
    for seed in range(20):
        torch.manual_seed(seed)
        layer = torch.nn.Conv3d(64, 64, 3, padding=1)
        clip = torch.randn(2, 64, 2, 4, 4)
        freed = [
            torch.full((size,), torch.nan, dtype=torch.bfloat16)
            for size in range(1000, 2000000, 30011)
        ]
        del freed
        with bfloat16():
            assert layer(clip).dtype == torch.float32
            layer(clip).sum().backward()
        assert layer.weight.grad.isfinite().all()


@pytest.mark.skipif(
    torch.cuda.is_available(), reason='a GPU keeps AmpOptimWrapper'
)
def test_amp_on_a_cpu_runs_the_forward_pass_in_bfloat16(tmp_path):
    optim_wrapper = {
        'type': 'AmpOptimWrapper',
        'loss_scale': 'dynamic',
        'optimizer': {'type': 'SGD', 'lr': 0.1},
    }
    runner = build_runner(toy_cfg(tmp_path, optim_wrapper=optim_wrapper))
    before = runner.model.linear.weight.detach().clone()
    runner.train()
    assert torch.bfloat16 in runner.model.dtypes
    assert runner.model.linear.weight.dtype == torch.float32
    assert not torch.equal(runner.model.linear.weight, before)


@pytest.mark.skipif(torch.cuda.is_available(), reason='for a CPU only')
@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_a_launcher_that_did_not_launch_gets_the_command(
    launcher, monkeypatch
):
    for name in LAUNCHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LauncherError, match='torchrun --nproc_per_node'):
        prepare_runner_cfg(Config({'launcher': launcher}))


def test_nothing_changes_without_launcher_and_amp(tmp_path):
    cfg = toy_cfg(tmp_path)
    before = cfg.to_dict()
    prepare_runner_cfg(cfg)
    assert cfg.to_dict() == before


def launch_two(work_dir):
    """Run this very file as two processes joined by torchrun."""
    environment = {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        'PYTHON_EXEC': sys.executable,  # of the two: their end is tried
        'PYTHONPATH': os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
    }
    return subprocess.run(
        [
            warm.python(),
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node=2',
            __file__,
            str(work_dir),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


def is_gloos(thread):
    return 'gloo' in (thread / 'comm').read_text()


def main(work_dir):
    """One of the two processes: train, test, write what this rank has."""
    atexit.register(  # the first to register is the last to run
        lambda: Path(work_dir, f'left{os.environ["RANK"]}').write_text(
            str(not any(map(is_gloos, Path('/proc/self/task').iterdir())))
        )
    )
    cfg = toy_cfg(work_dir, launcher='pytorch')
    cfg.train_dataloader.batch_size = 1
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = {}
    runner = build_runner(cfg)
    runner.train()
    torch.save(
        (runner.model.module.state_dict(), runner.test()),
        Path(work_dir) / f'rank{runner.rank}.pt',
    )


@pytest.mark.slow(10)
def test_two_processes_on_a_cpu_train_and_test_as_one(tmp_path):
    done = launch_two(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [load(tmp_path / f'rank{i}.pt') for i in (0, 1)]
    assert torch.equal(
        ranks[0][0]['linear.weight'], ranks[1][0]['linear.weight']
    )
    assert [scores['count'] for _, scores in ranks] == [8, 8]
    left = [(tmp_path / f'left{i}').read_text() for i in (0, 1)]
    assert left == ['True', 'True'], 'gloo outlives the interpreter'
    alone = build_runner(toy_cfg(tmp_path / 'alone'))
    alone.train()
    torch.testing.assert_close(
        ranks[0][0]['linear.weight'], alone.model.linear.weight.detach()
    )


LEAVES = """
import faulthandler, sys, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from gml_mmaction.host.processes import leave_group
faulthandler.dump_traceback_later(120, exit=True)
sys.setswitchinterval(100)  # Python's lock is for those who are let
for turn in range(40):
    file = f'file://{sys.argv[1]}/{turn}'
    dist.init_process_group('gloo', init_method=file, rank=0, world_size=1)
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    model.cycle = [model]
    del model
    for _ in range(20):
        tensor = torch.zeros(1000)
        tensor.owner = 'the thread that adds it up'
        dist.all_reduce(tensor, async_op=True)
        del tensor
    leave_group()
"""


def test_leaving_a_group_waits_for_no_thread_that_waits_for_python(
    run_warm, tmp_path
):
    done = run_warm('-c', LEAVES, str(tmp_path))
    assert done.returncode == 0, done.stderr


if __name__ == '__main__':
    main(sys.argv[1])


def test_a_user_without_a_home_can_import_the_stack(run_python):
    """As in a container that is started as an unknown user."""
    if os.geteuid() or not shutil.which('setpriv'):
        pytest.skip('needs root and setpriv')
    code = """
    import os, subprocess, sys
    os.environ.pop('HOME')
    nobody = '--reuid 54321 --regid 54321 --clear-groups'.split()
    # may read where Python lies, and writes nowhere
    reads = '--inh-caps +dac_read_search --ambient-caps +dac_read_search'
    code = "import gml_mmaction, os; print(os.getuid(), os.environ['HOME'])"
    command = ['setpriv', *nobody, *reads.split(), sys.executable, '-c', code]
    subprocess.run(command, check=True)
    """
    done = run_python('-c', textwrap.dedent(code))
    assert done.stdout == '54321 /nonexistent\n', done.stderr


def test_a_log_is_utf_8_in_any_locale_and_moves_no_cursor(
    run_python, tmp_path, monkeypatch
):
    monkeypatch.setenv('LC_ALL', 'C')
    monkeypatch.setenv('PYTHONUTF8', '0')
    monkeypatch.setenv('PYTHONCOERCECLOCALE', '0')
    path = tmp_path / 'a.log'
    code = f"""
    import gml_mmaction
    from gml_mmaction import host
    from gml_mmaction.io.text import widen_streams
    from mmengine.logging import MMLogger
    host.prepare_run()
    widen_streams()
    logger = MMLogger.get_instance('a', log_file={str(path)!r})
    logger.info('Zo\\xeb \\u2265 %s\\n', '\\x1b[2J\\udcff')
    """
    done = run_python('-c', textwrap.dedent(code))
    assert done.returncode == 0
    assert 'Logging error' not in done.stderr, done.stderr
    (line,) = path.read_text(encoding='utf-8').split('\n')[:-2]
    assert line.endswith(r'Zoë ≥ \x1b[2J\udcff')
    assert r'Zo\xeb \u2265 \x1b[2J\udcff' in done.stdout
