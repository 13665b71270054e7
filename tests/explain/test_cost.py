"""What a detector costs, against counts made by hand or another way."""

from pathlib import Path

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from gml_mmaction.explain import cost, estimate
from gml_mmaction.explain.cost import LiveTensors, Setting
from gml_mmaction.kernels import accelerate
from gml_mmaction.models import MCB

CONFIGS = Path(__file__).parents[2] / 'configs'
SMALL = CONFIGS / 'baselines/xception-small_demo.py'
MOVING = CONFIGS / 'gml_xception-small_demo.py'
SYSTEMS = [
    MOVING,
    *sorted(CONFIGS.glob('baselines/*-small_demo.py')),
    *sorted(CONFIGS.glob('video/*-small_demo.py')),
]
TINY = Setting(batch=2, frames=4, size=64)


class Toy(BaseModel):
    """One module over the mean grey levels of frames, ``(N, T, 3)``."""

    def __init__(self, module):
        preprocessor = dict(
            type='ActionDataPreprocessor',
            mean=[0, 0, 0],
            std=[1, 1, 1],
            format_shape='NCTHW',
        )
        super().__init__(data_preprocessor=preprocessor)
        self.module = module
        self.seen = []

    def forward(self, inputs, data_samples, mode):
        labels = [int(sample.gt_label) for sample in data_samples]
        self.seen.append((mode, self.training, labels))
        out = self.module(inputs[:, 0].mean(dim=(3, 4)).transpose(1, 2))
        out = out[0] if isinstance(out, tuple) else out
        return dict(loss_cls=out.mean(), top1_acc=out.mean())


def macs_by_hooks(model, setting):
    """Multiply what convolutions and linear layers say of themselves."""
    total = 0

    def add(module, _, out):
        nonlocal total
        total += out.numel() * module.weight[0].numel()

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            module.register_forward_hook(add)
    cost.predict(model, setting.clips(), setting)
    return total


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'published'),
    [('xception_ffpp', 36.6), ('tsn_r50_ffpp', 32.88)],
)
def test_macs_of_full_systems_are_those_of_their_layers(name, published):
    model = cost.build_detector(CONFIGS / f'baselines/{name}.py', 8)
    macs = cost.count_macs(model, Setting())
    assert macs == macs_by_hooks(model, Setting())
    # MMEngine's count, batch norms included
    assert macs == pytest.approx(published * 1e9, rel=0.01)


def test_macs_are_mmengines_but_for_its_batch_norms_and_the_head():
    model = cost.build_detector(SMALL, 8).eval()
    images = torch.randn(8, 3, 64, 64)
    theirs = FlopAnalyzer(model.backbone, images).by_operator()
    head = 8 * 512 * 2
    assert cost.count_macs(model, Setting(size=64)) == theirs['conv'] + head


def test_macs_are_of_one_clip_whatever_the_batch():
    model = cost.build_detector(MOVING, 4)
    one, two = (Setting(n, frames=4, size=64) for n in (1, 2))
    assert cost.count_macs(model, one) == cost.count_macs(model, two)


def test_macs_of_an_lstm_are_its_matrices_at_every_step():
    lstm = nn.LSTM(3, 5, num_layers=2, batch_first=True, bidirectional=True)
    macs = cost.count_macs(Toy(lstm), TINY)
    first, second = 4 * 5 * (3 + 5), 4 * 5 * (10 + 5)
    assert macs == 4 * 2 * (first + second)


def test_the_fast_path_of_motion_blocks_is_counted_like_the_plain_one():
    model = cost.build_detector(MOVING, 4)
    macs = cost.count_macs(model, Setting(frames=4, size=64))
    accelerate(model)
    assert cost.count_macs(model, Setting(frames=4, size=64)) == macs
    assert any(
        type(m) is not MCB and isinstance(m, MCB) for m in model.modules()
    )


def test_parameters_are_those_trained():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    assert cost.count_parameters(model) == 8 + 10


def test_clips_are_real_and_fake_in_turn():
    clips = cost.pack_clips(3, 4, 8)
    assert [int(s.gt_label) for s in clips['data_samples']] == [0, 1, 0]
    assert [c.shape for c in clips['inputs']] == [(1, 3, 4, 8, 8)] * 3
    assert {c.dtype for c in clips['inputs']} == {torch.uint8}
    assert (clips['inputs'][0] != clips['inputs'][1]).any()


def test_a_training_step_is_in_training_mode_and_ends_without_gradients():
    model, gradients = Toy(nn.Linear(3, 2)), []
    model.module.weight.register_hook(gradients.append)
    cost.train_step(model, TINY.clips(), TINY)
    assert model.seen == [('loss', True, [0, 1])]
    assert len(gradients) == 1
    assert all(p.grad is None for p in model.parameters())


def test_a_prediction_is_in_evaluation_mode():
    model = Toy(nn.Linear(3, 2)).train()
    cost.predict(model, TINY.clips(), TINY)
    assert model.seen == [('predict', False, [0, 1])]


def test_live_tensors_are_counted_until_they_are_freed():
    with LiveTensors() as live:
        a = torch.zeros(1000)
        b = a + 1  # 8000 bytes
        del a
        c = b[:500] * 2  # 6000
        d = b.view(10, 100)  # a view is no second tensor
        assert (live.now, live.peak) == (6000, 8000)
        del b, c
        assert live.now == 4000
        del d
    assert (live.now, live.peak) == (0, 8000)


def test_tensors_that_were_there_are_counted_once():
    weight = torch.zeros(1000, requires_grad=True)
    with LiveTensors([weight]) as live:
        weight.detach().add_(1)
        assert live.peak == 4000
        weight.sin().sum().backward()  # sin, 1 scalar and its gradient, ...
    assert live.now == 8000  # the gradient stays
    assert live.peak >= 12000


def test_a_bigger_batch_needs_more_memory():
    model = cost.build_detector(SMALL, 4)
    one, two, four = (
        cost.peak_memory(model, Setting(n, frames=4, size=64))
        for n in (1, 2, 4)
    )
    assert one < two < four
    # what a clip adds is the same for each, within allocations of a backward
    assert four - two == pytest.approx(2 * (two - one), rel=0.1)


def test_parameters_and_buffers_are_part_of_the_peak():
    model = Toy(nn.Linear(3, 2))
    peak = cost.peak_memory(model, TINY)
    model.register_buffer('table', torch.zeros(1000))
    model.frozen = nn.Parameter(torch.zeros(500), requires_grad=False)
    assert cost.peak_memory(model, TINY) == peak + 6000


def test_peak_memory_is_the_same_the_second_time():
    model = cost.build_detector(MOVING, 4)
    first = cost.peak_memory(model, TINY)
    assert cost.peak_memory(model, TINY) == first


def test_half_precision_needs_less_memory():
    model = cost.build_detector(SMALL, 4)
    half = Setting(batch=2, frames=4, size=64, amp='bf16')
    assert cost.peak_memory(model, half) < cost.peak_memory(model, TINY)


@pytest.mark.slow
@pytest.mark.parametrize('amp', [None, 'bf16'])
@pytest.mark.parametrize('config', [SMALL, MOVING], ids=lambda p: p.stem)
def test_memory_is_estimated_as_it_is_counted(config, amp):
    """Without the losses and the 8-bit pixels, which are small."""
    setting = Setting(batch=2, frames=8, size=64, amp=amp)
    counted = cost.peak_memory(cost.build_detector(config, 8), setting)
    found = estimate.estimate(Config.fromfile(config).model, setting)
    assert found.step.peak == pytest.approx(counted, rel=0.05)
    assert found.forward.peak < found.step.peak


@pytest.mark.slow
@pytest.mark.parametrize('path', SYSTEMS, ids=lambda path: path.stem)
def test_a_training_step_of_every_system_can_be_estimated(path):
    """So a batch that does not fit is answered with one that does."""
    cfg = Config.fromfile(path)
    dataset = cfg.train_dataloader.dataset
    (size,) = (
        step['size'] for step in dataset.pipeline if step.type == 'FaceCrop'
    )
    setting = Setting(2, dataset.clip_len, size)
    found = estimate.estimate(cfg.model, setting)
    assert found.step.peak > found.forward.peak > found.weights > 0
    assert found.step.launches > 1.5 * found.forward.launches  # and back


@pytest.mark.slow
def test_an_estimate_leaves_no_tensors_without_numbers_behind():
    """Swin keeps its masks for all networks of a process."""
    model = Config.fromfile(CONFIGS / 'video/tall_swin-b-small_demo.py').model
    setting = Setting(1, 4, 64)
    first, again = (estimate.estimate(model, setting) for _ in range(2))
    assert first == again
    cost.predict(cost.build_model(model, 4), setting.clips(), setting)


def test_an_operator_moves_what_it_reads_and_writes_and_a_view_nothing():
    traffic, x = estimate.Traffic(), torch.ones(10, 100)
    with estimate._Operators(traffic):
        (x.t() + 1).relu_()
    assert traffic.bytes == 2 * 4000 + 2 * 4000
    assert traffic.launches == 2


@pytest.mark.slow
def test_an_estimate_is_the_same_for_twice_the_clips_but_twice_as_much():
    model = Config.fromfile(SMALL).model
    one, two = (estimate.estimate(model, Setting(n, 8, 64)) for n in (2, 4))
    assert two.step.launches == one.step.launches
    assert one.forward.bytes < two.forward.bytes < 2 * one.forward.bytes
    assert two.weights == one.weights


def test_what_cannot_be_run_without_numbers_is_one_line():
    broken = dict(type='Recognizer3D', backbone=dict(type='Xception', width=0))
    with pytest.raises(cost.CostError, match='width') as caught:
        estimate.estimate(Config(broken), TINY)
    assert '\n' not in str(caught.value)


def test_channels_first_computes_the_same():
    model = cost.build_detector(MOVING, 8).eval()
    x = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        expected = model.backbone(x)
        cost.WAYS['contiguous'](model)
        for ours, theirs in zip(model.backbone(x), expected):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    weight = model.backbone.block2.rep[1].pointwise.weight
    assert weight.is_contiguous()


@pytest.mark.slow
def test_motion_blocks_are_told_the_number_of_frames():
    rows = cost.compare([MOVING], Setting(frames=5, size=64), 1)
    assert rows[0]['macs'] > 0


@pytest.mark.slow
def test_detectors_may_get_the_clips_that_their_configs_test_on():
    tall = CONFIGS / 'video/tall_swin-b-small_demo.py'
    rows = cost.compare([SMALL, tall], Setting(frames=2, size=32), 1, own=True)
    assert [(row['frames'], row['size']) for row in rows] == [(8, 64), (4, 64)]
    (alone,) = cost.compare([SMALL], Setting(frames=8, size=64), 1)
    assert rows[0]['macs'] == alone['macs']


def test_each_round_runs_every_detector_once(monkeypatch):
    runs = []

    def seconds(step, model, setting):
        runs.append((type(model.backbone).__name__, step.__name__))
        return len(runs)

    monkeypatch.setattr(cost, 'seconds', seconds)
    tsn = CONFIGS / 'baselines/tsn_r50-small_demo.py'
    first, second = cost.compare([SMALL, tsn], TINY, 2)
    names = (first, 'Xception'), (second, runs[2][0])
    one_round = [
        (name, step) for _, name in names for step in ('predict', 'train_step')
    ]
    assert runs == 3 * one_round
    # the first of the three warms up
    assert first['forward_s'] == [5, 9]
    assert second['train_step_s'] == [8, 12]


def test_the_fastest_way_is_found_for_each_step_of_each_config():
    def row(config, way, forward, step, peak):
        times = dict(forward_s=forward, train_step_s=step)
        return dict(config=config, way=way, peak_bytes=peak, **times)

    rows = [
        row('a', 'as-is', [9, 2, 3], [5, 5, 5], 1),
        row('a', 'compile', [4, 4, 1], [3, 4, 9], None),
        row('b', 'as-is', [1, 1, 1], [2, 2, 2], 7),
        row('b', 'compile', [2, 2, 2], [3, 3, 3], None),
    ]
    a, b = cost.fastest(rows)
    assert (a['forward_way'], a['train_step_way']) == ('as-is', 'compile')
    assert (a['forward_s'], a['train_step_s']) == ([9, 2, 3], [3, 4, 9])
    assert a['peak_bytes'] is None
    assert (b['forward_way'], b['train_step_way']) == ('as-is', 'as-is')
    assert b['peak_bytes'] == 7


@pytest.mark.slow
def test_every_way_but_the_compiled_one_is_measured_whole():
    ways = [way for way in cost.WAYS if way != 'compile']
    rows = cost.compare([MOVING], TINY, 1, ways)
    assert [row['way'] for row in rows] == ways
    assert len({row['macs'] for row in rows}) == 1
    peaks = {row['way']: row['peak_bytes'] for row in rows}
    assert peaks['as-is'] < peaks['definition']


def test_ratios_are_the_medians_of_those_within_a_round():
    rows = [
        dict(config='a', forward_s=[1, 2, 9], train_step_s=[4, 4, 4]),
        dict(config='b', forward_s=[5, 1, 3], train_step_s=[1, 2, 3]),
    ]
    a, b = cost.summarise(rows, 'b')
    assert (a['forward_median_s'], b['forward_median_s']) == (2, 3)
    assert a['forward_ratio'] == 2  # of 0.2, 2 and 3
    assert a['train_step_ratio'] == 2  # of 4, 2 and 4 / 3
    assert b['forward_ratio'] == b['train_step_ratio'] == 1


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (dict(type='NoSuchNet'), 'NoSuchNet is not in the'),
        (dict(middle_blocks=9), 'use 0 to 8'),
        (dict(width=0.5), 'shapes cannot be multiplied'),
    ],
)
def test_a_config_that_fails_is_named_in_one_line(tmp_path, change, reason):
    path = tmp_path / 'broken.py'
    backbone = ', '.join(f'{key}={value!r}' for key, value in change.items())
    path.write_text(
        f'_base_ = {str(SMALL)!r}\nmodel = dict(backbone=dict({backbone}))\n'
    )
    with pytest.raises(cost.CostError, match=reason) as caught:
        cost.compare([SMALL, path], TINY, 1)
    assert str(caught.value).startswith(f'{path} cannot be measured: ')
    assert '\n' not in str(caught.value)
