"""What the experiments compare, and their tables."""

import math

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from tiny import REPO

from gml_mmaction.engine.config_check import change_settings
from gml_mmaction.engine.settings import settle_hooks
from gml_mmaction.evaluation.experiments import (
    EXPERIMENTS,
    VIDEOS,
    Experiment,
    Variant,
    difference_table,
    first_hit,
    hits_table,
    mean_interval,
    metric_table,
    pairs_table,
    untrained_table,
)
from gml_mmaction.evaluation.paper_tables import GML
from gml_mmaction.evaluation.since_the_paper import (
    CONTROLS,
    PUBLISHED,
    TARGETS,
)
from gml_mmaction.evaluation.since_the_paper import SYSTEMS as SINCE
from gml_mmaction.synthetic.kinds import KINDS

SLOTS = {
    'Xception': ('Conv2d', False),
    'Xception+CSTM': ('CSTM', False),
    'Xception+STM': ('STMBlock', False),
    'Xception+MCB': ('MCB', False),
    'GML (Xception+MCB+AD)': ('MCB', True),
}
ROWS = [
    (name, variant)
    for name in ('one-site', 'all-sites', 'initial-values')
    for variant in EXPERIMENTS[name].variants
]


def settings(name, variant):
    """The config of a run."""
    experiment = EXPERIMENTS[name]
    config, options = experiment.variants[variant]
    cfg = Config.fromfile(REPO / 'configs' / config)
    change_settings(cfg, [*experiment.options, *options])
    return cfg


@pytest.mark.parametrize('system', SLOTS)
def test_a_system_is_what_its_row_says(system):
    model = MODELS.build(settings('systems', system).model)
    slot = type(model.backbone.block1.rep[0].conv1).__name__
    has_ad = getattr(model.cls_head, 'ad_head', None) is not None
    assert (slot, has_ad) == SLOTS[system]


@pytest.mark.parametrize(('name', 'variant'), ROWS)
def test_a_variant_is_what_its_row_says(name, variant):
    cfg = settings(name, variant)
    model = MODELS.build(cfg.model)
    blocks = [
        (place, module)
        for place, module in model.backbone.named_modules()
        if type(module).__name__ in ('MCB', 'STMBlock')
    ]
    has_ad = model.cls_head.ad_head is not None
    assert has_ad == (name == 'initial-values')
    if variant == 'Xception':
        assert not blocks
        return
    sites = {'one-site': 1}.get(name, 10)
    assert len(blocks) == sites
    for _, block in blocks:
        assert type(block).__name__ == (
            'STMBlock' if variant == 'STM' else 'MCB'
        )
        assert block.shared == ('separate' not in variant)
        zero = not block.expand.weight.any()
        assert zero == ('zero' in variant)
    if name == 'initial-values':
        temporal, motion = variant.partition(' (')[0].split(', ')[:2]
        chosen = cfg.model.backbone.motion_block
        assert (chosen.temporal_init, chosen.motion_init) == (temporal, motion)


REACH = {'Xception': 0, 'STM': 1, 'MCB shared': 2, 'MCB separate': 2}


@pytest.mark.parametrize('variant', REACH)
def test_at_one_site_a_block_sees_two_frames_or_three(variant):
    """How far back a frame's features look, by changing one frame."""
    torch.manual_seed(0)
    backbone = MODELS.build(settings('one-site', variant).model).backbone
    clip = torch.randn(1, 3, 8, 64, 64)
    backbone.train()(clip)  # batch norms that are not the identity
    backbone.eval()
    other = clip.clone()
    other[:, :, 3] += torch.randn(3, 64, 64)
    with torch.no_grad():
        difference = backbone(clip)[-1] - backbone(other)[-1]
    changed = difference.abs().amax(dim=(0, 2, 3, 4)).nonzero().flatten()
    assert changed.tolist() == list(range(3, 4 + REACH[variant]))


def test_at_one_site_the_temporal_kernel_does_not_learn():
    cfg = settings('one-site', 'MCB separate')
    model = MODELS.build(cfg.model)
    backbone = model.backbone
    before = {k: v.clone() for k, v in backbone.named_parameters()}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for _ in range(2):
        loss = backbone(torch.randn(2, 3, 8, 64, 64))[-1].square().sum()
        wrapper.update_params(loss)
    kept = {
        name
        for name, value in backbone.named_parameters()
        if torch.equal(value, before[name])
    }
    assert kept == {'block1.rep.3.conv1.cstm.temporal.weight'}
    assert before[kept.pop()][:, 0, :, 0].eq(torch.tensor([0, 1, 0])).all()


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_an_experiments_parts_exist(name):
    experiment = EXPERIMENTS[name]
    assert set(experiment.kinds) <= set(KINDS)
    assert experiment.videos in VIDEOS
    assert experiment.iters % experiment.val_interval == 0
    for pair in experiment.pairs:
        assert set(pair) <= set(experiment.variants)


@pytest.mark.parametrize('variant', EXPERIMENTS['genuine'].variants)
def test_a_row_of_genuine_videos_has_its_network_and_families(variant):
    cfg = settings('genuine', variant)
    network, _, family = variant.partition(', ')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = loader.dataset
        assert dataset.type == 'GenuineClipDataset'
        used = [
            one.type
            for one, weight in zip(dataset.families, dataset.weights)
            if weight
        ]
        whole = ['MotionSelfBlend', 'PartMotion']
        assert used == (
            [family] if family else whole[:1] if 'X' in network else whole
        )
    model = MODELS.build(cfg.model)
    slot = type(model.backbone.block1.rep[0].conv1).__name__
    kinds = {'GML': 'MCB', 'STM': 'STMBlock', 'Xception': 'Conv2d'}
    assert slot == kinds[network]


TWO = Experiment(
    {'A': Variant('a.py'), 'B': Variant('b.py'), 'C': Variant('c.py')},
    kinds=('jitter', 'triplet'),
    seeds=4,
    iters=100,
    val_interval=50,
    pairs=(('A', 'B'),),
)


def record(auc, *validation):
    steps = [[50 * (i + 1), value] for i, value in enumerate(validation)]
    return {'metrics': {'video/auc': auc}, 'validation': steps}


RUNS = {
    ('jitter', 'A', 0): record(0.9, 0.2, 0.95),
    ('jitter', 'A', 1): record(0.8, 0.9, 0.1),
    ('jitter', 'A', 2): record(1.0, 0.5, 0.89),
    ('jitter', 'B', 0): record(0.5, 0.5, 0.5),
    ('jitter', 'B', 2): record(0.7, 0.5, 0.5),
    ('triplet', 'A', 0): record(1.0, 1.0),
    ('triplet', 'A', 1): record(1.0, 1.0),
}


def cells(lines):
    """Cells of a Markdown table without its rule."""
    return [
        [cell.strip() for cell in line.strip('|').split('|')]
        for i, line in enumerate(lines)
        if i != 1
    ]


def test_students_interval_equals_that_of_a_table():
    """Of 0.8, 0.9, 1.0: t(0.975, 2) is 4.302653, the error 0.1 / sqrt(3)."""
    mean, low, high = mean_interval([0.9, 0.8, 1.0])
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert [mean, low, high] == pytest.approx([0.9, 0.9 - half, 0.9 + half])


def test_students_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for values in rng.normal(0.7, 0.1, (1000, 6)):
        _, low, high = mean_interval(list(values))
        held += low < 0.7 < high
    assert 930 < held < 970


@pytest.mark.parametrize('values', [[0.5], [1.0, 1.0, 1.0]])
def test_equal_values_have_no_interval(values):
    assert mean_interval(values) == (values[0], None, None)


def test_a_table_has_means_intervals_and_numbers_of_seeds():
    assert cells(metric_table(RUNS, TWO)) == [
        ['', 'jitter', 'triplet'],
        ['A', '0.900 [0.652, 1.000] (3)', '1.000 (2)'],
        ['B', '0.600 [0.000, 1.000] (2)', '-'],
    ]


def test_differences_are_of_the_same_seed():
    """0.9 - 0.5 and 1.0 - 0.7; t(0.975, 1) is 12.7062."""
    half = 12.7062 * 0.05
    interval = f'[{0.35 - half:+.3f}, {0.35 + half:+.3f}]'
    assert cells(difference_table(RUNS, TWO))[1:] == [
        ['A minus B', f'+0.350 {interval} (2)', '-']
    ]


def test_runs_that_do_not_reach_it_are_later_than_all_others():
    assert [
        first_hit(RUNS['jitter', 'A', i]['validation']) for i in range(3)
    ] == [
        100,
        50,
        math.inf,
    ]
    assert cells(hits_table(RUNS, TWO))[1:] == [
        ['A', '100 (2 of 3)', '50 (2 of 2)'],
        ['B', 'not (0 of 2)', '-'],
    ]


def test_no_runs_are_no_table():
    assert metric_table({}, TWO) == hits_table({}, TWO) == []
    assert difference_table({}, TWO) == []


def test_detectors_since_the_paper_have_a_full_and_a_small_config():
    full = {
        path.stem.removesuffix('_ffpp')
        for path in (REPO / 'configs/video').glob('*_ffpp.py')
    }
    named = {stem.removeprefix('video/') for stem in SINCE.values()}
    assert named == full - {'ftcn_i3d-r50-8'}
    variants = EXPERIMENTS['since-the-paper'].variants
    for config, _ in variants.values():
        assert (REPO / 'configs' / config).is_file()
    assert list(variants) == [GML, *SINCE, *CONTROLS]


@pytest.mark.parametrize('system', EXPERIMENTS['usual-start'].variants)
def test_a_usual_start_has_no_hook_that_starts(system):
    hooks = 'MimeticStartHook', 'WhitenedStartHook', 'DifferenceStartHook'
    started, usual = (
        settings(name, system) for name in ('since-the-paper', 'usual-start')
    )
    settle_hooks(usual)
    for cfg, wanted in ((started, True), (usual, False)):
        kinds = {hook['type'] for hook in cfg.default_hooks.values()}
        assert bool(kinds & {*hooks}) == wanted
    assert not usual.model.backbone.get('thumbnail')
    assert usual.model.cls_head.get('positions_std', 1) == 1


def test_the_document_says_what_was_published():
    text = (REPO / 'docs/systems.md').read_text(encoding='utf-8')
    said = text.partition('Published AUCs')[2]
    said = said.partition('Ours are not measured')[0]
    rows = [line for line in said.splitlines() if line.startswith('| ')]
    assert len(rows) == 1 + len(PUBLISHED)
    for number, row in zip(PUBLISHED, rows[1:], strict=True):
        cells = [cell.strip() for cell in row.split('|')[1:-1]]
        assert cells[:3] == [number.system, number.measured_by, number.level]
        values = [number.auc.get(target) for target in TARGETS]
        assert cells[3:] == ['-' if v is None else f'{v}' for v in values]
        assert (number.level == 'unstated') == (number.system == GML)
    systems = {number.system for number in PUBLISHED}
    assert {GML, 'FTCN', 'AltFreezing', 'TALL'} <= systems


def test_the_null_and_the_pairs_are_counted_over_all_seeds():
    metrics = {'pair/fakes': 4, 'pair/higher': 4, 'pair/ties': 0}
    metrics |= {'pair/originals': 4, 'pair/p': 0.125, 'pair/auc': 1.0}
    runs = {
        ('jitter', 'A', seed): dict(
            metrics=metrics | {'video/auc': 1.0},
            untrained={'video/auc': [0.4 + 0.1 * seed, 0.5]},
        )
        for seed in (0, 1, 2)
    }
    assert untrained_table(runs, TWO)[2].split('|')[1:3] == [
        ' A ',
        ' 0.400 to 0.600 (6) ',
    ]
    # twelve of twelve by a coin: 2 / 2 ** 12
    assert '12 of 12 (p 0.00049)' in pairs_table(runs, TWO)[2]
    assert pairs_table(RUNS, TWO) == untrained_table(RUNS, TWO) == []
