"""MMAction2's own settings work, or are refused in one line."""

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from tiny import CONFIG, TINY, write_prepared
from torch.nn import functional

from gml_mmaction.engine.config_check import change_settings
from gml_mmaction.engine.provenance import describe_together
from gml_mmaction.engine.runner import build_runner, prepare_runner_cfg
from gml_mmaction.errors import SettingError
from gml_mmaction.host.safe_checkpoints import safe_loading
from gml_mmaction.models.gml_head import real_l1

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def write_data(root):
    """Prepared crops of three people to train, validate and test on."""
    methods = dict(r1='real', f1='Deepfakes', f2='FaceSwap')
    splits = {
        split: [(f'{split}-{v}', m, [v], 1) for v, m in methods.items()]
        for split in ('train', 'val', 'test')
    }
    return write_prepared(root, splits, source='mine')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data') / 'crops')


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


@pytest.mark.slow
def test_loaders_without_workers_need_no_other_setting(data, tmp_path):
    factors = {f'{name}.prefetch_factor': 4 for name in LOADERS}
    cfg = config(data, tmp_path, **factors)
    assert all(cfg[name].persistent_workers for name in LOADERS)
    runner = build_runner(cfg)
    runner.train()
    runner.test()
    assert (tmp_path / 'iter_2.pth').is_file()


def test_loaders_with_workers_keep_their_settings():
    cfg = Config.fromfile(CONFIG)
    prepare_runner_cfg(cfg)
    assert all(cfg[name].persistent_workers for name in LOADERS)


def test_a_hook_that_is_none_is_left_out(data, tmp_path):
    """MMEngine takes None for its own hooks, and asserts of others."""
    hooks = {'timer': None, 'early': dict(type='EmptyCacheHook')}
    cfg = config(data, tmp_path)
    cfg.default_hooks.update(hooks, provenance=None)
    names = [type(hook).__name__ for hook in build_runner(cfg).hooks]
    assert 'EmptyCacheHook' in names
    cfg = config(data, tmp_path)
    cfg.default_hooks.update(hooks, early=None, provenance=None)
    names = [type(hook).__name__ for hook in build_runner(cfg).hooks]
    assert not {'EmptyCacheHook', 'IterTimerHook'} & {*names}


def with_head(cfg, **head):
    cfg.model.cls_head = dict(num_classes=2, in_channels=128, **head)
    return cfg


@pytest.mark.slow
def test_our_backbone_trains_under_a_head_of_the_host_s(data, tmp_path):
    cfg = config(data, tmp_path, **{'model.backbone.tap': None})
    cfg = with_head(cfg, average_clips='prob', topk=(1,), type='I3DHead')
    runner = build_runner(cfg)
    runner.train()
    assert 'video/auc' in runner.test()


def test_a_head_of_the_host_s_that_gets_two_maps_names_the_tap(data, tmp_path):
    cfg = with_head(config(data, tmp_path), type='I3DHead')
    with pytest.raises(SettingError, match=r'model\.backbone\.tap=None'):
        build_runner(cfg)


HOST_BACKBONE = dict(
    type='ResNet3d',
    depth=18,
    pretrained=None,
    pretrained2d=False,
    base_channels=8,
    conv1_kernel=(3, 3, 3),
)


@pytest.mark.slow
def test_our_head_trains_on_a_backbone_of_the_host_s(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.model.backbone = HOST_BACKBONE
    cfg.model.cls_head = dict(type='GMLHead', in_channels=64)
    build_runner(cfg).train()
    assert (tmp_path / 'iter_2.pth').is_file()


def test_an_ad_head_on_a_backbone_of_the_host_s_names_the_remedy(
    data, tmp_path
):
    cfg = config(data, tmp_path)
    cfg.model.backbone = HOST_BACKBONE
    cfg.model.cls_head.in_channels = 64
    with pytest.raises(SettingError, match=r'cls_head\.ad_head=None'):
        build_runner(cfg).train()


@pytest.mark.slow
@pytest.mark.parametrize('stages', [0, 2])
def test_frozen_stages_stay_as_they_are(data, tmp_path, stages):
    cfg = config(data, tmp_path, **{'model.backbone.frozen_stages': stages})
    runner = build_runner(cfg)
    before = copy.deepcopy(runner.model.backbone.state_dict())
    runner.train()
    after = runner.model.backbone.state_dict()
    changed = {
        name.split('.')[0]
        for name, value in after.items()
        if not torch.equal(value, before[name])
    }
    names = ['bn1', 'bn2', 'conv1', 'conv2', 'block1', 'block2', 'block3']
    assert not changed & set(names[: 4 + stages])
    assert changed >= set(names[4 + stages :])


def test_label_smoothing_is_cross_entropy_with_it():
    head = MODELS.build(
        dict(type='GMLHead', in_channels=4, label_smooth_eps=0.2)
    )
    feats = torch.randn(2, 2, 3, 4, 5, 5).unbind()
    samples = [ActionDataSample().set_gt_label(label) for label in (0, 1)]
    expected = functional.cross_entropy(
        head.fc_cls1(feats[1].mean(dim=(1, 3, 4))),
        torch.tensor([0, 1]),
        label_smoothing=0.2,
    )
    torch.testing.assert_close(
        head.loss(feats, samples)['loss_cls1'], expected
    )


@pytest.mark.parametrize(
    'key', ['cls_head.label_smooth_eps', 'backbone.frozen_stages']
)
def test_a_number_that_cannot_be_is_one_line_with_its_key(data, tmp_path, key):
    cfg = config(data, tmp_path, **{f'model.{key}': 99})
    with pytest.raises(SettingError, match=rf'model\.{key}=99: use'):
        build_runner(cfg)


def with_mixup(cfg, classes=2):
    mixup = dict(type='MixupBlending', num_classes=classes, alpha=0.2)
    cfg.model.data_preprocessor.blending = mixup
    return cfg


@pytest.mark.slow
def test_mixup_trains(data, tmp_path):
    cfg = with_mixup(config(data, tmp_path))
    cfg.model.cls_head.label_smooth_eps = 0.1
    build_runner(cfg).train()
    assert (tmp_path / 'iter_2.pth').is_file()


def test_a_mixup_of_three_classes_is_one_line(data, tmp_path):
    cfg = with_mixup(config(data, tmp_path), classes=3)
    with pytest.raises(SettingError, match='num_classes=3: use 2'):
        build_runner(cfg).train()


def test_a_blended_clip_counts_by_its_real_share():
    clues = torch.randn(2, 3, 4)
    shares = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    means = clues.abs().mean(dim=(1, 2))
    expected = 0.75 * means[0] + 0.25 * means[1]
    torch.testing.assert_close(real_l1(clues, shares), expected)


def wrap(inner, *kinds):
    for kind in kinds:
        inner = dict(
            ConcatDataset=dict(datasets=[inner, inner]),
            RepeatDataset=dict(dataset=inner, times=2),
            ClassBalancedDataset=dict(dataset=inner, oversample_thr=0.5),
        )[kind] | dict(type=kind)
    return inner


@pytest.mark.slow
@pytest.mark.parametrize(
    'kinds',
    [
        ('ConcatDataset',),
        ('RepeatDataset', 'ConcatDataset'),
        ('ClassBalancedDataset',),
    ],
)
def test_wrapped_data_sets_are_trained_on_and_described(
    data, tmp_path, load_tool, kinds
):
    plain = config(tmp_path / 'nowhere', tmp_path / 'run')
    plain.test_dataloader = plain.test_cfg = plain.test_evaluator = None
    inner = plain.train_dataloader.dataset.to_dict()
    plain.train_dataloader.dataset = wrap(inner, *kinds)
    plain.dump(tmp_path / 'wrapped.py')
    tool = load_tool('train')
    tool.main([str(tmp_path / 'wrapped.py'), '--data', str(data)])
    path = tmp_path / 'run/iter_2.pth'
    with safe_loading(path):
        meta = torch.load(path)['meta']
    training = meta['provenance']['training']
    assert training['source'] == 'mine'
    assert (training['real_videos'], training['fake_videos']) == (1, 2)


def other_data(tmp_path, split):
    methods = dict(r='real', f='Deepfakes')
    entries = [(f'other-{v}', m, [v], 1) for v, m in methods.items()]
    return write_prepared(
        tmp_path / 'b', {split: entries}, source='yours', rates=[25.0]
    )


@pytest.mark.slow
def test_sets_of_two_sources_are_trained_on_and_validated_together(
    data, tmp_path
):
    cfg = config(data, tmp_path / 'run')
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.datasets = [dataset.to_dict(), dataset.to_dict()]
        other = other_data(tmp_path / split, split)
        dataset.datasets[1]['data_root'] = str(other)
        cfg[f'{split}_dataloader'].dataset = dict(
            type='ConcatDataset', datasets=dataset.datasets
        )
    build_runner(cfg).train()
    path = tmp_path / 'run/iter_2.pth'
    with safe_loading(path):
        provenance = torch.load(path)['meta']['provenance']
    assert provenance['training']['source'] == 'mine + yours'
    assert provenance['training']['real_videos'] == 2
    assert provenance['validation']['source'] == 'mine + yours'


@pytest.mark.slow
def test_videos_of_one_name_in_two_sets_are_not_one_video(data, tmp_path):
    cfg = config(data, tmp_path / 'run')
    inner = cfg.val_dataloader.dataset.to_dict()
    entries = [('val-r1', 'real', ['r1'], 1), ('val-f1', 'x', ['f1'], 1)]
    other = write_prepared(tmp_path / 'b', dict(val=entries), source='yours')
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[inner, dict(inner)]
    )
    cfg.val_dataloader.dataset.datasets[1].data_root = str(other)
    with pytest.raises(SettingError, match="have a video 'val-r1'"):
        build_runner(cfg).train()


def test_two_training_sets_are_described_together_and_each():
    first = dict(source='a', size=32, real_videos=1, fake_videos=2)
    second = dict(source='b', size=32, real_videos=3, fake_videos=4)
    both = describe_together(
        [dict(first, methods=['x'], lost=1), dict(second, methods=['y'])]
    )
    assert both.pop('datasets')[1]['source'] == 'b'
    assert both == dict(
        source='a + b',
        size=32,
        real_videos=4,
        fake_videos=6,
        methods=['x', 'y'],
    )


@pytest.mark.slow
def test_a_user_s_own_videos_are_read_by_the_host(
    talking_head, data, tmp_path
):
    pytest.importorskip('decord')
    for name in ('0', '1', '2'):
        talking_head(tmp_path / f'own/{name}.mp4')
    lines = ['0.mp4 0', '1.mp4 1', '2.mp4 1']
    (tmp_path / 'own/list.txt').write_text('\n'.join(lines))
    videos = dict(
        type='VideoDataset',
        ann_file=str(tmp_path / 'own/list.txt'),
        data_prefix=dict(video=str(tmp_path / 'own')),
        pipeline=[
            dict(type='DecordInit'),
            dict(type='SampleFrames', clip_len=8, frame_interval=2),
            dict(type='DecordDecode'),
            dict(type='Resize', scale=(64, 64), keep_ratio=False),
            dict(type='FormatShape', input_format='NCTHW'),
            dict(type='PackActionInputs'),
        ],
    )
    cfg = config(data, tmp_path / 'run')
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_dataloader.dataset = videos
    cfg.val_dataloader.dataset = videos | dict(test_mode=True)
    cfg.test_dataloader = cfg.val_dataloader
    runner = build_runner(cfg)
    runner.train()
    assert 'video/auc' in runner.test()
    assert len(list((tmp_path / 'run').glob('best_*.pth'))) == 1


def test_one_setting_reaches_clips_in_wrappers_and_in_pipelines():
    cfg = Config.fromfile(CONFIG)
    inner = cfg.train_dataloader.dataset.to_dict()
    cfg.train_dataloader.dataset = wrap(inner, 'ConcatDataset')
    videos = dict(
        type='VideoDataset',
        pipeline=[dict(type='SampleFrames', clip_len=8, frame_interval=2)],
    )
    cfg.val_dataloader.dataset = videos
    change_settings(cfg, ['clip_len=16', 'train_dataloader.batch_size=2'])
    for dataset in cfg.train_dataloader.dataset.datasets:
        assert dataset.clip_len == 16
    assert cfg.val_dataloader.dataset.pipeline[0].clip_len == 16
    assert 'clip_len' not in cfg.val_dataloader.dataset
    assert cfg.model.backbone.num_segments == 16
    assert cfg.train_dataloader.batch_size == 2


@pytest.mark.parametrize('value', ['0', 'many', '8.5', 'True'])
def test_a_length_of_clips_that_is_none_is_refused(value):
    with pytest.raises(SettingError, match=r'^clip_len=.* number from 1$'):
        change_settings(Config.fromfile(CONFIG), [f'clip_len={value}'])
