"""The kernel for GPUs, as far as a CPU can tell.

Its numbers in Triton's interpreter, and that it compiles for three
generations of GPUs. Both need Triton: pip install --no-deps triton.
"""

import importlib.util
import json

import pytest
import torch

from gml_mmaction.kernels import gpu

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None, reason='no Triton'
)
INTERPRETED = """
import copy, json, sys
import torch
from torch import nn
from gml_mmaction.kernels import accelerate, gpu, plain
from gml_mmaction.models import MCB, STMBlock

called, mix = [], gpu._mixed
gpu._mixed = lambda *a, **k: called.append(1) or mix(*a, **k)
cases = json.loads(sys.argv[1])
found = []
for name, channels, height, width, rectify, dtype in cases:
    torch.manual_seed(0)
    block = dict(MCB=MCB, STMBlock=STMBlock)[name](channels, 2)
    for p in block.parameters():
        nn.init.normal_(p, std=0.3)
    block = accelerate(block.to(getattr(torch, dtype)))
    x = torch.randn(4, channels, height, width).to(getattr(torch, dtype))
    x = x.contiguous(memory_format=torch.channels_last)
    exact = plain(copy.deepcopy(block)).double()
    theirs, ours = x.double().requires_grad_(), x.clone().requires_grad_()
    grad = torch.randn_like(x)
    expected = exact(theirs.relu() if rectify else theirs)
    expected.backward(grad.double())
    called.clear()
    y = block(ours, nn.ReLU() if rectify else None)
    y.backward(grad)
    assert len(called) == 2, 'there and back'
    pairs = dict(y=(y, expected), x=(ours.grad, theirs.grad))
    for (key, p), q in zip(block.named_parameters(), exact.parameters()):
        pairs[key] = p.grad, q.grad
    found.append({
        key: float(((a.double() - b).norm() / b.norm()).detach())
        for key, (a, b) in pairs.items()
    })
print(json.dumps(found))
"""
COMPILED = """
import json, sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gml_mmaction.kernels.triton_src import stencil

kind, architecture = sys.argv[1], int(sys.argv[2])
fixed = dict(
    mix=dict(K=45, RELU=True, MASK=True, BW=32, BC=32, BK=16),
    correlate=dict(RELU=True, ROWS=4, TILES=2, BW=32, BC=32),
    reduce=dict(C=728, RELU=True, BM=64, BC=32, BK=32),
)
pointers = 'x y temporal spatial rows expand seen grad weight'.split()
types = dict.fromkeys(pointers, '*' + kind) | dict(sums='*fp32')
sizes = {}
for name, constants in fixed.items():
    kernel = getattr(stencil, name)
    names = [p.name for p in kernel.params]
    if 'PRECISION' in names:
        constants['PRECISION'] = 'ieee' if kind == 'fp32' else 'tf32'
    signature = {
        n: 'constexpr' if n in constants else types.get(n, 'i32')
        for n in names
    }
    made = triton.compile(
        ASTSource(kernel, signature, constants),
        target=GPUTarget('cuda', architecture, 32),
    )
    sizes[name] = len(made.asm['cubin'])
print(json.dumps(sizes))
"""


def last_line(done):
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@needs_triton
def test_in_the_interpreter_blocks_and_gradients_are_near_to_float64(
    run_python, monkeypatch
):
    for name in ('TRITON_INTERPRET', 'GML_TRITON'):
        monkeypatch.setenv(name, '1')
    cases = [
        ('STMBlock', 20, 2, 3, False, 'float32'),
        ('MCB', 33, 1, 17, True, 'float32'),
        ('MCB', 18, 2, 2, True, 'bfloat16'),
    ]
    found = last_line(run_python('-c', INTERPRETED, json.dumps(cases)))
    for (*_, dtype), off in zip(cases, found, strict=True):
        limit = 1e-5 if dtype == 'float32' else 0.1
        assert max(off.values()) < limit, off
        assert len(off) == 9


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize(
    ('kind', 'architecture'),
    [('fp32', 75), ('fp16', 75), ('bf16', 80), ('fp32', 90), ('bf16', 90)],
)
def test_it_compiles_for_gpus_that_are_not_there(
    kind, architecture, run_python, monkeypatch, tmp_path
):
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    done = run_python('-c', COMPILED, kind, str(architecture))
    sizes = last_line(done)
    assert sizes.keys() == {'mix', 'correlate', 'reduce'}
    assert all(size > 1000 for size in sizes.values())


@pytest.mark.parametrize('length', [2, 3])
def test_it_is_taken_only_where_it_is_asked_for(length, monkeypatch):
    x = torch.zeros(4, 3, 2, 2)
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    monkeypatch.delenv('GML_TRITON', raising=False)
    assert not gpu.taken(x, length)
    monkeypatch.setenv('GML_TRITON', '1')
    assert gpu.taken(x, length) == (length == 2)  # whole clips
    assert not gpu.taken(x.double(), length)
    monkeypatch.delenv('TRITON_INTERPRET')
    assert not gpu.taken(x, length)  # on a CPU


def test_where_it_cannot_be_compiled_it_says_why(monkeypatch):
    gpu.why_not.cache_clear()
    monkeypatch.setenv('GML_TRITON', '0')
    assert gpu.why_not() == ''
    gpu.why_not.cache_clear()
    monkeypatch.setenv('GML_TRITON', '1')
    assert gpu.why_not()
    gpu.why_not.cache_clear()
