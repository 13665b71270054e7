"""Facts about importing the package."""

from pathlib import Path


def test_importing_registers_everything_in_mmaction2_registries(run_python):
    done = run_python(
        '-c',
        'import gml_mmaction, mmaction.registry as r\n'
        'names = dict(MODELS="Xception CSTM STMBlock MCB GMLHead",\n'
        '    DATASETS="FaceClipDataset", \n'
        '    TRANSFORMS="ClipAugment ClipDecode DistortClip "\n'
        '    "RandomDistortClip FaceCrop",\n'
        '    DATA_SAMPLERS="BalancedSampler", METRICS="ForgeryMetric",\n'
        '    HOOKS="RunSummaryHook")\n'
        'for registry, classes in names.items():\n'
        '    for name in classes.split():\n'
        '        cls = getattr(r, registry).get(name)\n'
        '        assert cls.__module__.startswith("gml_mmaction."), cls\n',
    )
    assert done.returncode == 0, done.stderr


def test_importing_loads_no_faces_figures_compiler_or_web(run_python):
    done = run_python(
        '-c',
        'import sys, gml_mmaction\n'
        'print({"dlib", "matplotlib", "decord", "av", "distributed",\n'
        '    "sklearn", "nicegui", "torch._dynamo"} & set(sys.modules))\n',
    )
    assert done.stdout.strip() == 'set()', done.stdout + done.stderr


def test_importing_replaces_nothing_in_torch(run_python):
    done = run_python(
        '-c',
        'import inspect, torch, gml_mmaction\n'
        'places = [torch, torch.nn, torch.nn.functional, torch.optim]\n'
        'kinds = [k for k in vars(torch.nn).values() if inspect.isclass(k)]\n'
        'ours = [value for place in places + kinds\n'
        '    for value in vars(place).values() if inspect.isfunction(value)\n'
        '    and "gml_mmaction" in value.__code__.co_filename]\n'
        'print(len(kinds) > 100, ours)\n',
    )
    assert done.stdout.strip() == 'True []', done.stdout + done.stderr


FAKE_GPU = """
import os
import torch
torch.cuda.is_available = lambda: os.environ.get('CUDA_VISIBLE_DEVICES') != ''
import conftest
from mmengine.device import get_device
print(get_device())
"""


def test_tests_see_no_gpu_even_where_there_is_one(run_python, monkeypatch):
    """MMEngine asks for one when it is imported, and keeps the answer."""
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    done = run_python('-c', FAKE_GPU, path=Path(__file__).parent)
    assert done.stdout.split() == ['cpu'], done.stderr
