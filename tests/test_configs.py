"""Facts about the configs: the paper's recipe and the rows of Table 3."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config

from gml_mmaction.engine.config_check import FIRST, PHASES, check_config

CONFIGS = Path(__file__).parents[1] / 'configs'
# All but that of videos which have not been prepared.
ALL = sorted(
    path
    for path in CONFIGS.rglob('*.py')
    if '_base_' not in path.parts and not path.stem.endswith('_videos')
)
# Their fakes are made in training.
GENUINE = [path for path in ALL if path.parent.name == 'genuine']
# Rows of Table 3 but the first: block, AD head, its classifier, its L1 loss.
ROWS = {
    'ablation/xception-clip': (None, False, False, False),
    'ablation/xception-cstm': ('CSTM', False, False, False),
    'ablation/xception-stm': ('STMBlock', False, False, False),
    'ablation/xception-mcb': ('MCB', False, False, False),
    'ablation/xception-ad': (None, True, True, True),
    'ablation/xception-stm-ad': ('STMBlock', True, True, True),
    'ablation/xception-mcb-ad-wo-cls': ('MCB', True, False, True),
    'ablation/xception-mcb-ad-wo-l1': ('MCB', True, True, False),
    'gml_xception': ('MCB', True, True, True),
}
SPLITS = ('train', 'val', 'test')


def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def shrink(model):
    """The same model at a sixteenth of the channels."""
    backbone, head = model.backbone, model.cls_head
    backbone.width, backbone.middle_blocks = 1 / 16, 2
    head.in_channels = 128
    if head.ad_head is not None:
        head.ad_head.in_channels = round(728 / 16)
    return MODELS.build(model)


@pytest.mark.parametrize('name', ROWS)
@pytest.mark.parametrize('ending', ['_ffpp', '-small_demo'])
def test_each_row_of_table_3_is_a_config(name, ending):
    block, ad, classify, l1 = ROWS[name]
    model = read(name + ending).model
    model = shrink(model) if ending == '_ffpp' else MODELS.build(model)
    slot = model.backbone.block1.rep[0].conv1
    assert type(slot).__name__ == (block or 'Conv2d')
    head = model.cls_head.ad_head
    assert (head is not None) == ad
    if ad:
        assert (head.fc_cls2 is not None) == classify
        assert (head.l1_weight > 0) == l1


def test_the_first_row_of_table_3_is_the_frame_wise_xception():
    model = read('baselines/xception_ffpp').model
    assert model.backbone == dict(type='Xception')
    assert model.cls_head.type == 'FrameHead'


@pytest.mark.parametrize('ending', ['_ffpp', '-small_demo'])
@pytest.mark.parametrize('part', ['motion', 'ad'])
def test_the_control_of_table_3_differs_from_its_row_in_one_thing(
    part, ending
):
    """Not so the frame-wise row, which has another head, too."""
    row = 'mcb' if part == 'motion' else 'ad'
    plain = read(f'ablation/xception-clip{ending}').model
    model = read(f'ablation/xception-{row}{ending}').model
    assert plain != model
    if part == 'motion':
        model.backbone.motion_block = plain.backbone.motion_block
    else:
        model.cls_head.ad_head = plain.cls_head.ad_head
    assert plain == model


@pytest.mark.parametrize('name', [*ROWS, 'baselines/xception'])
@pytest.mark.parametrize('ending', ['_ffpp', '-small_demo'])
def test_rows_of_table_3_differ_in_the_model_alone(name, ending):
    reference, row = read(f'gml_xception{ending}'), read(name + ending)
    for key in set(reference) | set(row):
        assert key == 'model' or row[key] == reference[key], key


def test_the_recipe_is_that_of_section_3():
    cfg = read('gml_xception_ffpp')
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'SGD'
    assert (optimizer.lr, optimizer.weight_decay) == (0.001, 1e-6)
    assert cfg.train_cfg.type == 'IterBasedTrainLoop'
    assert cfg.train_cfg.max_iters == 150_000
    assert cfg.train_dataloader.batch_size == 16
    for split in SPLITS:
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.clip_len == 8
        assert dataset.ann_file == f'{split}.json'


def test_what_the_recipe_adds_is_what_docs_training_lists():
    cfg = read('gml_xception_ffpp')
    assert cfg.optim_wrapper.optimizer.momentum == 0.9
    assert cfg.param_scheduler == []  # a constant rate
    loader = cfg.train_dataloader
    assert loader.sampler == dict(type='ClipSampler', shuffle=True)
    (flip,) = (t for t in loader.dataset.pipeline if t.type == 'Flip')
    assert flip.flip_ratio == 0.5
    values = cfg.model.data_preprocessor
    assert {*values['mean'], *values.std} == {127.5}  # [-1, 1]
    tsn = read('baselines/tsn_r50_ffpp')
    assert tsn.train_dataloader == loader  # consecutive frames
    rows = {
        path.stem: Config.fromfile(path)
        for path in ALL
        if path.parent.name == 'baselines' and 'small' not in path.stem
    }
    balanced = {
        name
        for name, row in rows.items()
        if row.train_dataloader.sampler.type == 'BalancedSampler'
    }
    assert balanced == {'f3net_xception_ffpp', 'two-branch_densenet121_ffpp'}
    optimizers = {
        name
        for name, row in rows.items()
        if row.optim_wrapper != cfg.optim_wrapper
    }
    assert optimizers == {
        *('recce_xception_ffpp', 'f3net_xception_ffpp'),
        *('mat_efficientnet-b4_ffpp', 'mat-paired_efficientnet-b4_ffpp'),
    }


@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_the_best_checkpoint_is_chosen_on_validation_video_auc(path):
    cfg = Config.fromfile(path)
    assert cfg.default_hooks.checkpoint.save_best == 'video/auc'
    assert cfg.val_dataloader.dataset.ann_file == 'val.json'


@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_every_name_and_keyword_of_a_config_is_known(path):
    keys = (*FIRST, *(key for phase in PHASES.values() for key in phase))
    check_config(Config.fromfile(path), keys)


@pytest.mark.parametrize('name', ['ffpp', 'dfo', 'cdf'])
def test_training_sets_differ_in_the_data_alone(name):
    reference, cfg = read('gml_xception_ffpp'), read(f'gml_xception_{name}')
    root = cfg.pop('data_root')
    assert reference.pop('data_root') == 'data/ffpp'
    for split in SPLITS:
        assert cfg[f'{split}_dataloader'].dataset.pop('data_root') == root
        reference[f'{split}_dataloader'].dataset.pop('data_root')
    assert cfg.to_dict() == reference.to_dict()


def test_gml_on_pairs_differs_in_its_sampler_alone():
    reference = read('gml_xception_ffpp')
    cfg = read('gml_xception_pairs_ffpp')
    assert cfg.train_dataloader.pop('sampler') == dict(type='PairSampler')
    reference.train_dataloader.pop('sampler')
    assert cfg.to_dict() == reference.to_dict()


def test_gml_from_imagenet_differs_in_its_start_alone():
    reference = read('gml_xception_ffpp')
    cfg = read('gml_xception_imagenet_ffpp')
    start = cfg.model.backbone.pop('init_cfg')
    assert start.checkpoint == 'xception-43020ad28.pth'
    block = cfg.model.backbone.motion_block
    assert block.pop('temporal_init') == 'identity'
    assert block.pop('expand_init') == 'zero'
    for name in ('temporal_init', 'expand_init'):
        reference.model.backbone.motion_block.pop(name, None)
    assert cfg.to_dict() == reference.to_dict()


@pytest.fixture(scope='module', params=['crops', 'boxes'])
def prepared(request, talking_head, tmp_path_factory):
    """A track for each split, of 10 and of 38 frames, in either store."""
    out = tmp_path_factory.mktemp(request.param)
    for frames in (10, 38):
        for split in SPLITS:
            write_track(
                out / str(frames), split, frames, request.param, talking_head
            )
    return out


def write_track(out, split, frames, store, talking_head):
    """Prepared data of one video in which every other frame is taken."""
    out.mkdir(exist_ok=True)
    entry = dict(video_id=split, track=0, num_frames=frames, label=1)
    entry['method'] = 'Deepfakes'
    if store == 'boxes':
        talking_head(out / f'{split}.mp4', 2 * frames)
        place = dict(video=f'{split}.mp4', start=0, square=[9, -4, 150])
    else:
        place = dict(frame_dir=f'frames/{split}/0')
        (out / place['frame_dir']).mkdir(parents=True)
        image = np.random.default_rng(0).integers(0, 256, (224, 224, 3))
        for i in range(frames):
            path = out / place['frame_dir'] / f'{i:06}.png'
            assert cv2.imwrite(str(path), image.astype(np.uint8))
    metainfo = dict(store=store, stride=2, root='.')
    metainfo['filename_tmpl'] = '{:06}.png'
    annotation = dict(metainfo=metainfo, data_list=[{**entry, **place}])
    (out / f'{split}.json').write_text(json.dumps(annotation))


# Frames of a clip and side of a crop where they are not the paper's 8 and 224.
OTHERS = {
    'ftcn_i3d-r50_ffpp': (32, 224),
    'altfreezing_i3d-r50_ffpp': (32, 224),
    'videoswin-t_ffpp': (32, 224),
    'csn_r50_ffpp': (32, 224),
    'videomae_vit-s_ffpp': (16, 224),
    'x3d_m_ffpp': (16, 224),
    'istvt_xception_ffpp': (6, 300),
    'tall_swin-b_ffpp': (4, 112),
    'tall_swin-b-small_demo': (4, 64),
    'tsm_mobilenet-v2-small-112_genuine': (8, 112),
}


@pytest.mark.parametrize(
    'path',
    [path for path in ALL if path not in GENUINE],
    ids=lambda path: path.stem,
)
def test_every_config_reads_prepared_data_of_either_store(path, prepared):
    cfg = Config.fromfile(path)
    usual = 8, 64 if 'small' in path.stem else 224
    frames, side = OTHERS.get(path.stem, usual)
    for split in SPLITS:
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(prepared / ('10' if frames <= 8 else '38'))
        item = DATASETS.build(dataset)[0]
        assert item['inputs'].shape == (1, 3, frames, side, side)
        assert item['inputs'].float().std() > 10
        sample = item['data_samples']
        assert sample.gt_label == 1
        if split != 'train':
            place = (sample.video_id, sample.track, sample.clip_index)
            assert place == (split, 0, 0)
            assert sample.method == 'Deepfakes'


@pytest.mark.slow
@pytest.mark.parametrize('path', GENUINE, ids=lambda path: path.stem)
def test_a_config_of_pseudo_fakes_reads_genuine_videos_of_either_store(
    path, prepared, tmp_path
):
    """The same videos, called real; in validation a pair by family."""
    cfg = Config.fromfile(path)
    _, side = OTHERS.get(path.stem, (8, 64 if 'small' in path.stem else 224))
    for split in SPLITS:
        folder = prepared / '10'
        annotation = json.loads((folder / f'{split}.json').read_text())
        annotation['data_list'][0].update(label=0, method='real')
        (tmp_path / f'{split}.json').write_text(json.dumps(annotation))
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(folder)
        dataset.ann_file = str(tmp_path / f'{split}.json')
        items = [*DATASETS.build(dataset)]
        labels = [int(item['data_samples'].gt_label) for item in items]
        families = len(dataset.families) if split != 'test' else 0
        pairs = {'train': 1, 'val': families, 'test': 0}[split]
        assert labels == (pairs * [0, 1] or [0])
        for item in items:
            assert item['inputs'].shape == (1, 3, 8, side, side)
        if split == 'val':
            methods = [item['data_samples'].method for item in items[1::2]]
            assert methods == [family.type for family in dataset.families]


def test_configs_of_pseudo_fakes_have_the_networks_of_the_others():
    for name, other in (
        ('gml_xception_genuine', 'gml_xception_ffpp'),
        ('gml_xception-small_genuine', 'gml_xception-small_demo'),
        ('xception_genuine', 'baselines/xception_ffpp'),
        ('xception-small_genuine', 'baselines/xception-small_demo'),
        ('efficientnet_b4_genuine', 'baselines/efficientnet_b4_ffpp'),
        (
            'efficientnet_b4-small_genuine',
            'baselines/efficientnet_b4-small_demo',
        ),
    ):
        assert read(f'genuine/{name}').model == read(other).model, name


@pytest.mark.slow
def test_full_gml_builds_with_matching_channels():
    model = MODELS.build(read('gml_xception_ffpp').model)
    million = sum(p.numel() for p in model.parameters()) / 1e6
    # Xception+MCB 23.11 (2-way classifier included) and AD 5.09.
    assert million == pytest.approx(23.11 + 5.09, abs=0.02)
