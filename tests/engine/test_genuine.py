"""A detector of genuine videos alone says so, wherever it is used."""

import copy

import pytest
import torch
from mmengine.config import Config
from tiny import REPO, TINY, write_prepared

from gml_mmaction.apis import load_detector
from gml_mmaction.engine.config_check import check_config
from gml_mmaction.engine.cross_data import val_thresholds
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import SettingError
from gml_mmaction.host.safe_checkpoints import safe_loading

WORDS = 'pseudo-fakes of 2 genuine videos, no real forgery'


def settings(data, work_dir):
    cfg = Config.fromfile(
        REPO / 'configs/genuine/gml_xception-small_genuine.py'
    )
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    cfg.merge_from_dict(
        {
            **TINY,
            **{f'{name}.num_workers': 0 for name in loaders},
            **{f'{name}.persistent_workers': False for name in loaders},
            **{f'{name}.dataset.data_root': str(data) for name in loaders},
            'train_dataloader.batch_size': 4,
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
        }
    )
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Two iterations and a validation on two people's and one's videos."""
    folder = tmp_path_factory.mktemp('genuine')
    people = [('r1', 'real', ['a'], 1), ('r2', 'real', ['b'], 1)]
    people += [('f1', 'Deepfakes', ['a'], 1)]  # is left out
    data = write_prepared(
        folder / 'data',
        dict(train=people, val=[('r3', 'real', ['c'], 1)]),
        source='mine',
    )
    cfg = settings(data, folder / 'run')
    build_runner(copy.deepcopy(cfg)).train()
    cfg.load_from = str(next((folder / 'run').glob('best_*.pth')))
    return cfg


@pytest.mark.slow
def test_the_checkpoint_counts_genuine_videos_alone(run):
    with safe_loading(run.load_from):
        told = torch.load(run.load_from)['meta']['provenance']
    training = told['training']
    assert training['origin'] == WORDS
    assert (training['real_videos'], training['fake_videos']) == (2, 0)
    assert training['methods'] == []
    assert training['pseudo_fakes'] == ['MotionSelfBlend', 'PartMotion']
    assert told['validation']['clips'] > 0
    assert told['validation']['metrics']['video/auc'] is not None


def test_a_verdict_says_that_no_forgery_was_seen(run):
    detector = load_detector(run.load_from)
    assert detector.words[0] == f'Trained on {WORDS}.'
    assert detector.facts['origin'] == WORDS
    (trained,) = [w for w in detector.words if 'source mine' in w][:1]
    assert trained.endswith('2 real videos.')
    words = detector.threshold.origin
    assert 'validation set of source mine' in words
    assert 'pseudo-fakes of 1 genuine video, no real forgery' in words


def test_the_threshold_of_a_test_comes_from_pseudo_fakes(run, tmp_path):
    cfg = copy.deepcopy(run)
    cfg.work_dir = str(tmp_path)
    thresholds, notes = val_thresholds(cfg)
    assert not notes
    assert {*thresholds} == {'video', 'clip'}
    assert (tmp_path / 'scores_val.json').is_file()


def test_a_family_that_nobody_knows_is_named_with_its_place(run):
    cfg = copy.deepcopy(run)
    cfg.train_dataloader.dataset.families[0].type = 'MotionSelfBlends'
    with pytest.raises(
        SettingError, match=r'families\.0\.type.*MotionSelfBlend'
    ):
        check_config(cfg, ['train_dataloader'])
