"""MMAction2's own settings work, or are refused in one line."""

import pytest
from mmengine.config import Config
from tiny import CONFIG, TINY, write_prepared

from gml_mmaction import host
from gml_mmaction.errors import SettingError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Prepared crops of three people to train, validate and test on."""
    methods = dict(r1='real', f1='Deepfakes', f2='FaceSwap')
    splits = {
        split: [(f'{split}-{v}', m, [v], 1) for v, m in methods.items()]
        for split in ('train', 'val', 'test')
    }
    root = tmp_path_factory.mktemp('data') / 'crops'
    return write_prepared(root, splits, source='mine')


def config(data, work_dir, **settings):
    """The demo's config, tiny, for two iterations and no worker."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        {
            **TINY,
            **{f'{name}.num_workers': 0 for name in LOADERS},
            **{f'{name}.dataset.data_root': str(data) for name in LOADERS},
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
            'default_hooks.checkpoint.interval': 2,
        }
    )
    cfg.work_dir = str(work_dir)
    cfg.merge_from_dict(settings)
    return cfg


def test_loaders_without_workers_need_no_other_setting(data, tmp_path):
    factors = {f'{name}.prefetch_factor': 4 for name in LOADERS}
    cfg = config(data, tmp_path, **factors)
    assert all(cfg[name].persistent_workers for name in LOADERS)
    runner = host.build_runner(cfg)
    runner.train()
    runner.test()
    assert (tmp_path / 'iter_2.pth').is_file()


def test_loaders_with_workers_keep_their_settings():
    cfg = Config.fromfile(CONFIG)
    host.prepare_runner_cfg(cfg)
    assert all(cfg[name].persistent_workers for name in LOADERS)


def with_head(cfg, **head):
    cfg.model.cls_head = dict(num_classes=2, in_channels=128, **head)
    return cfg


def test_our_backbone_trains_under_a_head_of_the_host_s(data, tmp_path):
    cfg = config(data, tmp_path, **{'model.backbone.tap': None})
    cfg = with_head(cfg, average_clips='prob', topk=(1,), type='I3DHead')
    runner = host.build_runner(cfg)
    runner.train()
    assert 'video/auc' in runner.test()


def test_a_head_of_the_host_s_that_gets_two_maps_names_the_tap(data, tmp_path):
    cfg = with_head(config(data, tmp_path), type='I3DHead')
    with pytest.raises(SettingError, match=r'model\.backbone\.tap=None'):
        host.build_runner(cfg)


HOST_BACKBONE = dict(
    type='ResNet3d',
    depth=18,
    pretrained=None,
    pretrained2d=False,
    base_channels=8,
    conv1_kernel=(3, 3, 3),
)


def test_our_head_trains_on_a_backbone_of_the_host_s(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.model.backbone = HOST_BACKBONE
    cfg.model.cls_head = dict(type='GMLHead', in_channels=64)
    host.build_runner(cfg).train()
    assert (tmp_path / 'iter_2.pth').is_file()


def test_an_ad_head_on_a_backbone_of_the_host_s_names_the_remedy(
    data, tmp_path
):
    cfg = config(data, tmp_path)
    cfg.model.backbone = HOST_BACKBONE
    cfg.model.cls_head.in_channels = 64
    with pytest.raises(SettingError, match=r'cls_head\.ad_head=None'):
        host.build_runner(cfg).train()
