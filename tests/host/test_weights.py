"""Weights that do not fit a network give no score."""

import pytest
import torch
from tiny import CONFIG, TINY, tiny_config, write_checkpoint, write_prepared
from torch import nn

from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import CheckpointError
from gml_mmaction.host.weights import check_weights, load_half, unwrapped_names


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('weights') / 'best.pth')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    videos = [('a', 'real', ('a',), 1), ('b', 'Deepfakes', ('b',), 1)]
    return write_prepared(
        tmp_path_factory.mktemp('data') / 'made',
        dict(test=videos),
    )


def rename(checkpoint, path, name_of):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    state = {name_of(key): value for key, value in state.items()}
    torch.save(dict(state_dict=state), path)
    return path


def test_a_checkpoint_of_other_names_is_not_tested(checkpoint, data, tmp_path):
    path = rename(checkpoint, tmp_path / 'net.pth', 'net.{}'.format)
    runner = build_runner(tiny_config(tmp_path / 'run', path, data))
    with pytest.raises(CheckpointError, match='do not fit the ') as got:
        runner.test()
    assert str(path) in str(got.value)
    assert '\n' not in str(got.value)


@pytest.mark.slow
def test_a_prefix_of_a_wrapper_changes_no_score(checkpoint, data, tmp_path):
    def score(name, path):
        cfg = tiny_config(tmp_path / name, path, data)
        cfg.experiment_name = name
        return build_runner(cfg).test()

    path = rename(checkpoint, tmp_path / 'm.pth', 'module.{}'.format)
    assert score('wrapped', path) == score('plain', checkpoint)


def test_averaged_weights_are_unwrapped_from_their_counter():
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 3))
    state = averaged.state_dict()
    assert 'n_averaged' in state
    assert set(unwrapped_names(state, 'x.pth')) == {'weight', 'bias'}


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (lambda state: state.pop('0.bias'), r'1 missing \(0.bias\)'),
        (
            lambda state: state.update({'0.bias': state['0.bias'].long()}),
            r'or type \(0.bias of torch.int64\)',
        ),
        (
            lambda state: state.update({'0.bias': state['0.bias'] + 0j}),
            r'or type \(0.bias of torch.complex64\)',
        ),
        (
            lambda state: state.update({'2.bias': torch.ones(1)}),
            r'1 unexpected \(2.bias\)',
        ),
        (
            lambda state: state.update({'0.bias': torch.ones(9)}),
            '1 of another shape .*0.bias',
        ),
        (
            lambda state: state.update({'0.bias': 'text'}),
            'does not hold tensors by',
        ),
        (lambda state: state.clear(), '4 missing .*, [.][.][.]'),
    ],
)
def test_what_does_not_fit_is_named(change, why):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    state = model.state_dict()
    change(state)
    with pytest.raises(CheckpointError, match=why):
        check_weights(model, state, 'a.pth')


def backbone():
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope('mmaction')
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(TINY)
    return cfg.model.backbone, MODELS


def test_whole_numbers_that_a_network_reckons_with_do_not_fit():
    settings, models = backbone()
    model = models.build(settings)
    state = model.state_dict()
    state['conv1.weight'] = state['conv1.weight'].int()
    with pytest.raises(CheckpointError, match=r'conv1\.weight of torch.int32'):
        check_weights(model, state, 'a.pth')


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'model.', 'module.'])
def test_a_backbone_starts_from_its_part_of_a_file(tmp_path, prefix):
    settings, models = backbone()
    other = models.build(settings)
    state = {prefix + k: v for k, v in other.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    begun = models.build(dict(settings, init_cfg=init))
    begun.init_weights()
    torch.testing.assert_close(begun.state_dict(), other.state_dict())


def test_a_backbone_does_not_start_from_another_network(tmp_path):
    settings, models = backbone()
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / 'a.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    with pytest.raises(CheckpointError, match='it has 0 of the '):
        models.build(dict(settings, init_cfg=init)).init_weights()


def test_half_of_the_tensors_are_enough():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    state = {k: v + 1 for k, v in module.state_dict().items() if k[0] == '0'}
    load_half(module, state, 'a.pth')
    torch.testing.assert_close(module[0].bias, state['0.bias'])
    del state['0.bias']
    with pytest.raises(CheckpointError, match='1 of the 4 tensors'):
        load_half(module, state, 'a.pth')
