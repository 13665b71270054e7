"""The motion blocks, by every way to compute them, against float64."""

import copy
import importlib.util
import os

import pytest
import torch
from torch import nn
from where import ASKED

from gml_mmaction.kernels import accelerate, gpu, plain
from gml_mmaction.models import CSTM, MCB, STMBlock

# The first test on a GPU starts it; Triton's interpreter takes its time.
pytestmark = [pytest.mark.slow] if ASKED else []
# As in the network, of 16 frames; tiny ones where a CPU tries.
MAPS = [(128, 109), (256, 55), (728, 28), (728, 14), (1536, 7)]
TINY = [(20, 3), (33, 2)]
LIMITS = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
}


@pytest.fixture(params=['definition', 'operators', 'triton'])
def way(request, device, monkeypatch):
    """Let a test run by each."""
    monkeypatch.setenv('GML_TRITON', str(int(request.param == 'triton')))
    monkeypatch.setenv('GML_NATIVE', '0')
    if request.param == 'triton':
        if importlib.util.find_spec('triton') is None:
            pytest.skip('no Triton')
        if device == 'cpu' and os.environ.get('TRITON_INTERPRET') != '1':
            pytest.skip('TRITON_INTERPRET=1 tries it')
    return request.param


def relative(ours, theirs):
    ours, theirs = ours.detach().cpu().double(), theirs.detach().cpu()
    assert ours.isfinite().all()
    return float((ours - theirs).norm() / theirs.norm().clamp_min(1e-12))


def all_of(block, x, grad, relu):
    """Output and all gradients."""
    x = x.detach().requires_grad_()
    y = block(x, relu) if relu is not None else block(x)
    y.backward(grad)
    found = {name: p.grad for name, p in block.named_parameters()}
    return dict(found, y=y, x=x.grad)


def compare(kind, channels, size, device, way, dtype, frames=16):
    torch.manual_seed(0)
    block = kind(channels, 8)
    for p in block.parameters():
        nn.init.normal_(p, std=0.3)
    block = block.to(dtype).to(memory_format=torch.channels_last)
    x = torch.randn(frames, channels, size, size).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    grad = torch.randn_like(x)
    exact = copy.deepcopy(block).double()
    theirs = all_of(exact, x.double().relu(), grad.double(), None)
    ours = block.to(device)
    ours = plain(ours) if way == 'definition' else accelerate(ours)
    relu = nn.ReLU() if way != 'definition' else None
    x, grad = x.to(device), grad.to(device)
    found = all_of(ours, x if relu else x.relu(), grad, relu)
    expected = dict(theirs)
    if relu:  # of the rectifier's input
        expected['x'] = theirs['x'] * (x.cpu() > 0)
    return {k: relative(v, expected[k]) for k, v in found.items()}


@pytest.mark.parametrize('dtype', LIMITS, ids=str)
@pytest.mark.parametrize('kind', [STMBlock, MCB])
@pytest.mark.parametrize('number', range(5))
def test_a_block_is_near_to_float64(kind, number, way, dtype, device, note):
    if device == 'cpu' and (number > 1 or dtype == torch.float16):
        pytest.skip('a CPU tries the tiny ones')
    if way == 'triton' and dtype == torch.float64:
        pytest.skip('the operators take it')
    channels, size = (MAPS if device == 'cuda' else TINY)[number]
    off = compare(kind, channels, size, device, way, dtype)
    note(worst=max(off.values()))
    assert max(off.values()) < LIMITS[dtype], off


@pytest.mark.tried
@pytest.mark.parametrize('kind', [STMBlock, MCB])
def test_a_tiny_block_is_near_to_float64(kind, device):
    for way in ('definition', 'operators'):
        off = compare(kind, 20, 3, device, way, torch.float32)
        assert max(off.values()) < 1e-4, off


@pytest.mark.tried
def test_cstm_alone_is_near_to_float64(device):
    off = compare(CSTM, 20, 3, device, 'definition', torch.float32)
    assert max(off.values()) < 1e-4, off


@pytest.mark.tried
@pytest.mark.parametrize('kind', [STMBlock, MCB])
def test_operators_under_autocast_equal_the_definition_under_it(
    kind, device, monkeypatch
):
    """On a CPU they do not run by themselves; here they do."""
    from gml_mmaction.kernels import blocks

    monkeypatch.setenv('GML_NATIVE', '0')
    monkeypatch.setenv('GML_TRITON', '0')
    torch.manual_seed(0)
    block = kind(32, 4).to(device)
    x = torch.randn(8, 32, 6, 5, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    grads = []
    for forward in (block, lambda x: blocks.forward(block, x)):
        block.zero_grad()
        own = x.clone().requires_grad_()
        with torch.autocast(device, dtype=torch.bfloat16):
            y = forward(own)
        assert y.dtype == torch.bfloat16
        y.float().square().mean().backward()
        found = dict(y=y.float(), x=own.grad)
        found |= {k: p.grad.clone() for k, p in block.named_parameters()}
        grads.append(found)
    for name, expected in grads[0].items():
        assert relative(grads[1][name], expected.double()) < 0.03, name


def test_the_kernel_can_be_compiled_where_it_is(on_gpu, monkeypatch):
    if importlib.util.find_spec('triton') is None:
        pytest.skip('no Triton')
    monkeypatch.setenv('GML_TRITON', '1')
    gpu.why_not.cache_clear()
    assert gpu.why_not() == ''
