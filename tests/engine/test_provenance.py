"""Checkpoints say what they were trained and validated on."""

from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import RandomApply
from mmengine.config import Config
from mmengine.dataset import Compose
from tiny import REPO, TINY, write_prepared

from gml_mmaction.apis import load_detector
from gml_mmaction.engine.provenance import pseudo_fakes_of
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import SettingError
from gml_mmaction.host.safe_checkpoints import safe_loading
from gml_mmaction.io.config_text import parse_config
from gml_mmaction.synthetic.pseudo_fakes.random_pseudo_fake import (
    RandomPseudoFake,
)
from gml_mmaction.video import Rates
from gml_mmaction.visualization.timeline import _caption


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run of two iterations with a validation after each."""
    folder = tmp_path_factory.mktemp('run')
    people = [('r1', 'real', ['a'], 1), ('f1', 'Deepfakes', ['a'], 1)]
    people += [('f2', 'FaceSwap', ['b'], 1)]
    others = [('r3', 'real', ['c'], 1), ('f3', 'FaceSwap', ['c'], 1)]
    data = write_prepared(
        folder / 'data',
        dict(train=people, val=others),
        source='mine',
        rates=[12.5, 12.5, 15.0],
    )
    cfg = Config.fromfile(REPO / 'configs/gml_xception-small_demo.py')
    loaders = ('train_dataloader', 'val_dataloader')
    cfg.merge_from_dict(
        {
            **TINY,
            **{f'{name}.num_workers': 0 for name in loaders},
            **{f'{name}.persistent_workers': False for name in loaders},
            **{f'{name}.dataset.data_root': str(data) for name in loaders},
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': 3,
            'train_cfg.val_interval': 2,
            'default_hooks.checkpoint.interval': 1,
            'default_hooks.checkpoint.max_keep_ckpts': 5,
        }
    )
    families = [dict(type='SelfBlend'), dict(type='TemporalDropout')]
    cfg.train_dataloader.dataset.pipeline.insert(
        2, dict(type='RandomPseudoFake', families=families)
    )
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.work_dir = str(folder / 'run')
    build_runner(cfg).train()
    return folder / 'run'


def records(path):
    with safe_loading(path):
        return torch.load(path)['meta']['provenance']


def resumed(run, folder):
    """The config that goes on with a run for an iteration more."""
    newest = run / 'iter_3.pth'
    with safe_loading(newest):
        cfg = parse_config(torch.load(newest)['meta']['cfg'])
    cfg.work_dir, cfg.resume, cfg.load_from = str(folder), True, str(newest)
    cfg.train_cfg.max_iters = 4
    return cfg


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_fakes(run, tmp_path):
    cfg = resumed(run, tmp_path)
    families = [dict(type='TemporalDropout')]
    cfg.train_dataloader.dataset.pipeline[2].families = families
    with pytest.raises(SettingError, match='begun with other pseudo-fakes'):
        build_runner(cfg).train()


@pytest.mark.slow
def test_a_run_that_goes_on_names_what_was_changed(run, tmp_path):
    build_runner(resumed(run, tmp_path)).train()
    said = next(tmp_path.glob('*/*.log')).read_text()
    assert 'other settings (train_cfg.max_iters: 3, now 4). It goes' in said


@pytest.mark.slow
def test_the_training_data_are_described_without_their_list(run):
    training = records(run / 'iter_1.pth')['training']
    assert training['source'] == 'mine'
    assert training['size'] == 32
    assert training['lost'] == 100
    assert (training['real_videos'], training['fake_videos']) == (1, 2)
    assert training['methods'] == ['Deepfakes', 'FaceSwap']
    assert 'videos' not in training


def test_fakes_that_are_made_in_training_are_said(run, tmp_path):
    best = next(run.glob('best_*.pth'))
    names = ['SelfBlend', 'TemporalDropout']
    assert records(best)['training']['pseudo_fakes'] == names
    facts = load_detector(best).facts
    assert facts['training']['pseudo_fakes'] == names
    line = 'Fakes made of genuine clips in training: SelfBlend, TemporalDropo'
    assert any(words.startswith(line) for words in facts['words'])
    assert 'Trained on mine and pseudo-fakes.' in _caption(facts)


def test_only_what_a_pipeline_does_counts_as_made_in_training():
    blend = TRANSFORMS.build(dict(type='SelfBlend'))
    for step, names in (
        (RandomPseudoFake([dict(type='SelfBlend')], p=0), []),
        (RandomPseudoFake([dict(type='SelfBlend')], p=1), ['SelfBlend']),
        (RandomApply([blend], prob=0.5), ['SelfBlend']),
        (blend, ['SelfBlend']),
    ):
        dataset = SimpleNamespace(pipeline=Compose([step]))
        assert pseudo_fakes_of(dataset) == names
    assert pseudo_fakes_of(object()) == []


def test_a_run_and_its_words_know_the_rate_of_the_crops(run):
    best = next(run.glob('best_*.pth'))
    rates = {'low': 12.5, 'median': 12.5, 'high': 15.0}
    assert records(best)['training']['rates'] == rates
    assert load_detector(best).rates == Rates(12.5, 12.5, 15.0)
    log = next(run.glob('*/*.log')).read_text()
    assert 'Training crops: 12.5 (12.5 to 15) frames a second' in log


@pytest.mark.parametrize('rate', [12.5, 6.25, 30])
def test_a_test_on_data_of_another_rate_says_so(run, rate, tmp_path):
    people = [('r1', 'real', ['a'], 1), ('f1', 'Deepfakes', ['a'], 1)]
    data = write_prepared(tmp_path / 'data', dict(test=people), rates=[rate])
    cfg = Config.fromfile(REPO / 'configs/gml_xception-small_demo.py')
    cfg.merge_from_dict(TINY)
    cfg.test_dataloader.dataset.data_root = str(data)
    cfg.test_dataloader.num_workers = 0
    cfg.test_dataloader.persistent_workers = False
    cfg.load_from = str(next(run.glob('best_*.pth')))
    cfg.work_dir = str(tmp_path / 'test')
    build_runner(cfg).test()
    log = next((tmp_path / 'test').glob('*/*.log')).read_text()
    said = f'{rate:g} frames a second, the training had 12.5 (12.5 to 15)'
    assert (said in log) == (rate != 12.5)
    if rate != 12.5:
        assert f'too {"fast" if rate < 12.5 else "slow"}' in log


def test_a_validation_stands_in_a_checkpoint_of_the_weights_validated(run):
    """Validated after iterations 2 and 3; iteration 1 never was."""
    for path in run.glob('*.pth'):
        found = records(path).get('validation')
        number = int(path.stem.split('_')[-1])
        if number == 1:
            assert found is None
        elif found is not None:
            assert found['iter'] == number
    validation = records(next(run.glob('best_*.pth')))['validation']
    assert validation['source'] == 'mine'
    assert 0 <= validation['metrics']['video/eer_threshold'] <= 1


def test_a_run_s_best_checkpoint_is_a_detector_without_a_test_set(run):
    best = next(run.glob('best_*.pth'))
    detector = load_detector(best)
    assert detector.crop_options.size == 32
    assert 'validation set of source mine' in detector.threshold.origin


def test_a_validated_checkpoint_knows_its_genuine_videos(run):
    """One genuine track of two clips; the crops are noise of 32 pixels."""
    best = next(run.glob('best_*.pth'))
    reference = load_detector(best).reference
    (track,) = reference.tracks
    assert len(track) == 2
    assert reference.heat.kind == 'clue'
    assert reference.heat.frames == 16
    assert set(reference.inputs) == {'rate', 'face', 'brightness', 'sharpness'}
    assert reference.inputs['rate'][0] == 12.5
    assert reference.inputs['face'] == [16.0] * 9
    assert reference.inputs['sharpness'][0] > 5
