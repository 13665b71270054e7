"""Facts about the detectors since the paper, as their configs build them."""

import functools
import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from networks import pack, randomise, relative_error
from tiny import REPO
from torch.utils.flop_counter import FlopCounterMode

from gml_mmaction.engine.config_check import change_settings
from gml_mmaction.engine.settings import LOADERS

CONFIGS = REPO / 'configs/video'
FULL = sorted(CONFIGS.glob('*_ffpp.py'))
SMALL = sorted(CONFIGS.glob('*-small_demo.py'))
# Millions of parameters and 10^9 multiplications that others have published,
# for these networks with their own classifiers of more classes.
PUBLISHED = {
    'videoswin-t_ffpp': (28.2, 88),
    'timesformer_vit-b_ffpp': (121.4, 196),
    'videomae_vit-s_ffpp': (22, 57),
    'x3d_m_ffpp': (3.8, 4.73),
    'r2plus1d_r34_ffpp': (63.8, None),
    'csn_r50_ffpp': (13.1, None),
    'tsm_r50_ffpp': (24.3, 32.9),
}


def clip_of(cfg):
    """Frames and pixels."""
    dataset = cfg.test_dataloader.dataset
    (size,) = (s.size for s in dataset.pipeline if s.type == 'FaceCrop')
    return dataset.clip_len, size


@functools.cache
def counted(path):
    """Millions of parameters, 10^9 multiplications, without memory."""
    cfg = Config.fromfile(path)
    frames, size = clip_of(cfg)
    model = MODELS.build(cfg.model).to('meta')
    model.eval()
    frame_wise = cfg.model.type == 'Recognizer2D'
    shape = (frames, 3) if frame_wise else (1, 3, frames)
    given = dict(num_segs=frames) if frame_wise else {}
    clip = torch.zeros(*shape, size, size, device='meta')
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.cls_head(model.backbone(clip), **given)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    return millions, counter.get_total_flops() / 2e9


@pytest.mark.slow
@pytest.mark.parametrize('path', FULL, ids=lambda path: path.stem)
def test_the_document_says_what_each_costs(path):
    millions, giga = counted(path)
    table = (REPO / 'docs/systems.md').read_text(encoding='utf-8')
    row = re.search(rf'^\| `{path.name}` \|.*$', table, re.M)[0].split('|')
    clip = clip_of(Config.fromfile(path))
    assert re.findall(r'\d+', row[3]) == [str(number) for number in clip]
    assert float(row[4]) == pytest.approx(millions, abs=0.051)
    assert float(row[5]) == pytest.approx(giga, abs=0.051)


@pytest.mark.slow
@pytest.mark.parametrize('name', PUBLISHED)
def test_the_network_has_the_published_size(name):
    millions, giga = counted(CONFIGS / f'{name}.py')
    params, flops = PUBLISHED[name]
    assert millions == pytest.approx(params, abs=0.9)
    if flops is not None:
        assert giga == pytest.approx(flops, rel=0.02)


def small(path):
    cfg = Config.fromfile(path)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    frames, size = clip_of(cfg)
    generator = torch.Generator().manual_seed(1)
    shape = (2, 3, frames, size, size)
    return model, torch.randint(0, 256, shape, generator=generator).float()


@pytest.mark.parametrize('path', SMALL, ids=lambda path: path.stem)
@torch.no_grad()
def test_each_knows_the_order_of_frames(path):
    model, clips = small(path)
    randomise(model)
    model.eval()

    def logits(clips):
        data = model.data_preprocessor(pack(clips, [0, 1]), False)
        return model.extract_feat(data['inputs'], stage='head')[0]

    there, back = logits(clips), logits(clips.flip(2))
    assert relative_error(back, there) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('path', SMALL, ids=lambda path: path.stem)
def test_each_learns_two_clips_by_heart(path):
    model, clips = small(path)
    model.init_weights()
    model.train()
    data = model.data_preprocessor(pack(clips, [0, 1]), True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        total, _ = model.parse_losses(model(**data, mode='loss'))
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert min(losses[-3:]) < 0.7 * losses[0]


@pytest.mark.parametrize('frames', [16, 32])
@pytest.mark.parametrize(
    'path',
    [*SMALL, REPO / 'configs/gml_xception-small_demo.py'],
    ids=lambda path: path.stem,
)
@torch.no_grad()
def test_one_setting_makes_the_clips_longer(path, frames):
    """In every loader and in the network, whose answer knows all frames."""
    cfg = Config.fromfile(path)
    change_settings(cfg, [f'clip_len={frames}'])
    for loader in LOADERS:
        assert cfg[loader].dataset.clip_len == frames
    model = MODELS.build(cfg.model).to('meta').eval()
    clips = torch.zeros(1, 3, frames, *2 * [clip_of(cfg)[1]], device='meta')
    frame_wise = cfg.model.type == 'Recognizer2D'
    inputs = clips[0].transpose(0, 1) if frame_wise else clips
    features = model.backbone(inputs)
    given = dict(num_segs=frames) if frame_wise else {}
    scores = model.cls_head(features, **given)
    scores = scores[0] if isinstance(scores, tuple) else scores
    assert scores.shape[-1] == 2
