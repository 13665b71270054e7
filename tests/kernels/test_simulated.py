"""Losses of every small config on a GPU that is not there.

Tensors without numbers go by PyTorch's own rules of a GPU: what is computed
where, in which type. For a build of PyTorch with CUDA; no GPU is needed.
"""

import pytest
import torch
from mmaction.models.backbones.swin import compute_mask
from tiny import REPO
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gml_mmaction.explain.cost import (
    Setting,
    build_detector,
    own_clips,
    pack_clips,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        torch.version.cuda is None, reason='for a PyTorch built with CUDA'
    ),
]
CONFIGS = sorted(
    path
    for path in REPO.glob('configs/**/*small*.py')
    if path.parent.name != '_base_' and not path.stem.endswith('_videos')
)
# cuDNN's recurrent layers ask a GPU's driver.
RECURRENT = ('lstm', 'two-branch')


def move(model):
    """Let all that a network holds be on a GPU, without numbers."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, value in held.items():
                if value is not None:
                    fake = torch.empty_strided(
                        *(value.shape, value.stride()),
                        dtype=value.dtype,
                        device='cuda',
                    )
                    if held is module._parameters:
                        fake = nn.Parameter(fake, value.requires_grad)
                    held[name] = fake


@pytest.fixture(autouse=True)
def _no_masks_stay():
    """Swin keeps masks, which have no numbers here."""
    yield
    compute_mask.cache_clear()


@pytest.mark.parametrize('amp', [None, 'bf16'])
@pytest.mark.parametrize('config', CONFIGS, ids=lambda path: path.stem)
def test_losses_are_computed_on_the_gpu(config, amp, monkeypatch):
    if config.stem.startswith(RECURRENT):
        pytest.skip('its recurrent layer asks for a driver')
    setting = own_clips(config, Setting(2, device='cuda', amp=amp))
    model = build_detector(config, setting.frames)
    clips = pack_clips(2, setting.frames, setting.size)
    data = model.data_preprocessor(clips, True)
    # what heads of the host compute for the log, on a CPU
    monkeypatch.setattr(
        'mmaction.models.heads.base.top_k_accuracy', lambda *_: [0.0]
    )
    monkeypatch.setattr(torch.Tensor, 'numpy', lambda self: self)
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(model)
        inputs = data['inputs']
        inputs = torch.empty(inputs.shape, dtype=inputs.dtype, device='cuda')
        with torch.autocast('cuda', torch.bfloat16, enabled=amp is not None):
            losses = model.train()(inputs, data['data_samples'], mode='loss')
    found = {name: v for name, v in losses.items() if 'loss' in name}
    assert found
    assert {value.device.type for value in found.values()} == {'cuda'}
    assert all(value.requires_grad for value in found.values())
