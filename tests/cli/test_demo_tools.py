"""The demo's tools: on a tiny set, and the models that they compare."""

import json
import sys
from pathlib import Path

import pytest
import warm
from mmaction.registry import MODELS
from mmengine.config import Config

from gml_mmaction.errors import GMLError

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def demo(monkeypatch, load_tool):
    return load_tool('demo')


@pytest.fixture
def ablation(demo, load_tool):
    return load_tool('ablation')


SLOTS = {
    'Xception': ('Conv2d', False),
    'Xception+CSTM': ('CSTM', False),
    'Xception+STM': ('STMBlock', False),
    'Xception+MCB': ('MCB', False),
    'GML (Xception+MCB+AD)': ('MCB', True),
}


@pytest.mark.parametrize('system', SLOTS)
def test_the_ablation_compares_what_its_rows_say(ablation, system):
    model = MODELS.build(Config.fromfile(ablation.config_of(system)).model)
    slot = type(model.backbone.block1.rep[0].conv1).__name__
    has_ad = getattr(model.cls_head, 'ad_head', None) is not None
    assert (slot, has_ad) == SLOTS[system]


def test_the_ablation_tabulates_seeds_of_one_budget(ablation, tmp_path):
    for iters, seed, auc in ((300, 0, 0.5), (300, 1, 0.7), (9, 0, 1.0)):
        path = ablation.result_path(
            tmp_path, 'jitter', 'Xception', seed, iters
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({'video/auc': auc}))
    values = ablation.read_results(tmp_path, 300, 'video/auc')
    assert values == {('jitter', 'Xception'): [0.5, 0.7]}
    (row,) = ablation.format_table(values).splitlines()[2:]
    assert row == '| Xception | - | 0.600 (0.500 to 0.700, 2) | - |'


def test_a_training_without_validation_says_what_to_do(demo, tmp_path):
    with pytest.raises(GMLError, match='give more --iters'):
        demo.best_checkpoint(tmp_path)


def test_versions_leave_out_what_is_not_installed(demo):
    versions = demo.installed_versions()
    assert versions['python'] == '.'.join(map(str, sys.version_info[:3]))
    assert {'torch', 'mmengine', 'mmaction2'} <= set(versions)
    assert all(versions.values())


@pytest.mark.slow
def test_from_made_up_videos_to_scores(demo, tmp_path, capfd, monkeypatch):
    """All four tools on a tiny set, and the table at the end."""
    monkeypatch.setattr(sys, 'executable', warm.python())
    sizes = ('--num-train', 8, '--num-val', 4, '--num-test', 4)
    seconds = demo.make_data(tmp_path, *sizes, '--frames', 32)
    demo.draw_videos(tmp_path / 'videos', tmp_path / 'contact_sheet.png')
    metrics, trained = demo.train_and_test(
        str(demo.CONFIG),
        tmp_path / 'crops',
        tmp_path / 'run',
        0,
        *('train_cfg.max_iters=2', 'train_cfg.val_interval=2'),
        *('model.backbone.width=0.0625', 'model.cls_head.in_channels=128'),
        'model.cls_head.ad_head.in_channels=46',
    )
    assert 0 <= metrics['video/auc'] <= 1
    assert set(seconds) | set(trained) == {'videos', 'crops', 'train', 'test'}
    capfd.readouterr()
    demo.print_summary(metrics, {**seconds, **trained}, tmp_path)
    printed = capfd.readouterr().out
    assert f'video{metrics["video/auc"]:>23.3f}' in printed
    for line in printed.splitlines():
        if line.startswith(('log', 'curves', 'checkpoint', 'contact')):
            assert Path(line.split()[-1]).is_file()
