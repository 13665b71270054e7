"""Models made faster from outside: what changes, and what does not."""

import copy
import pickle

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import Runner
from networks import pack, randomise
from tiny import CONFIG, tiny_config, write_checkpoint, write_detector
from torch import nn

from gml_mmaction.apis import load_detector
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.explain.cam import cam_maps
from gml_mmaction.kernels import accelerate, plain
from gml_mmaction.kernels.twins import FastSequential
from gml_mmaction.models import CSTM, MCB, STMBlock, Xception

SMALL = dict(width=1 / 16, middle_blocks=2, num_segments=4)
BLOCKS = [CSTM, STMBlock, MCB]


@pytest.fixture
def clip():
    torch.manual_seed(1)
    return torch.randn(1, 3, 4, 64, 64)


def backbone(block=MCB, **kwargs):
    return randomise(Xception(dict(type=block.__name__), **SMALL, **kwargs))


def classes(model):
    return [type(module) for module in model.modules()]


def is_fast(model):
    """Whether motion blocks are twins; all of them are, or none."""
    found = {c for c in classes(model) if issubclass(c, MCB)}
    assert len(found) == 1
    return found != {MCB}


def features_and_gradients(model, x):
    features = model(x)
    sum((f * f).sum() for f in features).backward()
    return [f.detach() for f in features] + [
        p.grad for p in model.parameters()
    ]


def assert_close(found, expected):
    for mine, other in zip(found, expected, strict=True):
        assert (mine is None) == (other is None)
        if other is not None:
            limit = 1e-4 * other.abs().max().item()
            torch.testing.assert_close(mine, other, rtol=0, atol=limit)


@pytest.mark.slow
@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('block', BLOCKS)
def test_motion_blocks_that_take_in_a_relu_compute_the_same(
    block, train, clip, way, monkeypatch
):
    model = accelerate(backbone(block)).train(train)
    found = features_and_gradients(pickle.loads(pickle.dumps(model)), clip)
    monkeypatch.setattr(FastSequential, 'forward', nn.Sequential.forward)
    assert_close(found, features_and_gradients(model, clip))


@pytest.mark.parametrize('block', BLOCKS)
def test_a_model_is_as_near_to_float64_as_its_definition(block, clip, way):
    """Some of it frozen, which gets no gradient."""
    model, clip = backbone(block, frozen_stages=2), clip[..., :40, :40]
    copies = [copy.deepcopy(model) for _ in range(2)]
    exact = features_and_gradients(copies[0].double(), clip.double())

    def off(model):
        found = features_and_gradients(model, clip)
        assert [f is None for f in found] == [f is None for f in exact]
        return max(
            float((mine - other).abs().max() / other.abs().max())
            for mine, other in zip(found, exact, strict=True)
            if other is not None
        )

    assert off(accelerate(copies[1])) <= max(3 * off(model), 1e-4)


def test_a_hook_before_a_motion_block_sees_what_the_relu_leaves(clip, way):
    model = accelerate(backbone()).eval()
    separable, seen = model.block4.rep[4], []
    for module in (separable, separable.conv1):
        module.register_forward_pre_hook(lambda _, args: seen.append(args))
    model(clip)
    assert len(seen) == 2
    assert all(len(args) == 1 and args[0].min() == 0 for args in seen)


@pytest.mark.slow
def test_a_compiled_model_computes_the_same(clip, way):
    model = accelerate(backbone()).eval()
    with torch.no_grad():
        expected = model(clip)
        model.block4.compile(backend='eager')
        assert_close(model(clip), expected)


def test_what_a_config_builds_is_the_definition_until_it_is_accelerated():
    model = MODELS.build(Config.fromfile(CONFIG).model)
    assert not is_fast(model)
    assert is_fast(accelerate(model))


@pytest.mark.parametrize('block', BLOCKS)
def test_plain_undoes_it_exactly(block):
    model = backbone(block)
    before = classes(model)
    attributes = [dict(vars(m)) for m in model.modules()]
    assert accelerate(model) is model
    assert before.count(block) - classes(model).count(block) == 16
    assert accelerate(model) is model  # once more changes nothing
    assert plain(model) is model
    assert classes(model) == before
    for module, known in zip(model.modules(), attributes, strict=True):
        assert vars(module).keys() == known.keys()
        assert all(vars(module)[name] is known[name] for name in known)


def test_what_has_no_motion_block_is_left_as_it_is():
    model = Xception(**SMALL)
    before = classes(model)
    assert classes(accelerate(model)) == before


def test_a_class_of_ones_own_keeps_its_forward_pass():
    class Own(MCB):
        def forward(self, x):
            return 2 * x

    model = nn.Sequential(nn.ReLU(), Own(16, num_segments=4))
    accelerate(model)
    x = torch.randn(4, 16, 3, 3)
    assert torch.equal(model(x), 2 * x.relu())


def test_state_dicts_have_the_same_names_and_the_same_memory():
    model = backbone()
    before = model.state_dict()
    after = accelerate(model).state_dict()
    assert list(after) == list(before)
    assert all(
        after[name].data_ptr() == tensor.data_ptr()
        for name, tensor in before.items()
    )


@pytest.mark.parametrize(
    'copied',
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: ExponentialMovingAverage(model).module,
    ],
    ids=['deepcopy', 'pickle', 'EMA'],
)
def test_a_copy_is_as_fast_and_has_weights_of_its_own(copied, clip, way):
    model = accelerate(backbone()).eval()
    other = copied(model)
    assert classes(other) == classes(model)
    before = model(clip)
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    assert_close(model(clip), before)
    assert not other(clip)[0].any()


def test_averaged_weights_follow_those_of_the_model(clip, way):
    model = accelerate(backbone()).eval()
    average = ExponentialMovingAverage(model, momentum=0.5)
    average.update_parameters(model)  # the first is a copy
    before = model.block4.rep[1].conv1.expand.weight.detach().clone()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    average.update_parameters(model)
    found = average.module.block4.rep[1].conv1
    torch.testing.assert_close(found.expand.weight, 2 * before)
    expected = plain(copy.deepcopy(average.module))(clip)
    assert_close(average(clip), expected)


def test_clues_of_a_forgery_are_where_they_were(way):
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(CONFIG).model)
    clips = torch.randint(0, 256, (1, 3, 8, 64, 64), dtype=torch.uint8)
    for layer in (None, 'backbone/block5/rep/1/conv1/cstm'):
        expected = cam_maps(plain(model), pack(clips, [0]), layer=layer)
        found = cam_maps(accelerate(model), pack(clips, [0]), layer=layer)
        assert expected[1].any()
        assert_close(found, expected)


@pytest.mark.slow
def test_runners_and_detectors_accelerate_what_they_build(tmp_path):
    path = write_checkpoint(tmp_path / 'weights.pth')
    runner = build_runner(tiny_config(tmp_path / 'run', path, tmp_path))
    assert is_fast(runner.model)
    detector = load_detector(write_detector(tmp_path / 'best.pth'), 'cpu')
    assert is_fast(detector.model)


@pytest.mark.parametrize('compiled', [False, True])
def test_a_runner_of_the_host_accelerates_what_is_not_compiled(
    compiled, tmp_path
):
    path = write_checkpoint(tmp_path / 'weights.pth')
    cfg = tiny_config(tmp_path / 'run', path, tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.cfg.compile_backbone = compiled
    assert not is_fast(runner.model)
    runner.call_hook('before_run')
    assert is_fast(runner.model) == (not compiled)
