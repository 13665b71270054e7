"""The demo's tools on a tiny set."""

import sys
from pathlib import Path

import pytest
import warm
from tiny import OWN_XCEPTION

from gml_mmaction.errors import GMLError

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def demo(monkeypatch, load_tool):
    return load_tool('demo')


def test_a_training_without_validation_says_what_to_do(demo, tmp_path):
    with pytest.raises(GMLError, match='give more --iters'):
        demo.best_checkpoint(tmp_path)


def test_versions_leave_out_what_is_not_installed(demo):
    versions = demo.installed_versions()
    assert versions['python'] == '.'.join(map(str, sys.version_info[:3]))
    assert {'torch', 'mmengine', 'mmaction2'} <= set(versions)
    assert all(versions.values())


@pytest.mark.slow(15)
def test_from_made_up_videos_to_scores(demo, tmp_path, capfd, monkeypatch):
    """All four tools on a tiny set, and the table at the end."""
    monkeypatch.setattr(sys, 'executable', warm.python())
    sizes = ('--num-train', 8, '--num-val', 4, '--num-test', 4)
    seconds = demo.make_data(tmp_path, *sizes, '--frames', 32)
    own = tmp_path / 'own_xception.py'
    own.write_text(OWN_XCEPTION)
    demo.draw_videos(tmp_path / 'videos', tmp_path / 'contact_sheet.png')
    metrics, trained = demo.train_and_test(
        str(demo.CONFIG),
        tmp_path / 'crops',
        tmp_path / 'run',
        0,
        *('train_cfg.max_iters=2', 'train_cfg.val_interval=2'),
        *('model.backbone.width=0.0625', 'model.cls_head.in_channels=128'),
        'model.cls_head.ad_head.in_channels=46',
        'model.backbone.type=OwnXception',
        imports=('--import', str(own)),
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
