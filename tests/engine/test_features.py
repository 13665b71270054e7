"""Heads say what they take."""

from types import SimpleNamespace

import pytest
import torch
from mmaction.models import heads
from mmengine.config import Config
from tiny import REPO, write_prepared
from torch import nn

from gml_mmaction import models
from gml_mmaction.engine.features import (
    TAKES,
    check_features,
    watch_features,
)
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import SettingError


def head(name, **settings):
    """An object of the head's class, without its weights."""
    kind = getattr(models, name, None) or getattr(heads, name)
    made = kind.__new__(kind)
    nn.Module.__init__(made)
    vars(made).update(settings)
    return made


@pytest.mark.parametrize('name', TAKES)
def test_a_head_takes_one_number_of_axes(name):
    axes, words = TAKES[name]
    for dims in (1, 2, 3, 4, 5):
        features = torch.zeros((2,) * dims)
        if dims == axes:
            check_features(head(name), features)
            continue
        with pytest.raises(SettingError) as error:
            check_features(head(name), features)
        line = str(error.value)
        assert f'{name!r}: takes {words}; the backbone gives ' in line
        assert str(tuple(features.shape)) in line
        assert 'Remedy: for a vector (N, C) TimeSformerHead' in line


def test_the_hosts_head_without_its_pooling_takes_a_vector():
    plain = head('I3DHead', spatial_type=None)
    check_features(plain, torch.zeros(2, 9))
    with pytest.raises(SettingError, match='takes a vector'):
        check_features(plain, torch.zeros(2, 9, 1, 1, 1))


def test_gmls_head_takes_two_maps_and_speaks_for_itself_of_one():
    gml, volume = head('GMLHead'), torch.zeros(1, 8, 3, 4, 4)
    check_features(gml, (volume, volume))
    check_features(gml, volume)
    for features in ((volume,) * 3, torch.zeros(2, 9), (volume, volume[0, 0])):
        with pytest.raises(SettingError, match='takes F_out and the last'):
            check_features(gml, features)


def test_only_the_first_features_are_looked_at():
    backbone = nn.Identity()
    watch_features(
        SimpleNamespace(backbone=backbone, cls_head=head('I3DHead'))
    )
    with pytest.raises(SettingError):
        backbone(torch.zeros(2, 9))
    assert backbone(torch.zeros(2, 9)).shape == (2, 9)


@pytest.mark.slow
def test_a_training_with_a_wrong_head_ends_in_that_line(tmp_path):
    pair = [('a', 'real', ['a'], 1), ('b', 'fake', ['b'], 1)]
    other = [('c', 'real', ['c'], 1), ('d', 'fake', ['d'], 1)]
    data = write_prepared(
        tmp_path / 'data', dict(train=pair, val=other, test=[])
    )
    config = 'configs/video/timesformer_vit-b-small_demo.py'
    cfg = Config.fromfile(REPO / config)
    cfg.model.cls_head.type = 'I3DHead'
    for split in ('train', 'val'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.data_root = str(data)
        loader.num_workers = 0
        loader.persistent_workers = False
    cfg.train_dataloader.batch_size = 2
    cfg.work_dir = str(tmp_path / 'run')
    with pytest.raises(SettingError, match=r'takes a map .*\(2, 64\)'):
        build_runner(cfg).train()
