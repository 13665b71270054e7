"""The twins of the motion blocks against their definition."""

import copy
import shutil

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune
from torch import nn

from gml_mmaction.kernels import accelerate, blocks, library, operators, plain
from gml_mmaction.kernels import build as build_command
from gml_mmaction.models import CSTM, MCB, STMBlock

N, T = 2, 4


@pytest.fixture(autouse=True)
def _seed(way):
    torch.manual_seed(0)


def build(block=MCB, channels=32, **kwargs):
    """The twin of a block with random weights, in channels-last."""
    module = block(channels, num_segments=T, **kwargs)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return accelerate(module.to(memory_format=torch.channels_last))


def frames(channels=32, height=6, width=5):
    x = torch.randn(N * T, channels, height, width)
    return x.contiguous(memory_format=torch.channels_last)


def run(block, x, fast, *relu):
    """Output, buffers and all gradients of a copy, or of its definition."""
    block = copy.deepcopy(block)
    x = x.clone().requires_grad_()
    y = block(x, *relu) if fast else plain(block)(nn.Sequential(*relu)(x))
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    (y * weight).sum().backward()
    found = dict(output=y.detach(), x=x.grad)
    found.update({k: p.grad for k, p in block.named_parameters()})
    found.update(block.named_buffers())
    return found


def assert_same(block, x, tolerance=1e-5, relu=()):
    """To 1e-5 of the largest number of each tensor; of a mean or a sum, which
    may be a small rest of large ones, to 1e-5 of what is added."""
    fast, defined = run(block, x, True, *relu), run(block, x, False, *relu)
    assert list(fast) == list(defined)
    for name, expected in defined.items():
        if expected is None or not expected.is_floating_point():
            assert (fast[name] is None) == (expected is None), name
            continue
        unit = expected
        if name.endswith('running_mean'):
            unit = defined[name.replace('mean', 'var')].sqrt()
        if name.endswith('norm.bias'):
            unit = torch.stack([unit, defined[name.replace('bias', 'weight')]])
        limit = tolerance * unit.abs().max().item()
        torch.testing.assert_close(
            fast[name], expected, rtol=0, atol=limit, msg=name
        )


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('block', [STMBlock, MCB])
@pytest.mark.parametrize('expand', ['shared', 'separate'])
@pytest.mark.parametrize('boundary', MCB.Motion.BOUNDARIES)
def test_every_option_equals_its_definition(block, expand, boundary, mode):
    module = build(block, expand=expand, boundary=boundary)
    assert_same(module.train(mode == 'train'), frames())


@pytest.mark.parametrize('channels', [2, 3, 8, 64, 280, 728])
@pytest.mark.parametrize(('height', 'width'), [(1, 1), (7, 1), (5, 8)])
def test_every_shape_equals_its_definition(channels, height, width):
    assert_same(build(channels=channels), frames(channels, height, width))


@pytest.mark.parametrize('width', [109, 110, 127])
def test_maps_wider_than_the_cache_equal_their_definition(width):
    """280 channels: 18 blocks of 16, tiles of less than 20 pixels."""
    assert_same(build(channels=280), frames(280, 3, width))


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('channels', [3, 8, 64, 280, 728])
@pytest.mark.parametrize(('height', 'width'), [(1, 1), (5, 8)])
def test_a_relu_before_it_can_be_taken_in(channels, height, width, mode):
    block, x = build(channels=channels), frames(channels, height, width)
    block.train(mode == 'train')
    assert_same(block, x, relu=[nn.ReLU()])


def test_without_gradients_the_relu_is_taken_in_too_and_leaves_its_input():
    block, x = build().eval(), frames()
    before = x.clone()
    with torch.no_grad():
        y = block(x, nn.ReLU())
        torch.testing.assert_close(y, block(x.relu()))
    assert torch.equal(x, before)


def test_the_relu_hides_nothing_that_is_not_a_number():
    block, x = build(channels=40).eval(), frames(40)
    x[1, 33, 2, 2] = float('nan')
    found, expected = (run(block, x, fast, nn.ReLU()) for fast in (1, 0))
    for name in ('output', 'expand.weight', 'cstm.spatial.weight'):
        assert expected[name].isnan().any()
        assert torch.equal(found[name].isnan(), expected[name].isnan()), name


def test_a_hook_on_the_relu_is_called():
    block, relu, seen = build(), nn.ReLU(), []
    relu.register_forward_hook(lambda *args: seen.append(args[-1]))
    x = frames()
    block(x, relu)
    assert len(seen) == 1
    assert torch.equal(seen[0], x.relu())


def test_other_activations_come_before_it_too():
    assert_same(build(), frames(), relu=[nn.LeakyReLU()])


@pytest.mark.parametrize('relu', [[], [nn.ReLU()]])
@pytest.mark.parametrize('channels', [3, 8, 64, 280])
@pytest.mark.parametrize(('height', 'width'), [(1, 1), (5, 8), (3, 109)])
def test_cstm_alone_equals_its_definition(channels, height, width, relu):
    block, x = build(CSTM, channels), frames(channels, height, width)
    assert_same(block, x, relu=relu)
    expected = run(block, x, False, *relu)['output']
    with torch.no_grad():
        torch.testing.assert_close(block(x, *relu), expected)


@pytest.mark.parametrize('frozen', ['temporal', 'spatial'])
def test_of_cstm_alone_what_is_frozen_gets_no_gradient(frozen):
    block = build(CSTM)
    getattr(block, frozen).requires_grad_(False)
    assert_same(block, frames())


def test_cstm_alone_is_fast_where_there_is_a_kernel(monkeypatch):
    calls, forward = [], blocks.cstm_forward
    monkeypatch.setattr(
        blocks,
        'cstm_forward',
        lambda *args: calls.append(1) or forward(*args),
    )
    block, x = build(CSTM), frames()
    block(x)
    assert len(calls) == library.ready()
    block.spatial.register_forward_hook(lambda *_: None)
    block(x)
    build()(x)  # as a part of a block it has nothing of its own to do
    assert len(calls) == library.ready()


def test_float64_equals_its_definition_to_its_own_precision():
    assert_same(build().double(), frames().double(), tolerance=1e-12)


@pytest.mark.slow
def test_on_the_largest_maps_it_is_as_near_to_float64_as_the_definition():
    """There batch normalisation of the definition is off by 1e-5 itself."""
    block, x = build(channels=64), frames(64, 109, 109)
    exact = run(copy.deepcopy(block).double(), x.double(), False)
    fast, defined = run(block, x, True), run(block, x, False)
    for name, expected in exact.items():
        if expected.is_floating_point():
            unit = expected.abs().max()
            off, allowed = (
                ((found[name] - expected).abs().max() / unit).item()
                for found in (fast, defined)
            )
            assert off <= max(1.1 * allowed, 1e-5), name


def test_other_memory_formats_are_taken_too():
    assert_same(build(), frames().contiguous())
    assert_same(build(), frames(height=5, width=6).transpose(2, 3))


@pytest.mark.parametrize('way', ['operators'], indirect=True)
@pytest.mark.parametrize('block', [STMBlock, MCB])
def test_convolutions_may_answer_in_another_layout(block, monkeypatch):
    """As on a GPU in float64, or without cuDNN."""
    there, back = F.conv2d, operators._convolve_back
    monkeypatch.setattr(
        F, 'conv2d', lambda *args, **kw: there(*args, **kw).contiguous()
    )
    monkeypatch.setattr(
        operators,
        '_convolve_back',
        lambda *args, **kw: [
            grad if grad is None else grad.contiguous()
            for grad in back(*args, **kw)
        ],
    )
    assert_same(build(block), frames())
    assert_same(build(block), frames()[:T])  # one clip


@pytest.mark.parametrize(
    'frozen',
    ['x', 'cstm.temporal', 'cstm.spatial', 'motion', 'expand', 'cstm'],
)
def test_what_is_frozen_gets_no_gradient_and_the_rest_its_own(frozen):
    block, x = build(), frames()
    for name, p in block.named_parameters():
        p.requires_grad_(not name.startswith(frozen))
    if frozen != 'x':
        return assert_same(block, x)
    y = block(x)
    y.sum().backward()
    fast = [p.grad for p in block.parameters()]
    block.zero_grad()
    plain(block)(x).sum().backward()
    for mine, p in zip(fast, block.parameters()):
        torch.testing.assert_close(mine, p.grad, rtol=1e-4, atol=1e-4)


def test_the_mode_that_counts_is_that_of_the_forward_pass():
    block, x = build(), frames()
    grads = []
    for way in (accelerate, plain):
        way(block)
        own = x.clone().requires_grad_()
        y = block.train()(own)
        block.eval()
        (y * x).sum().backward()
        grads.append(own.grad)
    limit = 1e-5 * grads[1].abs().max().item()
    torch.testing.assert_close(*grads, rtol=0, atol=limit)


def test_without_gradients_it_is_the_same_too():
    block, x = build().eval(), frames()
    expected = run(block, x, False)['output']
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            torch.testing.assert_close(block(x), expected)


def test_the_input_is_left_as_it_was():
    block, x = build(), frames()
    before = x.clone()
    block(x).sum().backward()
    assert torch.equal(x, before)


def is_fast(block, x, monkeypatch):
    """Whether something faster than the definition ran."""
    calls = []
    forward = blocks.forward
    with monkeypatch.context() as patch:
        patch.setattr(
            blocks, 'forward', lambda *a: calls.append(1) or forward(*a)
        )
        block(x)
    return bool(calls)


def test_it_is_what_runs_on_a_cpu(monkeypatch):
    assert is_fast(build(), frames(), monkeypatch)


@pytest.mark.parametrize(
    'name', ['cstm', 'motion', 'motion.norm', 'motion.k_pm', 'expand']
)
def test_hooks_see_what_they_would(name, monkeypatch):
    block, seen = build(), []
    hook = block.get_submodule(name).register_forward_hook(
        lambda *args: seen.append(args[-1])
    )
    if name != 'expand':  # read as a matrix, never called
        block(frames())
        assert len(seen) >= 1
    assert not is_fast(block, frames(), monkeypatch)
    hook.remove()
    assert is_fast(block, frames(), monkeypatch)


def test_other_hooks_forbid_it_too(monkeypatch):
    for register in (
        'register_forward_pre_hook',
        'register_full_backward_hook',
        'register_full_backward_pre_hook',
    ):
        block = build()
        getattr(block.cstm, register)(lambda *_: None)
        assert not is_fast(block, frames(), monkeypatch), register


def test_autocast_and_other_layers_take_the_definition(monkeypatch):
    block, x = build(), frames()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert not is_fast(block, x, monkeypatch)
    block.motion.reduce = nn.Sequential(block.motion.reduce)
    assert not is_fast(block, x, monkeypatch)


def test_a_layer_whose_weight_is_computed_takes_the_definition(monkeypatch):
    block = build()
    nn.utils.prune.l1_unstructured(block.cstm.spatial, 'weight', amount=0.5)
    assert not is_fast(block, frames(), monkeypatch)
    nn.utils.prune.remove(block.cstm.spatial, 'weight')
    assert is_fast(block, frames(), monkeypatch)
    nn.utils.parametrizations.weight_norm(block.expand)
    assert not is_fast(block, frames(), monkeypatch)


@pytest.mark.parametrize('block', [CSTM, STMBlock, MCB])
def test_frames_that_make_no_whole_clips_are_refused(block):
    with pytest.raises(RuntimeError, match='invalid for input of size'):
        build(block)(frames()[1:])


def test_the_checkpoint_knows_nothing_of_it():
    fast, defined = build(), plain(build())
    assert list(fast.state_dict()) == list(defined.state_dict())
    assert not any('fast' in name for name in fast.state_dict())


def test_it_keeps_fewer_numbers_for_the_backward_pass():
    block, x = build(channels=64), frames(64, 16, 16)

    def kept(way):
        sizes = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks
        with hooks(keep, lambda tensor: tensor):
            y = way(block)(x.clone().requires_grad_())
        del y
        return sum(sizes.values())

    # The map between CSTM's two convolutions, of all channels.
    assert kept(plain) - kept(accelerate) >= x.nbytes


def test_momentum_none_averages_over_all_batches():
    block = build()
    block.motion.norm.momentum = None
    assert_same(block, frames())


@pytest.mark.parametrize('threads', [2, 3])
def test_threads_change_nothing_but_the_rounding(threads):
    block, x = build(channels=280), frames(280)
    alone = run(block, x, True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shared = run(block, x, True)
    finally:
        torch.set_num_threads(before)
    for name, expected in alone.items():
        if expected.is_floating_point():
            limit = 1e-5 * expected.abs().max().item()
            assert (shared[name] - expected).abs().max() <= limit, name


def test_torch_compile_leaves_it_alone():
    block, x = build().eval(), frames()
    compiled = torch.compile(block, backend='eager')
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), block(x))


def test_gradients_equal_numerical_ones():
    block = build(channels=16).double().eval()
    x = frames(16, 2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(block, (x,), fast_mode=True)


def test_the_kernel_is_not_loaded_where_it_is_switched_off(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv('GML_NATIVE', '0')
    library._library.cache_clear()
    assert not library.ready()
    library._library.cache_clear()


def test_another_source_has_another_library(monkeypatch, tmp_path):
    before = library.library_path()
    changed = shutil.copytree(library.SOURCE, tmp_path / 'csrc')
    with (changed / 'block.h').open('a') as file:
        file.write('\n')
    monkeypatch.setattr(library, 'SOURCE', changed)
    assert library.library_path() != before


def test_without_a_compiler_the_command_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv('CC', str(tmp_path / 'none'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with pytest.raises(SystemExit, match='no C compiler'):
        build_command.main()
    assert not library.library_path().exists()


def test_a_compiler_that_fails_is_one_line(monkeypatch, tmp_path):
    compiler = tmp_path / 'cc'
    compiler.write_text('#!/bin/sh\necho "block.c:1: error: no" >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CC', str(compiler))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with pytest.raises(SystemExit) as end:
        build_command.main()
    assert 'block.c:1: error: no. Remedy: ' in end.value.code
    assert '\n' not in end.value.code
    assert not library.library_path().exists()
