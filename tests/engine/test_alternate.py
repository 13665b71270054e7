"""AltFreezing: what is frozen stays as it is, to the bit."""

import os

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from tiny import REPO, free_port, write_prepared

from gml_mmaction.engine import AltFreezingHook
from gml_mmaction.engine.alternate import weight_groups
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import SettingError

CONFIGS = REPO / 'configs'
SPATIAL, TEMPORAL = 3, 2
# Frozen in each step: 0 is spatial, 1 temporal.
TURNS = [0, 0, 0, 1, 1, 0, 0, 0, 1, 1]


@pytest.mark.parametrize('name', ['_ffpp', '-small_demo'])
def test_each_convolution_is_in_one_group_by_its_kernel(name):
    cfg = Config.fromfile(CONFIGS / f'video/altfreezing_i3d-r50{name}.py')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    groups = weight_groups(model)
    assert sorted(name for group in groups for name in group) == sorted(
        name for name, p in model.named_parameters() if p.dim() == 5
    )
    spatial, temporal, both = (
        {tuple(p.shape[2:]) for p in group.values()} for group in groups
    )
    assert spatial == {(1, 3, 3)}
    assert temporal == {(3, 1, 1)}
    assert both == {(5, 7, 7), (1, 1, 1)}


class Recorder(Hook):
    """Weights and momentum of all groups before training, after each step."""

    priority = 'LOWEST'

    def __init__(self):
        self.states = []

    def before_train(self, runner):
        self.record(runner)

    def after_train_iter(self, runner, *_, **__):
        self.record(runner)

    def record(self, runner):
        model = runner.model
        groups = weight_groups(
            model.module if is_model_wrapper(model) else model
        )
        momentum = runner.optim_wrapper.optimizer.state
        self.states.append(
            [
                {
                    name: (
                        weight.detach().clone(),
                        momentum[weight]['momentum_buffer'].clone()
                        if 'momentum_buffer' in momentum[weight]
                        else None,
                    )
                    for name, weight in group.items()
                }
                for group in groups
            ]
        )


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    train, val = (
        [
            (f'{method}{i}', method, [f'{i}'], 1)
            for i in people
            for method in ('real', 'fake')
        ]
        for people in ((0, 1), (2,))
    )
    splits = dict(train=train, val=val, test=[])
    return write_prepared(
        tmp_path_factory.mktemp('frozen') / 'data', splits, frames=8
    )


def settings(data, work_dir, **changes):
    """AltFreezing's small config with SGD that decays and has momentum."""
    path = CONFIGS / 'video/altfreezing_i3d-r50-small_demo.py'
    cfg = Config.fromfile(path)
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    cfg.merge_from_dict(
        {
            'model.backbone.base_channels': 4,
            'model.cls_head.in_channels': 128,
            **{f'{name}.num_workers': 0 for name in loaders},
            **{f'{name}.persistent_workers': False for name in loaders},
            **{f'{name}.dataset.data_root': str(data) for name in loaders},
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': len(TURNS),
            'train_cfg.val_interval': 100,
            'default_hooks.checkpoint.interval': 4,
            'default_hooks.alternate.spatial': SPATIAL,
            'default_hooks.alternate.temporal': TEMPORAL,
            'randomness': dict(seed=0),
            **changes,
        }
    )
    cfg.optim_wrapper.optimizer = dict(
        type='SGD', lr=0.05, momentum=0.9, weight_decay=0.1
    )
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'FaceCrop':
            step['size'] = 32
    cfg.val_dataloader.dataset.pipeline[1]['size'] = 32
    cfg.work_dir = str(work_dir)
    return cfg


def trained(cfg):
    """The recorded states of a training."""
    runner, recorder = build_runner(cfg), Recorder()
    runner.register_hook(recorder)
    runner.train()
    return recorder.states


def equal(one, other):
    """Whether weights and momentum are the same to the bit, in each place."""
    return [
        all(
            (a is None and b is None) or torch.equal(a, b)
            for a, b in zip(one[name], other[name])
        )
        for name in one
    ]


def check_turns(states, turns):
    """A frozen group stays; the other and what is in both move."""
    assert len(states) == len(turns) + 1
    for before, after, frozen in zip(states, states[1:], turns):
        assert all(equal(before[frozen], after[frozen]))
        for group in (1 - frozen, 2):
            assert not any(equal(before[group], after[group]))


@pytest.mark.slow
@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'AmpOptimWrapper'])
def test_frozen_weights_and_their_momentum_stay_the_same_to_the_bit(
    wrapper, data, tmp_path
):
    cfg = settings(data, tmp_path, **{'optim_wrapper.type': wrapper})
    states = trained(cfg)
    check_turns(states, TURNS)
    momentum = [pair[1] for group in states[-1] for pair in group.values()]
    assert all(part.abs().sum() > 0 for part in momentum)


@pytest.mark.slow
def test_a_resumed_training_goes_on_in_the_middle_of_a_turn(data, tmp_path):
    whole = trained(settings(data, tmp_path / 'whole'))
    cut = settings(data, tmp_path / 'cut', **{'train_cfg.max_iters': 4})
    first = trained(cut)
    again = settings(data, tmp_path / 'cut')
    again.resume = True
    rest = trained(again)
    check_turns(rest, TURNS[4:])
    for one, other in zip(whole, [*first, *rest[1:]], strict=True):
        assert all(all(equal(a, b)) for a, b in zip(one, other))


@pytest.mark.slow
def test_a_turn_counts_steps_when_gradients_are_accumulated(data, tmp_path):
    changes = {
        'optim_wrapper.accumulative_counts': 2,
        'train_cfg.max_iters': 2 * len(TURNS),
    }
    states = trained(settings(data, tmp_path, **changes))
    check_turns(states[::2], TURNS)
    for before, between in zip(states[::2], states[1::2]):
        assert all(all(equal(a, b)) for a, b in zip(before, between))


def take_part(rank, data, folder, port):
    """What one of two processes does; it saves what it has recorded."""
    os.environ |= dict(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=port,
    )
    torch.set_num_threads(1)
    cfg = settings(data, folder / 'run', **{'train_cfg.max_iters': 5})
    cfg.launcher = 'pytorch'
    torch.save(trained(cfg), folder / f'{rank}.pth')


@pytest.mark.slow(6)
def test_two_processes_freeze_the_same(data, run_group, tmp_path):
    run_group(take_part, data, tmp_path, free_port())
    one, other = (torch.load(tmp_path / f'{i}.pth') for i in range(2))
    for states in (one, other):
        check_turns(states, TURNS[:5])
    for a, b in zip(one, other, strict=True):
        assert all(all(equal(*groups)) for groups in zip(a, b))


@pytest.mark.parametrize('steps', [dict(spatial=0), dict(temporal=-1)])
def test_a_turn_has_at_least_one_step(steps):
    with pytest.raises(SettingError, match='use 1 or more steps'):
        AltFreezingHook(**steps)


@pytest.mark.slow
def test_a_network_without_two_groups_is_refused_with_a_line(data, tmp_path):
    cfg = settings(data, tmp_path)
    cfg.model.backbone.inflate = (0, 0, 0, 0)
    with pytest.raises(SettingError, match='needs 3-D convolutions'):
        trained(cfg)
