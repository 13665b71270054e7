"""A network that was built for other clips says so in one line."""

import re

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from test_config_check import refusal
from test_settings import LOADERS, write_data
from tiny import REPO
from torch import nn

from gml_mmaction.engine.config_check import change_settings, check_config
from gml_mmaction.engine.runner import build_runner

VIDEO = REPO / 'configs/video'
FULL = sorted(path.stem for path in VIDEO.glob('*_ffpp.py'))
SMALL = sorted(path.stem for path in VIDEO.glob('*-small_demo.py'))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data') / 'crops')


def config(name, data, work_dir, *options):
    """A small config for one iteration of two clips."""
    cfg = Config.fromfile(VIDEO / f'{name}-small_demo.py')
    cfg.merge_from_dict(
        {
            **{f'{loader}.num_workers': 0 for loader in LOADERS},
            **{f'{loader}.dataset.data_root': str(data) for loader in LOADERS},
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': 1,
            'train_cfg.val_interval': 100,
        }
    )
    cfg.work_dir = str(work_dir)
    change_settings(cfg, options)
    return cfg


@pytest.mark.parametrize('name', FULL + SMALL)
def test_the_loaders_of_a_config_fit_its_network(name):
    check_config(Config.fromfile(VIDEO / f'{name}.py'), ['model', *LOADERS])


@pytest.mark.parametrize(
    ('name', 'place'),
    [
        ('tsm_r50', 'model.backbone.num_segments=8'),
        ('timesformer_vit-b', 'model.backbone.num_frames=8'),
        ('videomae_vit-s', 'model.backbone.num_frames=8'),
        ('istvt_xception', 'model.cls_head.num_segments=8'),
        ('tall_swin-b', 'model.backbone.num_segments=4'),
    ],
)
def test_clips_of_another_length_than_the_network_s_are_refused(
    name, place, data, tmp_path
):
    """Of TSM two clips of half the length would pass as one."""
    other = 'train_dataloader.dataset.clip_len=2'
    line = refusal(config(name, data, tmp_path, other))
    assert line.startswith(
        f'{place}: clips of train_dataloader have 2 frames. Remedy: '
        '--cfg-options clip_len=2'
    )


def test_crops_of_another_side_than_the_network_s_are_refused(data, tmp_path):
    other = 'train_dataloader.dataset.pipeline.1.size=32'
    line = refusal(config('timesformer_vit-b', data, tmp_path, other))
    assert line.startswith(
        'model.backbone.img_size=64: crops of train_dataloader have 32x32'
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', ['altfreezing_i3d-r50', 'ftcn_i3d-r50'])
def test_clips_too_short_for_a_network_name_their_shape(name, data, tmp_path):
    line = refusal(config(name, data, tmp_path, 'clip_len=1'))
    assert re.match(r'model\.', line)
    assert '(2, 3, 1, 64, 64)' in line
    assert 'Remedy: ' in line


def test_a_fault_in_a_network_of_the_user_s_own_keeps_its_traceback(
    data, tmp_path
):
    @MODELS.register_module(force=True)
    class FailsAtRuntime(nn.Module):
        def forward(self, x):
            raise RuntimeError('mine')

    cfg = config('ftcn_i3d-r50', data, tmp_path)
    cfg.model.backbone = dict(type='FailsAtRuntime')
    with pytest.raises(RuntimeError, match='mine'):
        build_runner(cfg).train()


def test_a_length_that_a_network_has_by_default_counts_as_well(data, tmp_path):
    cfg = config('tsm_r50', data, tmp_path, 'clip_len=4')
    del cfg.model.backbone['num_segments'], cfg.model.cls_head['num_segments']
    line = refusal(cfg)
    assert line.startswith('model.backbone.num_segments=8: clips of train_')


@pytest.mark.parametrize(
    'kind', ['ClipSampler', 'BalancedSampler', 'PairSampler']
)
def test_a_validation_without_end_is_refused(kind, data, tmp_path):
    option = f'val_dataloader.sampler.type={kind}'
    line = refusal(config('ftcn_i3d-r50', data, tmp_path, option))
    assert line == (
        f"val_dataloader.sampler.type='{kind}': it draws without end. "
        'Remedy: DefaultSampler'
    )


@pytest.mark.parametrize(
    ('option', 'line'),
    [
        ('clips=0', 'default_hooks.whitened.clips=0. Remedy: 1 or more'),
        ('clips=-3', 'default_hooks.whitened.clips=-3. Remedy: 1 or more'),
        ('noise=0', 'default_hooks.whitened.noise=0. Remedy: a number above'),
        ('noise=-1', 'default_hooks.whitened.noise=-1. Remedy: a number'),
        ('noise=nan', 'default_hooks.whitened.noise=nan. Remedy: '),
    ],
)
def test_numbers_of_a_start_that_cannot_be_are_refused(
    option, line, data, tmp_path
):
    cfg = config('videoswin-t', data, tmp_path)
    name, _, value = option.partition('=')
    cfg.default_hooks.whitened[name] = (
        float(value) if value == 'nan' else int(value)
    )
    assert refusal(cfg).startswith(line)


def test_a_setting_that_a_hook_without_any_does_not_have_is_to_be_left_out(
    data, tmp_path
):
    option = 'default_hooks.mimetic.x=3'
    line = refusal(config('timesformer_vit-b', data, tmp_path, option))
    assert line.endswith('has no such setting. Remedy: leave it out')
