"""Every config's network: a CPU's numbers, half precision, memory."""

import copy
import gc
import warnings

import pytest
import torch
from mmengine.config import Config
from torch.utils._python_dispatch import TorchDispatchMode
from where import CONFIGS, REPO

from gml_mmaction.explain.cost import (
    Setting,
    build_detector,
    own_clips,
    pack_clips,
    peak_memory,
)
from gml_mmaction.explain.estimate import estimate
from gml_mmaction.kernels import accelerate

pytestmark = pytest.mark.slow
DRAWN = ('recce', 'mat_', 'mat-')  # noise and crops are drawn

# Of torch.use_deterministic_algorithms' list; of bilinear stretching and
# replicated borders PyTorch has another, deterministic form.
UNREPEATABLE = {
    f'{name}_backward'
    for name in (
        *('_adaptive_avg_pool2d', '_adaptive_avg_pool3d', 'avg_pool3d'),
        *('max_pool3d_with_indices', 'adaptive_max_pool3d'),
        *('adaptive_max_pool2d', 'reflection_pad2d', 'upsample_nearest2d'),
        *('upsample_bicubic2d', 'upsample_trilinear3d', 'grid_sampler_2d'),
    )
}
# docs/scaling.md names them.
CANNOT = (
    *('c3d', 'i3d', 'altfreezing', 'ftcn', 'csn', 'r2plus1d', 'mat'),
    'recce',
)


def relative(ours, theirs):
    ours, theirs = ours.detach().cpu().double(), theirs.detach().cpu().double()
    assert ours.isfinite().all()
    return float((ours - theirs).norm() / theirs.norm().clamp_min(1e-12))


def last_of(features):
    return features[-1] if isinstance(features, tuple) else features


def step(model, clips, device, dtype=None):
    """Scores, loss and gradients, in evaluation mode: no dropout.

    cuDNN's recurrent layers want training mode.
    """
    model = accelerate(copy.deepcopy(model)).to(device).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.RNNBase):
            module.train()
    context = torch.autocast(device, dtype=dtype, enabled=dtype is not None)
    with torch.no_grad(), context:
        data = model.data_preprocessor(copy.deepcopy(clips), False)
        samples = model(**data, mode='predict')
        scores = torch.stack([sample.pred_score for sample in samples])
    torch.manual_seed(0)
    with context:
        data = model.data_preprocessor(copy.deepcopy(clips), True)
        losses = model(**data, mode='loss')
    loss = model.parse_losses(losses)[0]
    loss.backward()
    grads = {k: p.grad for k, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None for grad in grads.values())
    places = {grad.device.type for grad in grads.values()}
    assert places == {device}, 'everything on the device'
    misplaced = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad.stride() != p.stride()
    ]
    return scores, loss, grads, misplaced


@pytest.fixture(scope='module', params=CONFIGS, ids=lambda path: path.stem)
def network(request, device):
    """A network, its clips, and what a CPU makes of them."""
    config = request.param
    setting = own_clips(config, Setting(2))
    model = build_detector(config, setting.frames)
    clips = pack_clips(2, setting.frames, setting.size)
    yield config.stem, model, clips, step(model, clips, 'cpu')
    del model, clips
    gc.collect()


def test_it_scores_and_learns_as_on_a_cpu(network, device, note):
    name, model, clips, (scores, loss, grads, _) = network
    ours, our_loss, our_grads, _ = step(model, clips, device)
    off = relative(ours, scores)
    note(scores=off)
    assert off < 1e-3
    if any(part in name for part in DRAWN) and device != 'cpu':
        return  # another device draws otherwise
    assert relative(our_loss, loss) < 1e-3
    worst = sorted(
        (relative(our_grads[key], grad), key)
        for key, grad in grads.items()
        if grad.norm() > 1e-6
    )
    note(median=worst[len(worst) // 2][0], largest=worst[-1][0])
    assert worst[len(worst) // 2][0] < 1e-2, worst[-5:]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_finite_and_near(network, dtype, device, note):
    if device == 'cpu':
        pytest.skip('a CPU has its own way: tests/models, with bfloat16')
    _, model, clips, (scores, *_) = network
    ours, loss, _, _ = step(model, clips, device, dtype)
    off = float((ours.cpu().float() - scores).abs().max())
    note(scores=off)
    assert loss.isfinite()
    assert off < 0.1


class Operators(TorchDispatchMode):
    """Names of what is called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_the_networks_that_cannot_be_deterministic_are_known(network, device):
    """By what they call in a training step, on a CPU."""
    if device == 'cuda':
        pytest.skip('GML_GPU_TESTS_ON=cpu tells it')
    name, model, clips, _ = network
    model = copy.deepcopy(model).train()
    data = model.data_preprocessor(copy.deepcopy(clips), True)
    with Operators() as called:
        losses = model(**data, mode='loss')
        sum(v.mean() for k, v in losses.items() if 'loss' in k).backward()
    cannot = bool(called.names & UNREPEATABLE)
    assert cannot == any(name.startswith(one) for one in CANNOT), called.names


def test_gradients_lie_as_their_weights_do(network, device):
    """Else DistributedDataParallel copies them and warns."""
    _, model, clips, _ = network
    assert step(model, clips, device)[-1] == []


def test_a_step_waits_for_the_gpu_nowhere(network, on_gpu, note):
    """But in what the host's heads compute for the log."""
    name, model, clips, _ = network
    model = accelerate(copy.deepcopy(model)).cuda().train()
    model.data_preprocessor._non_blocking = True
    pinned = [clip.pin_memory() for clip in clips['inputs']]
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter('always')
            batch = dict(copy.deepcopy(clips), inputs=pinned)
            data = model.data_preprocessor(batch, True)
            losses = model(**data, mode='loss')
            total = sum(
                value.mean() for key, value in losses.items() if 'loss' in key
            )
            total.backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    waits = sum('synchronizing' in str(each.message) for each in found)
    note(waits=waits)
    if name.startswith('gml'):
        assert waits == 0


@pytest.mark.parametrize('amp', [None, 'bf16'])
@pytest.mark.parametrize(
    'name', ['baselines/xception', 'ablation/xception-mcb', 'gml_xception']
)
def test_sixteen_clips_take_what_was_estimated(name, amp, on_gpu, note):
    config = REPO / f'configs/{name}_ffpp.py'
    setting = Setting(16, 8, 224, 'cuda', amp)
    model = build_detector(config, 8).cuda()
    peak = peak_memory(model, setting) / 2**30
    same = Setting(16, 8, 224, 'cpu', amp)
    said = estimate(Config.fromfile(config).model, same).step.peak / 2**30
    note(peak=peak, estimated=said)
    assert 0.6 < peak / said < 1.4


def test_a_compiled_backbone_is_the_same(device):
    name = 'ablation/xception-mcb-small_demo'
    if device == 'cuda':
        name = 'ablation/xception-mcb_ffpp'
    model = build_detector(REPO / f'configs/{name}.py', 8).to(device).eval()
    x = torch.randn(2, 3, 8, 64, 64, device=device)
    backend = 'inductor' if device == 'cuda' else 'eager'
    with torch.no_grad():
        expected = last_of(model.backbone(x))
        model.backbone.compile(backend=backend, fullgraph=True)
        found = last_of(model.backbone(x))
    torch._dynamo.reset()
    assert relative(found, expected) < 1e-3
