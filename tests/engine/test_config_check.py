"""A setting that cannot be is one line with its place; a bug is not."""

import importlib.util
import re

import pytest
import torch
from mmaction.registry import HOOKS, TRANSFORMS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OneCycleLR, OptimWrapper
from test_settings import config, wrap, write_data
from tiny import CONFIG

from gml_mmaction.engine.config_check import change_settings, read_settings
from gml_mmaction.engine.config_check.schedules import check_schedules
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.errors import SettingError

PIPELINE = 'train_dataloader.dataset.pipeline'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data') / 'crops')


def refusal(cfg):
    """What a training says that is refused; always a line, and held back."""
    with pytest.raises(SettingError) as raised:
        build_runner(cfg).train()
    text = str(raised.value)
    assert '\n' not in text
    return text


def changed(data, work_dir, *options):
    cfg = config(data, work_dir)
    change_settings(cfg, options)
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize(
    ('option', 'line'),
    [
        ('model.type=Recogniser3D', r"='Recogniser3D': .*Recognizer3D"),
        ('model.backbone.type=Xcepton', r"='Xcepton': .*Xception"),
        ('model.backbone.motion_block.type=MCC', r'Remedy: MCB'),
        ('model.cls_head.type=GMLhead', r'Remedy: GMLHead'),
        ('model.backbone.init_cfg.type=Pretraind', r'Remedy: Pretrained'),
        ('train_dataloader.dataset.type=FaceClips', r'FaceClipDataset'),
        (f'{PIPELINE}.0.type=ClipDecoder', r'Remedy: ClipDecode'),
        ('train_dataloader.sampler.type=Balanced', r'BalancedSampler'),
        ('train_dataloader.collate_fn.type=collate', r'pseudo_collate'),
        ('optim_wrapper.type=Nix', r'one of AmpOptimWrapper'),
        ('optim_wrapper.constructor=Nix', r'DefaultOptimWrapperConstructor'),
        ('optim_wrapper.optimizer.type=Adem', r'Remedy: Adam'),
        ('default_hooks.checkpoint.type=Nix', r'CheckpointHook'),
        ('custom_hooks.0.type=FiniteHok', r'Remedy: FiniteHook'),
        ('val_evaluator.type=ForgryMetric', r'Remedy: ForgeryMetric'),
        ('visualizer.type=Nix', r'ActionVisualizer'),
        ('visualizer.vis_backends.0.type=Nix', r'LocalVisBackend'),
        ('log_processor.type=Nix', r'LogProcessor'),
        ('train_cfg.type=Nix', r'IterBasedTrainLoop'),
        ('default_scope=nix', r'Remedy: mmaction'),
    ],
)
def test_an_unknown_name_comes_with_those_that_are_known(
    data, tmp_path, capsys, option, line
):
    text = refusal(changed(data, tmp_path, option))
    assert text.startswith(option.split('=')[0])
    assert re.search(line, text)
    assert capsys.readouterr().out == ''


def test_an_unknown_network_may_be_one_of_ones_own(data, tmp_path):
    text = refusal(changed(data, tmp_path, 'model.backbone.type=Differences'))
    assert text == (
        "model.backbone.type='Differences': no such model. Remedy: --import "
        'FILE.py if it is one of your own'
    )
    text = refusal(changed(data, tmp_path, 'model.backbone.type=Xcepton'))
    assert 'Remedy: Xception or ' in text
    assert text.endswith(', or --import FILE.py if it is one of your own')


def test_an_unknown_scheduler_comes_with_those_that_are_known(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.param_scheduler = [dict(type='CosineLR'), dict(type='CosineNix')]
    text = refusal(cfg)
    assert text.startswith("param_scheduler.0.type='CosineLR'")
    assert 'CosineAnnealingLR' in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ('option', 'line'),
    [
        ('model.backbone.colour=1', r'\.colour: Xception has no .*width'),
        ('model.cls_head.ad_head.foo=1', r'\.foo: ADHead has no .*hidden'),
        ('train_dataloader.dataset.clip_length=4', r'Remedy: clip_len'),
        ('train_dataloader.batchsize=4', r'Remedy: batch_size'),
        ('train_dataloader.sampler.foo=1', r'one of dataset, seed, shuffle'),
        ('optim_wrapper.optimizer.momentum=1', r'AdamW has no .*lr'),
        ('optim_wrapper.clip_grad.max_nrm=1', r'Remedy: max_norm'),
        ('optim_wrapper.paramwise_cfg.norm_decay=0', r'norm_decay_mult'),
        (
            'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mul=1',
            r'Remedy: lr_mult',
        ),
        ('default_hooks.checkpoint.intervall=4', r'Remedy: interval'),
        ('train_cfg.max_epochs=3', r'Remedy: max_iters'),
        ('randomness.sed=1', r"unexpected keyword argument 'sed'"),
    ],
)
def test_a_keyword_that_is_not_taken_comes_with_those_that_are(
    data, tmp_path, option, line
):
    text = refusal(changed(data, tmp_path, option))
    assert text.startswith(option.split('=')[0])
    assert re.search(line, text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('option', 'line'),
    [
        ('model.backbone.middle_blocks=9', r'=9: use 0 to 8'),
        ('model.backbone.width=wide', r"='wide'. Remedy: a number"),
        ('model.backbone.width=0', r'=0: use a number above 0'),
        ('model.backbone.tap=block99', r"use \['block1'"),
        ('model.backbone.motion_block.temporal_init=a', r"='a': use one of"),
        ('model.cls_head.fuse=sum', r"='sum': use 'prob' or 'logit'"),
        ('model.cls_head.ad_head.l1_reduction=max', r"='max': use 'mean'"),
        ('model.cls_head.in_channels=-5', r'a whole number from 1'),
        ('model.cls_head.in_channels=17', r'=17: .*128 channels'),
        ('model.cls_head.ad_head.in_channels=17', r'=17: .*in_channels to 46'),
        ('model.data_preprocessor.mean=[1,2]', r': 2 numbers do not fit'),
        ('model.data_preprocessor.format_shape=NCHW', r'NCHW do not fit'),
        ('model.backbone.num_segments=4', r'=4: clips of .* have 8 frames'),
        (f'{PIPELINE}.1.size=big', r"='big'. Remedy: a whole number"),
        (f'{PIPELINE}.4.input_format=NCWHT', r'NCWHT is invalid'),
        ('train_dataloader.batch_size=0', r'a whole number from 1'),
        ('train_dataloader.num_workers=-1', r'a whole number from 0'),
        ('optim_wrapper.optimizer.lr=-1', r'Invalid learning rate: -1'),
        ('optim_wrapper.optimizer.lr=abc', r"='abc'. Remedy: a number"),
        ('optim_wrapper.accumulative_counts=0', r'greater than or equal'),
        (
            'optim_wrapper.clip_grad.max_norm=-1',
            r'=-1. Remedy: a number above',
        ),
        ('optim_wrapper.paramwise_cfg=3', r'=3. Remedy: an object'),
        (
            'optim_wrapper.paramwise_cfg.custom_keys=3',
            r'=3. Remedy: an object',
        ),
        (
            'optim_wrapper.paramwise_cfg.custom_keys.backbone=3',
            r'=3. Remedy: an object',
        ),
        (
            'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=-1',
            r'=-1. Remedy: a number, 0 or more',
        ),
        (
            'optim_wrapper.paramwise_cfg.norm_decay_mult=nan',
            r'=nan. Remedy: a number, 0 or more',
        ),
        ('auto_scale_lr.base_batch_size=0', r'=0. Remedy: a whole number'),
        ('auto_scale_lr.base_batch_size=a', r"='a'. Remedy: a whole number"),
        ('default_hooks.checkpoint.interval=a', r"='a'. Remedy: a whole"),
        (f'{PIPELINE}.3.zoom=99', r'=99: use 0 to 3'),
        ('default_hooks.checkpoint.save_best=nix', r"='nix': .*video/auc"),
        ('val_evaluator.video_rule=sum', r"='sum': use one of"),
        ('val_dataloader.dataset.num_clips=0', r'=0: use 1 or more'),
        ('train_cfg.val_interval=0', r'a whole number from 1'),
        ('train_cfg.max_iters=many', r"='many'. Remedy: a whole number"),
        ('randomness.seed=-1', r'=-1. Remedy: a whole number from 0 to 4294'),
        ('randomness.seed=abc', r"='abc'. Remedy: a whole number"),
        ('compile=yes', r"='yes'. Remedy: True, False or a dict"),
        ('compile.backend=inductr', r"='inductr': .*Remedy: inductor"),
        ('log_processor.num_digits=-3', r'=-3. Remedy: a whole number'),
        ('log_processor.window_size=x', r"='x'. Remedy: a whole number"),
        ('log_level=LOUD', r"^log_level='LOUD'"),
    ],
)
def test_a_value_that_cannot_be_is_named_by_its_place(
    data, tmp_path, capsys, option, line
):
    text = refusal(changed(data, tmp_path, option))
    assert re.match(re.escape(option.split('=')[0]) + r'\b', text)
    assert re.search(line, text)
    assert capsys.readouterr().out == ''


@pytest.mark.slow
def test_of_two_parts_of_a_type_the_one_at_fault_is_named(data, tmp_path):
    option = 'val_dataloader.dataset.pipeline.1.size=0'
    text = refusal(changed(data, tmp_path, option))
    assert text == f'{option}: use 1 or more pixels'


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'key', 'value'),
    [
        ('StepLR', 'step_size', 0),
        ('CosineAnnealingLR', 'T_max', 0),
        ('MultiStepLR', 'milestones', ['a']),
        ('OneCycleLR', 'total_steps', -1),
    ],
)
def test_a_schedule_that_no_step_could_follow_is_named(
    data, tmp_path, kind, key, value
):
    cfg = config(data, tmp_path)
    cfg.param_scheduler = [{'type': kind, 'by_epoch': False, key: value}]
    text = refusal(cfg)
    assert text.startswith(f'param_scheduler.0.{key}={value!r}. Remedy: ')


@pytest.mark.parametrize(
    ('settings', 'fits'),
    [
        (dict(total_steps=998), False),
        (dict(total_steps=999), True),
        (dict(total_steps=899, begin=100), True),
        (dict(total_steps=898, begin=100), False),
        (dict(total_steps=300, end=300), True),
        (dict(), True),
        (dict(total_steps=3, by_epoch=True), True),
    ],
)
def test_a_cycle_shorter_than_the_training_is_refused_before_it(
    settings, fits
):
    """As MMEngine would in the middle of it: its schedule is stepped here."""
    net = torch.nn.Linear(1, 1)
    schedule = dict(eta_max=0.1, by_epoch=False) | settings
    wrapper = OptimWrapper(torch.optim.SGD(net.parameters(), lr=0.1))
    stepped = OneCycleLR(wrapper, **({'end': 1000} | schedule))
    cfg = Config(
        dict(
            train_cfg=dict(max_iters=1000),
            param_scheduler=[dict(type='OneCycleLR', **schedule)],
        )
    )
    if fits:
        check_schedules(cfg)
        for _ in range(1 if schedule['by_epoch'] else 1000):
            stepped.step()
        return
    with pytest.raises(ValueError, match='Tried to step'):
        [stepped.step() for _ in range(1000)]
    length = 1000 - settings.get('begin', 0)
    with pytest.raises(
        SettingError,
        match=rf'^param_scheduler\.0\.total_steps=.*Remedy: {length}\b',
    ):
        check_schedules(cfg)


def test_a_cycle_that_is_too_short_is_refused_by_the_runner(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.train_cfg.max_iters = 9
    cycle = dict(type='OneCycleLR', eta_max=0.1, total_steps=2, by_epoch=False)
    cfg.param_scheduler = [cycle]
    assert refusal(cfg).startswith('param_scheduler.0.total_steps=2: ')


def test_batches_that_would_tear_pairs_are_refused(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.train_dataloader.sampler = dict(type='PairSampler', fakes=2)
    cfg.train_dataloader.batch_size = 4
    assert refusal(cfg) == (
        'train_dataloader.batch_size=4: PairSampler draws groups of 3. '
        'Remedy: a multiple of 3'
    )


@pytest.mark.slow
def test_a_training_with_nothing_left_to_do_prints_its_log(
    data, tmp_path, capsys
):
    build_runner(config(data, tmp_path)).train()
    capsys.readouterr()
    cfg = config(data, tmp_path)
    (newest,) = tmp_path.glob('iter_*.pth')
    cfg.resume, cfg.load_from = True, str(newest)
    build_runner(cfg).train()
    assert 'resumed epoch' in capsys.readouterr().out


def test_a_statistic_of_the_log_that_is_none_is_named(data, tmp_path):
    cfg = config(data, tmp_path)
    item = dict(data_src='loss', log_name='a', method_name='avg')
    cfg.log_processor.custom_cfg = [dict(item, window_size=2)]
    assert re.match(
        r"log_processor\.custom_cfg\.0\.method_name='avg': .*mean",
        refusal(cfg),
    )


@pytest.mark.parametrize(
    ('kind', 'package'),
    [('ClearMLVisBackend', 'clearml'), ('WandbVisBackend', 'wandb')],
)
def test_a_place_for_logs_whose_package_is_not_there_names_it(
    data, tmp_path, kind, package
):
    if importlib.util.find_spec(package):
        pytest.skip(f'{package} is installed')
    cfg = changed(data, tmp_path, f'visualizer.vis_backends.0.type={kind}')
    text = refusal(cfg)
    assert text.startswith('visualizer.vis_backends.0.type=')
    assert text.endswith(f'Remedy: pip install {package}')


@pytest.mark.slow
def test_within_a_wrapper_the_place_goes_all_the_way(data, tmp_path):
    cfg = config(data, tmp_path)
    inner = cfg.train_dataloader.dataset.to_dict()
    cfg.train_dataloader.dataset = wrap(inner, 'ConcatDataset')
    cfg.train_dataloader.dataset.datasets[1].num_clips = -2
    text = refusal(cfg)
    assert text.startswith(
        'train_dataloader.dataset.datasets.1.num_clips=-2: use'
    )


@pytest.mark.slow
def test_a_part_that_is_missing_is_named(data, tmp_path):
    cfg = config(data, tmp_path)
    del cfg.train_dataloader['dataset']
    assert refusal(cfg).startswith('train_dataloader.dataset is missing')
    cfg = config(data, tmp_path)
    cfg.model.backbone.init_cfg = dict(type='Pretrained')
    text = refusal(cfg)
    assert re.match(r"model\.backbone\.init_cfg: .*'checkpoint'", text)


@pytest.mark.slow
def test_a_head_of_fewer_classes_than_labels_is_named(
    data, tmp_path, talking_head
):
    pytest.importorskip('decord')
    cfg = Config.fromfile(CONFIG.with_name('gml_xception-small_videos.py'))
    talking_head(tmp_path / 'own/a.mp4')
    for split in ('train', 'val', 'test'):
        (tmp_path / f'own/{split}.txt').write_text('a.mp4 0\na.mp4 3\n')
        loader = cfg[f'{split}_dataloader']
        loader.dataset.data_root = str(tmp_path / 'own')
        loader.num_workers = 0
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.work_dir = str(tmp_path / 'run')
    assert re.match(
        r'model\.cls_head\.num_classes=2: train_dataloader\.dataset has '
        r'label 3',
        refusal(cfg),
    )


@pytest.mark.slow
def test_tsm_without_weights_names_the_setting_to_change(data, tmp_path):
    cfg = config(data, tmp_path)
    backbone = dict(type='ResNetTSM', depth=18, num_segments=8)
    cfg.model = dict(
        type='Recognizer2D',
        data_preprocessor=cfg.model.data_preprocessor,
        backbone=backbone,
        cls_head=dict(
            type='TSMHead',
            num_segments=8,
            num_classes=2,
            in_channels=512,
            average_clips='prob',
        ),
    )
    cfg.model.data_preprocessor.format_shape = 'NCHW'
    for split in ('train', 'val', 'test'):
        pipeline = cfg[f'{split}_dataloader'].dataset.pipeline
        (step,) = [one for one in pipeline if one.type == 'FormatShape']
        step.input_format = 'NCHW'
    text = refusal(cfg)
    remedies = text.partition('Remedy: ')[2].split(', or ')
    assert remedies[0] == 'model.backbone.pretrained2d=False'
    change_settings(cfg, remedies[:1])
    build_runner(cfg).train()
    assert (tmp_path / 'iter_2.pth').is_file()


def test_an_assertion_without_words_is_named_by_its_condition(data, tmp_path):
    """MMAction2's R(2+1)D cannot be inflated, and says no more."""
    path = CONFIG.parent / 'video/r2plus1d_r34-small_demo.py'
    cfg = config(data, tmp_path)
    cfg.model = Config.fromfile(path).model
    cfg.model.backbone.pretrained2d = True
    assert re.match(
        r'model\.backbone\.pretrained2d: AssertionError: not so: '
        r'pretrained2d is False',
        refusal(cfg),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('head', 'line'),
    [
        (dict(num_classes=2), r'model\.cls_head\.average_clips=None'),
        (
            dict(num_classes=3, average_clips='prob'),
            r'model\.cls_head\.num_classes=3: .*Remedy: 2',
        ),
    ],
)
def test_a_head_whose_scores_the_metric_cannot_read_is_named(
    data, tmp_path, head, line
):
    cfg = changed(data, tmp_path, 'model.backbone.tap=None')
    cfg.model.cls_head = dict(type='I3DHead', in_channels=128, **head)
    assert re.match(line, refusal(cfg))


def boom(**_):
    return 1 + 'a'


@pytest.mark.parametrize(
    'fault',
    [boom, lambda **_: {}['missing'], lambda **_: int('x')],
    ids=['operation', 'look-up', 'conversion'],
)
def test_a_bug_in_a_constructor_is_no_setting_s_fault(
    data, tmp_path, capsys, fault
):
    class Faulty(Hook):
        def __init__(self, interval=1):
            fault(interval=interval)

    HOOKS.register_module(name='Faulty', module=Faulty, force=True)
    cfg = config(data, tmp_path)
    cfg.custom_hooks.append(dict(type='Faulty', interval=3))
    with pytest.raises((TypeError, KeyError, ValueError)) as raised:
        build_runner(cfg)
    assert not isinstance(raised.value, SettingError)
    assert capsys.readouterr().out.count('\n') > 100  # the log, too


@pytest.mark.slow
def test_a_bug_in_a_transform_is_no_setting_s_fault(data, tmp_path):
    @TRANSFORMS.register_module(force=True)
    class Falls:
        def __call__(self, results):
            return results['nix']

    cfg = config(data, tmp_path)
    cfg.train_dataloader.dataset.pipeline.insert(0, dict(type='Falls'))
    with pytest.raises(KeyError):
        build_runner(cfg).train()


@pytest.mark.slow
def test_a_fault_while_training_keeps_its_traceback(
    data, tmp_path, monkeypatch
):
    runner = build_runner(config(data, tmp_path))
    monkeypatch.setattr(runner.model, 'train_step', lambda *_, **__: 1 + 'a')
    with pytest.raises(TypeError):
        runner.train()


@pytest.mark.parametrize(
    ('option', 'line'),
    [
        ('model', 'give KEY=VALUE'),
        ('.width=1', 'give KEY=VALUE'),
        ('model.backbone.width=[1,2', 'Imbalanced brackets'),
        ('modle.backbone=1', 'Remedy: model.backbone'),
        ('model.type.foo=3', 'model.type.foo=3: '),
        (f'{PIPELINE}.9.size=3', r'Index 9 exceeds'),
        ('model.backbone={', r"='\{': .*Remedy: model\.backbone\.KEY=VALUE"),
        ('train_cfg=3', r'=3: .*Remedy: train_cfg\.KEY=VALUE'),
        (f'{PIPELINE}.1=FaceCrop', r'Remedy: .*pipeline\.1\.KEY=VALUE'),
        (
            'data_root=data/x',
            r'Remedy: --data FOLDER, or test_dataloader\.dataset\.data_root '
            r'and train_dataloader\.dataset\.data_root and val_dataloader\.',
        ),
        (
            'train_pipeline.1.size=3',
            r'Remedy: train_dataloader\.dataset\.pipeline\.1\.size$',
        ),
        ("model.backbone=dict(type='X',width=1)", 'a key for each part'),
    ],
)
def test_an_option_that_is_none_is_one_line(option, line):
    with pytest.raises(SettingError, match=line) as raised:
        change_settings(Config.fromfile(CONFIG), [option])
    assert option.split('=')[0] in str(raised.value)


def test_options_may_take_a_part_away_and_add_names_for_hooks():
    cfg = Config.fromfile(CONFIG)
    change_settings(cfg, ['test_dataloader=None', 'mine=3'])
    change_settings(cfg, ['mine=4', 'val_evaluator=[]'])
    assert (cfg.test_dataloader, cfg.mine, cfg.val_evaluator) == (None, 4, [])


def test_options_may_delete_and_give_at_once():
    cfg = Config.fromfile(CONFIG)
    head = 'model.cls_head'
    change_settings(cfg, [f'{head}._delete_=True', f'{head}.type=I3DHead'])
    assert cfg.model.cls_head == dict(type='I3DHead')


@pytest.mark.parametrize(
    'text', ['model = dict(', 'model = nix', '_base_ = 3', 'a = 1 / 0']
)
def test_a_config_that_cannot_be_read_is_one_line(tmp_path, text):
    path = tmp_path / 'bad.py'
    path.write_text(text)
    with pytest.raises(SettingError, match=r'bad\.py cannot be read') as error:
        read_settings(path)
    assert '\n' not in str(error.value)


def test_a_config_that_is_not_there_is_one_line(tmp_path):
    path = tmp_path / 'nowhere.py'
    with pytest.raises(SettingError) as error:
        read_settings(path)
    assert str(error.value).startswith(f'{path}: no such config. Remedy: ')


def test_a_number_is_no_container_of_ours(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.model.cls_head.ad_head = 3
    text = refusal(cfg)
    assert text.startswith('model.cls_head.ad_head=3. Remedy: ')


def test_a_config_without_a_model_says_so(data, tmp_path):
    cfg = config(data, tmp_path)
    cfg.pop('model')
    text = refusal(cfg)
    assert text.startswith('model: the config has no model. Remedy: ')
