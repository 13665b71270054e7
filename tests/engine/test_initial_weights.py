"""A detector starts from the file that it names, and says so."""

import hashlib
import importlib.util
import os
import re
from pathlib import Path

import pytest
import torch
from mmaction.registry import HOOKS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner.checkpoint import CheckpointLoader
from networks import randomise
from tiny import REPO, TINY, free_port, write_prepared

from gml_mmaction.apis import load_detector
from gml_mmaction.engine.config_check import change_settings
from gml_mmaction.engine.initial_weights import (
    Initial,
    check_named_file,
    find_weights,
    load_tensors,
    missing_weights,
    start_from,
)
from gml_mmaction.engine.runner import build_runner
from gml_mmaction.engine.settings import check_start
from gml_mmaction.errors import CheckpointError, SettingError
from gml_mmaction.kernels import accelerate

IMAGENET = REPO / 'configs/gml_xception_imagenet_ffpp.py'
SMALL = REPO / 'configs/gml_xception-small_demo.py'
XCEPTION = 'xception-43020ad28.pth'
# Configs of networks of MMAction2 that may start from a file.
RECENT = (
    *('tsm_r50', 'videoswin-t', 'timesformer_vit-b', 'videomae_vit-s'),
    *('x3d_m', 'csn_r50', 'r2plus1d_r34'),
)
TINY_NETWORK = {**TINY, 'model.backbone.middle_blocks': 2}
FIRST = 'backbone.conv1.weight'


def config(path=IMAGENET, **changes):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(TINY_NETWORK | changes)
    return cfg


def published(seed=1, **network):
    """What a file of a plain Xception of that size would hold."""
    network = {'width': 0.0625, 'middle_blocks': 2} | network
    plain = MODELS.build(dict(type='Xception', **network))
    randomise(plain, seed)
    return plain, {**plain.state_dict(), 'fc.weight': torch.ones(2, 2)}


def write_weights(folder, state=None):
    """Write a file of random weights, its hash in its name."""
    folder.mkdir(exist_ok=True)
    torch.save(state or published()[1], folder / 'x.pth')
    digest = hashlib.sha256((folder / 'x.pth').read_bytes()).hexdigest()
    return (folder / 'x.pth').rename(folder / f'xception-{digest[:8]}.pth')


@pytest.mark.parametrize('mode', [True, False], ids=['train', 'eval'])
def test_gml_starts_as_plain_xception_with_the_file_bit_by_bit(mode):
    plain, state = published()
    cfg = config()
    backbone = MODELS.build({**cfg.model.backbone, 'init_cfg': None})
    load_tensors(backbone, state, IMAGENET.parent / XCEPTION)
    clips = torch.rand(2, 3, 8, 64, 64)
    plain.train(mode)
    backbone.train(mode)
    for ours, expected in zip(backbone(clips), plain(clips), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    fast = accelerate(backbone)(clips)[1]
    torch.testing.assert_close(fast, expected, rtol=1e-4, atol=1e-4)


def test_gml_s_motion_learns_from_the_second_step_on():
    """A zero expansion lets no gradient pass to what is before it."""
    cfg = config()
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).train()
    load_tensors(model.backbone, published()[1], IMAGENET.parent / XCEPTION)
    samples = [ActionDataSample() for _ in range(2)]
    for label, sample in enumerate(samples):
        sample.set_gt_label(label)
    batch = dict(
        inputs=[torch.randint(256, (1, 3, 8, 64, 64)) for _ in samples],
        data_samples=samples,
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    changed = []
    for _ in range(2):
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        data = model.data_preprocessor(batch, training=True)
        loss, _ = model.parse_losses(model(**data, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        changed.append(
            {n for n, p in model.named_parameters() if (p != before[n]).any()}
        )
    everything = {name for name, _ in model.named_parameters()}
    waits = {name for name in everything if '.motion.' in name}
    assert len(waits) > 10
    assert changed[0] == everything - waits
    assert changed[1] == everything


def test_a_config_s_own_initial_values_stand(tmp_path):
    file = write_weights(tmp_path)
    cfg = config(SMALL)
    block = cfg.model.backbone.motion_block
    block.temporal_init, block.expand_init = 'tsm', 'random'
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=file.name)
    start_from(cfg, tmp_path)
    assert (block.temporal_init, block.expand_init) == ('tsm', 'random')


@pytest.mark.parametrize(
    ('block', 'expected'),
    [
        ('MCB', dict(temporal_init='identity', expand_init='zero')),
        ('CSTM', dict(temporal_init='identity')),
    ],
)
def test_motion_blocks_start_as_what_they_replace(tmp_path, block, expected):
    file = write_weights(tmp_path)
    cfg = Config.fromfile(REPO / 'configs/gml_xception_ffpp.py')
    backbone = cfg.model.backbone
    backbone.motion_block.type = block
    backbone.init_cfg = dict(type='Pretrained', checkpoint=file.name)
    start_from(cfg, tmp_path)
    assert backbone.motion_block == dict(type=block, **expected)
    assert cfg.custom_hooks[-1].file == str(file)
    assert 'init_cfg' not in backbone  # loaded once, by the hook


def test_what_several_configs_lack_is_said_once_with_its_address(tmp_path):
    names = ('gml_xception_ffpp', 'gml_xception_dfo', 'baselines/tsn_r50_ffpp')
    configs = [Config.fromfile(REPO / f'configs/{name}.py') for name in names]
    lines = missing_weights(configs, tmp_path)
    assert len(lines) == 2
    for line, file in zip(lines, (XCEPTION, 'resnet50-11ad3fa6.pth')):
        assert line.startswith(f'{tmp_path / file}: no such file. ')
        assert re.search(f'https://.*/{file} ', line)


def test_the_older_public_file_is_taken_if_it_alone_is_there(tmp_path):
    older = tmp_path / 'xception-b5690688.pth'
    older.write_bytes(b'no weights')
    cfg = Config.fromfile(REPO / 'configs/gml_xception_ffpp.py')
    with pytest.raises(CheckpointError, match='not b5690688'):
        find_weights(cfg, tmp_path)


def test_a_network_without_public_weights_is_named(tmp_path):
    cfg = config(SMALL)
    cfg.model.backbone.type = 'ResNetTSM'
    with pytest.raises(CheckpointError, match=r"type='ResNetTSM'.* list has "):
        find_weights(cfg, tmp_path)


def test_a_network_has_one_start(tmp_path):
    cfg = config(SMALL)
    cfg.load_from = 'other.pth'
    with pytest.raises(SettingError, match='one start'):
        start_from(cfg, tmp_path)


def test_what_cannot_be_had_is_a_line_with_a_remedy(tmp_path):
    """The port is one that nobody listens at."""
    cfg = Config.fromfile(REPO / 'configs/video/tsm_r50-small_demo.py')
    cfg.model.backbone.pretrained = 'torchvision://resnet50'
    if not importlib.util.find_spec('torchvision'):
        with pytest.raises(CheckpointError, match=r'pretrained=FILE\.pth'):
            check_named_file(cfg)
    cfg.model.backbone.pretrained = 'nowhere/r50.pth'
    none = r'or model\.backbone\.pretrained=None$'  # pretrained2d is False
    with pytest.raises(CheckpointError, match=none):
        check_named_file(cfg)
    address = f'http://127.0.0.1:{free_port()}/resnet50.pth'
    with pytest.raises(CheckpointError, match='cannot be downloaded') as error:
        CheckpointLoader.load_checkpoint(address)
    assert address in str(error.value)
    assert str(error.value).endswith('name the file instead')


@pytest.mark.parametrize('name', RECENT)
def test_the_remedy_for_a_start_that_is_not_there_starts(name):
    """Each network of MMAction2: what the line names builds and begins."""
    cfg = Config.fromfile(REPO / f'configs/video/{name}-small_demo.py')
    cfg.model.backbone.pretrained = 'nowhere/a.pth'
    if 'pretrained2d' in cfg.model.backbone:
        cfg.model.backbone.pop('pretrained2d')
    with pytest.raises(CheckpointError) as error:
        check_named_file(cfg)
    text = str(error.value)
    assert text.startswith('nowhere/a.pth: no such file. Remedy: ')
    options = re.findall(r'model\.backbone\.\w+=\w+', text)
    change_settings(cfg, options)
    check_named_file(cfg)
    model = MODELS.build(cfg.model)
    model.init_weights()
    check_start(model)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    people = [('r1', 'real', ['a'], 1), ('f1', 'Deepfakes', ['a'], 1)]
    others = [('r3', 'real', ['c'], 1), ('f3', 'FaceSwap', ['c'], 1)]
    folder = tmp_path_factory.mktemp('data')
    return write_prepared(folder / 'made', dict(train=people, val=others))


def train(work_dir, data, cfg, iterations=1):
    loaders = ('train_dataloader', 'val_dataloader')
    cfg.merge_from_dict(
        {
            **{f'{name}.num_workers': 0 for name in loaders},
            **{f'{name}.persistent_workers': False for name in loaders},
            **{f'{name}.dataset.data_root': str(data) for name in loaders},
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': iterations,
            'train_cfg.val_interval': 1,
            'randomness': dict(seed=3),
        }
    )
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.work_dir = str(work_dir)
    build_runner(cfg).train()
    return next(work_dir.glob('best_*.pth'))


@pytest.mark.slow
def test_random_values_are_said_with_their_seed(tmp_path, data):
    best = train(tmp_path / 'random', data, config(SMALL))
    detector = load_detector(best)
    assert detector.initial == Initial(files=[], seed=3)
    assert 'Started from: random (seed 3).' in detector.words


@pytest.mark.slow
def test_a_whitened_start_is_said_and_a_file_goes_before_it(tmp_path, data):
    cfg = config(SMALL)
    cfg.custom_hooks.append(dict(type='WhitenedStartHook'))
    best = train(tmp_path / 'whitened', data, cfg.copy())
    assert (
        'Started from: random (seed 3), backbone.conv1 whitened by patches of '
        'the training data.'
    ) in load_detector(best).words
    weight = torch.load(best, weights_only=False)['state_dict'][FIRST]
    plain = train(tmp_path / 'random', data, config(SMALL))
    other = torch.load(plain, weights_only=False)['state_dict'][FIRST]
    assert (weight - other).abs().max() > 0.1
    file = write_weights(tmp_path / 'weights')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=file.name)
    start_from(cfg, file.parent)
    best = train(tmp_path / 'file', data, cfg)
    assert 'whitened' not in ' '.join(load_detector(best).words)


STARTS = {
    'timesformer_vit-b': (
        '20 tensors of attention as learned ones',
        'transformer_layers.layers.0.attentions.0.attn.out_proj',
    ),
    'tsm_r50': (
        'backbone.layer1.0.conv1.conv as a difference of frames',
        'layer1.0.conv1.conv.net',
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize('stem', STARTS)
def test_a_random_start_is_said_and_is_not_repeated_on_resume(
    stem, tmp_path, data
):
    words, layer = STARTS[stem]
    cfg = Config.fromfile(REPO / f'configs/video/{stem}-small_demo.py')
    best = train(tmp_path / 'begun', data, cfg.copy())
    said = f'Started from: random (seed 3), {words}.'
    assert said in load_detector(best).words
    weight = f'backbone.{layer}.weight'
    begun = torch.load(best, weights_only=False)['state_dict'][weight]
    cfg.resume, cfg.load_from = True, str(best)
    again = train(tmp_path / 'resumed', data, cfg, iterations=2)
    assert said in load_detector(again).words
    resumed = torch.load(again, weights_only=False)['state_dict'][weight]
    moved = (resumed - begun).abs().max()
    assert 0 < moved < 0.002  # a step of AdamW; a start differs by far more


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['MimeticStartHook', 'DifferenceStartHook'])
def test_a_random_start_of_a_network_that_has_none_is_refused(
    kind, tmp_path, data
):
    cfg = config(SMALL)
    cfg.custom_hooks.append(dict(type=kind))
    with pytest.raises(SettingError, match=f'leave out {kind}'):
        train(tmp_path, data, cfg)


def take_part(rank, data, folder, port):
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=port,
    )
    cfg = config(SMALL)
    cfg.launcher = 'pytorch'
    cfg.randomness = dict(seed=3, diff_rank_seed=True)
    cfg.custom_hooks.append(dict(type='WhitenedStartHook'))
    cfg.custom_hooks.append(dict(type='KeepFirst', folder=str(folder)))
    train(folder / 'run', data, cfg)


@HOOKS.register_module()
class KeepFirst(Hook):
    """Save the first convolution as a process has it before it learns."""

    priority = 'VERY_LOW'

    def __init__(self, folder):
        self.folder = Path(folder)

    def before_train(self, runner):
        weight = runner.model.module.state_dict()[FIRST]
        torch.save(weight, self.folder / f'{get_rank()}.pt')


@pytest.mark.slow
def test_two_processes_start_from_the_same_whitening(
    data, run_group, tmp_path
):
    run_group(take_part, data, tmp_path, free_port())
    one, other = (torch.load(tmp_path / f'{rank}.pt') for rank in range(2))
    assert one.std() > 0.1
    assert (one == other).all()


@pytest.mark.slow
def test_a_file_is_said_with_its_hash_and_a_resumed_run_keeps_it(
    tmp_path, data
):
    file = write_weights(tmp_path / 'weights')
    cfg = config(SMALL)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=file.name)
    start_from(cfg, file.parent)
    best = train(tmp_path / 'file', data, cfg.copy())
    (said,) = load_detector(best).initial.files
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (said.part, said.file) == ('backbone', file.name)
    assert said.sha256 == digest
    assert 100 < said.tensors < said.of
    log = next((tmp_path / 'file').glob('*/*.log')).read_text()
    assert log.count(f'{file.name} (sha256 {digest[:12]}; ') == 2
    cfg.resume, cfg.load_from = True, str(best)
    best.rename(best.with_name('begun.pth'))
    cfg.load_from = str(best.with_name('begun.pth'))
    again = train(tmp_path / 'file', data, cfg, iterations=2)
    assert load_detector(again).initial.files == [said]


@pytest.mark.slow
def test_mmaction2_s_own_reading_of_another_network_s_file_is_refused(
    tmp_path, data
):
    """It only logs that nothing fits, and would train from random values."""
    torch.save(published()[1], tmp_path / 'xception.pth')
    cfg = Config.fromfile(REPO / 'configs/baselines/c3d-small_demo.py')
    cfg.model.backbone.pretrained = str(tmp_path / 'xception.pth')
    with pytest.raises(CheckpointError, match='of its values none is in '):
        train(tmp_path / 'c3d', data, cfg)
