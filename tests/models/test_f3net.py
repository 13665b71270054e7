"""Facts about F3-Net, against SciPy's DCT, loops and published numbers."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from networks import predict_and_loss, randomise
from scipy.fft import dctn
from torch import nn

from gml_mmaction.models import F3Net, Xception
from gml_mmaction.models.f3net import (
    FAD,
    LFS,
    Exchange,
    MixBlock,
    dct_matrix,
    resample,
)

CONFIGS = Path(__file__).parents[2] / 'configs'
SMALL = dict(
    size=64, width=1 / 16, middle_blocks=2, mix_stages=('block4', 'block12')
)


def silence(module):
    """Take the learnable part out of its filters."""
    nn.init.zeros_(module.filters.learnable)
    return module


def waves(size, *frequencies):
    """Frames of one row of the DCT basis in both directions each."""
    d = dct_matrix(size)
    return torch.stack(
        [torch.outer(d[k], d[k]).expand(3, -1, -1) for k in frequencies]
    )


def test_the_dct_equals_scipy():
    x = torch.randn(3, 31, 31)
    d = dct_matrix(31)
    expected = dctn(x.numpy(), axes=(1, 2), norm='ortho')
    np.testing.assert_allclose(d @ x @ d.mT, expected, atol=1e-5)


def test_the_unfiltered_band_of_fad_is_the_frame():
    x = torch.randn(2, 3, 32, 32)
    assert torch.allclose(silence(FAD(32))(x)[:, 9:], x, atol=1e-5)


@pytest.mark.parametrize('edges', [(2,), (8**-0.5, 0.5, 2)])
def test_filters_that_pass_everything_give_the_frame_in_every_band(edges):
    fad = silence(FAD(24, edges))
    fad.filters.base.fill_(1)
    x = torch.randn(2, 3, 24, 24)
    bands = fad(x).unflatten(1, (-1, 3))
    assert torch.allclose(bands, x[:, None].expand_as(bands), atol=1e-5)


def test_fad_sorts_waves_into_its_bands_of_a_16th_and_an_8th():
    # i + j of 16, 26 and 40 in 64: edges at 64 / sqrt(8) and 64 / 2.
    x = waves(64, 8, 13, 20)
    bands = silence(FAD(64))(x).unflatten(1, (4, 3))
    passed = (bands.abs().amax(dim=(2, 3, 4)) > 1e-5).int().tolist()
    assert passed == [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]


def test_default_bands_hold_the_stated_parts_of_the_spectrum():
    low, middle, high, whole = FAD(1000).filters.base.mean(dim=(1, 2))
    assert low == pytest.approx(1 / 16, abs=1e-3)
    assert middle == pytest.approx(1 / 16, abs=1e-3)
    assert high == pytest.approx(7 / 8, abs=1e-3)
    assert whole == 1


def test_learnable_filters_add_between_minus_1_and_1():
    fad = FAD(16)
    nn.init.constant_(fad.filters.learnable, np.log(3))  # sigmoid = 3/4
    assert torch.allclose(fad.filters(), fad.filters.base + 0.5)


def statistics(x, filters, log_first):
    """LFS of one frame by a loop over windows."""
    grey = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]
    grey = np.pad((grey + 1) * 127.5, 4)
    starts = range(0, grey.shape[0] - 9, 2)
    counts = [(f >= 0.5).sum() for f in filters]
    out = np.empty((6, len(starts), len(starts)))
    for r, top in enumerate(starts):
        for s, left in enumerate(starts):
            window = grey[top : top + 10, left : left + 10]
            c = np.abs(dctn(window, norm='ortho'))
            for band, (f, n) in enumerate(zip(filters, counts)):
                if log_first:
                    y = (np.log10(c + 1e-15) * f).sum() / n
                else:
                    y = np.log10((c * np.abs(f)).sum() / n + 1e-15)
                out[band, r, s] = y
    return out


@pytest.mark.parametrize('log_first', [True, False])
def test_lfs_equals_a_loop_over_windows(log_first):
    lfs = LFS(log_first)
    torch.manual_seed(0)  # a logarithm near zero errs by more than the limit
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    filters = lfs.filters().detach().double().numpy()
    expected = [statistics(f, filters, log_first) for f in x.double().numpy()]
    ours = lfs(x).detach()
    assert ours.shape == (2, 6, 8, 8)
    np.testing.assert_allclose(ours, np.stack(expected), rtol=0, atol=1e-3)


def test_lfs_bands_are_sixths_of_the_diagonal():
    i, j = np.indices((10, 10))
    for k, band in enumerate(LFS().filters.base.numpy()):
        inside = (i + j >= k * 20 / 6) & (i + j <= (k + 1) * 20 / 6)
        np.testing.assert_array_equal(band, inside)


@torch.no_grad()
def test_mix_block_equals_loops_over_channels():
    mix = randomise(MixBlock(3)).double().eval()
    x_fad, x_lfs = torch.randn(2, 2, 3, 5, 5).double()
    out_fad, out_lfs = x_fad.clone(), x_lfs.clone()
    for m in range(2):
        queries = mix.query_fad(x_fad)[m], mix.query_lfs(x_lfs)[m]
        keys = mix.key_fad(x_fad)[m], mix.key_lfs(x_lfs)[m]
        for c in range(3):
            q = torch.cat([f[c] for f in queries], dim=1)
            k = torch.cat([f[c] for f in keys], dim=1)
            attention = torch.stack([(k @ row).softmax(0) for row in q])
            for out, x, to in (
                (out_fad, x_lfs, mix.to_fad),
                (out_lfs, x_fad, mix.to_lfs),
            ):
                gain = 2 * to.gamma.sigmoid() - 1
                y = to.conv.weight[c] * gain * x[m, c] * attention
                y = y + to.conv.bias[c] - to.norm.running_mean[c]
                y = y / (to.norm.running_var[c] + to.norm.eps).sqrt()
                out[m, c] += (to.norm.weight[c] * y + to.norm.bias[c])[0]
    ours = mix(x_fad, x_lfs)
    torch.testing.assert_close(ours[0], out_fad)
    torch.testing.assert_close(ours[1], out_lfs)


def test_a_new_exchange_ignores_what_it_is_given():
    exchange = Exchange(4)
    x = torch.randn(2, 4, 5, 5)
    assert torch.allclose(exchange(x), torch.tensor(0.0), atol=1e-4)
    y = exchange.eval()(x)
    assert torch.equal(y, y[:1, :, :1, :1].expand_as(y))


def test_parameters_are_those_of_the_public_code():
    backbone = F3Net()
    head = nn.Linear(4096, 2)
    count = sum(p.numel() for m in (backbone, head) for p in m.parameters())
    assert count / 1e6 == pytest.approx(48.16, abs=5e-3)


@pytest.mark.slow
def test_multiplications_are_those_of_the_public_code():
    info = get_model_complexity_info(
        F3Net().eval(), (3, 224, 224), show_table=False, show_arch=False
    )
    assert info['flops'] / 1e9 == pytest.approx(9.99, rel=0.03)


def test_checkpoints_hold_neither_the_dct_nor_the_fixed_bands():
    names = F3Net(**SMALL).state_dict()
    assert not [name for name in names if name.endswith(('dct', 'base'))]
    assert [name for name in names if name.startswith(('fad.', 'lfs.'))] == [
        'fad.filters.learnable',
        'lfs.filters.learnable',
    ]


def test_a_checkpoint_of_the_same_size_loads_bit_for_bit():
    source, loaded = F3Net(**SMALL), F3Net(**SMALL)
    loaded.load_state_dict(source.state_dict())
    for name, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize(('before', 'after'), [(64, 96), (96, 64)])
def test_a_checkpoint_of_another_size_loads_and_runs(before, after):
    source = F3Net(**dict(SMALL, size=before))
    loaded = F3Net(**dict(SMALL, size=after))
    loaded.load_state_dict(source.state_dict())
    assert loaded.eval()(torch.zeros(1, 3, after, after)).isfinite().all()
    assert torch.equal(
        loaded.fad_stream.conv1.weight, source.fad_stream.conv1.weight
    )


@pytest.mark.parametrize(('before', 'after'), [(32, 64), (64, 32)])
def test_a_loaded_filter_answers_a_frequency_as_before(before, after):
    """A wave of as many cycles a pixel is as strong in every band."""
    source, loaded = FAD(before), FAD(after)
    loaded.load_state_dict(source.state_dict())
    gains = []
    for fad in (source, loaded):
        size = len(fad.dct)
        x = waves(size, size * 5 // 32)[:, :1].expand(-1, 3, -1, -1)
        y = fad(x).unflatten(1, (4, 3))
        gains.append((y * x[:, None]).sum(dim=(2, 3, 4)) / 3)
    torch.testing.assert_close(gains[0], gains[1], rtol=1e-4, atol=1e-5)


def test_resampling_is_linear_in_frequency():
    def plane(size):
        f = torch.arange(size) / size
        return 1 + 2 * f[:, None] + 3 * f

    ours = resample(plane(40)[None], 50)[0]
    torch.testing.assert_close(ours[:49, :49], plane(50)[:49, :49])
    assert ours[49, 49] == pytest.approx(plane(40)[39, 39])


@pytest.mark.parametrize('in_recogniser', [False, True])
def test_weights_of_xception_load_into_both_streams(tmp_path, in_recogniser):
    narrow = dict(width=1 / 16, middle_blocks=2)
    source = randomise(Xception(tap='block3', **narrow)).state_dict()
    published = {k: v for k, v in source.items() if 'bn4.bias' not in k}
    if in_recogniser:
        published = {f'backbone.{k}': v for k, v in published.items()}
    file = str(tmp_path / 'xception.pth')
    torch.save(published, file)
    if in_recogniser:
        loaded = F3Net(**SMALL)
        load_checkpoint(nn.ModuleDict(dict(backbone=loaded)), file)
    else:
        cfg = dict(type='Pretrained', checkpoint=file)
        loaded = MODELS.build(dict(type='F3Net', init_cfg=cfg, **SMALL))
        loaded.init_weights()
    for stream, times in ((loaded.fad_stream, 4), (loaded.lfs_stream, 2)):
        state = stream.state_dict()
        for key, value in source.items():
            if key == 'conv1.weight':
                value = torch.cat([value / times] * times, dim=1)
            if key != 'bn4.bias':
                assert torch.equal(state[key], value), key


@torch.no_grad()
@pytest.mark.parametrize('size', [64, 72, 75, 81, 96, 224, 299])
def test_frames_of_any_size_are_taken(size):
    backbone = F3Net(**dict(SMALL, size=size)).eval()
    features = backbone(torch.zeros(1, 3, size, size))
    height = (
        Xception(width=1 / 16, middle_blocks=2, tap='block3')
        .eval()(torch.zeros(1, 3, size, size))
        .shape[-1]
    )
    assert features.shape == (1, 256, height, height)


@torch.no_grad()
def test_streams_that_are_not_mixed_are_two_xceptions():
    backbone = randomise(F3Net(**dict(SMALL, mix_stages=()))).eval()
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    expected = torch.cat(
        [
            backbone.fad_stream(backbone.fad(x)),
            backbone.lfs_stream(backbone.lfs(x)),
        ],
        dim=1,
    )
    torch.testing.assert_close(backbone(x), expected)


@torch.no_grad()
def test_frames_of_a_batch_do_not_leak():
    backbone = randomise(F3Net(**SMALL)).eval()
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(
        backbone(x)[1:], backbone(x[1:]), rtol=1e-4, atol=1e-4
    )


def test_the_dct_is_float32_under_autocast():
    backbone = F3Net(**SMALL)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    expected = backbone.decompose(x)
    with torch.autocast('cpu', torch.bfloat16):
        ours = backbone.decompose(x)
        assert backbone(x).isfinite().all()
    for a, b in zip(ours, expected):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_every_parameter_has_a_gradient():
    backbone = F3Net(**SMALL)
    backbone(torch.rand(2, 3, 64, 64)).sum().backward()
    assert not [n for n, p in backbone.named_parameters() if p.grad is None]


def test_mixing_is_learnt_from_the_first_step():
    """The gains start at 0; their gradients do not."""
    backbone = F3Net(**SMALL)
    backbone(torch.rand(2, 3, 64, 64)).square().sum().backward()
    for mix in backbone.mix.values():
        assert mix.to_fad.gamma.grad != 0
        assert mix.to_lfs.gamma.grad != 0


def test_frames_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r'frames of 64x48.*size=64'):
        F3Net(**SMALL)(torch.zeros(1, 3, 64, 48))


def test_a_block_that_is_not_there_cannot_be_mixed():
    with pytest.raises(ValueError, match="no block 'block7' to mix"):
        F3Net(width=1 / 16, middle_blocks=2)


def test_a_copy_loads_into_itself():
    """Loading hooks are bound to the copy, not to the original."""
    copied = copy.deepcopy(F3Net(**dict(SMALL, size=96)))
    other = F3Net(**SMALL)
    copied.load_state_dict(other.state_dict())
    assert copied.fad.filters.learnable.shape == (4, 96, 96)


@pytest.mark.parametrize('clips', [1, 2])
def test_the_small_config_trains_and_predicts(clips):
    config = CONFIGS / 'baselines/f3net_xception-small_demo.py'
    model = MODELS.build(Config.fromfile(config).model)
    x = torch.randint(0, 256, (clips, 3, 8, 64, 64)).float()
    losses, samples = predict_and_loss(model, x, [1] * clips)
    assert losses['loss_cls'].isfinite()
    for sample in samples:
        assert sample.frame_scores.shape == (8,)
        torch.testing.assert_close(
            sample.pred_score[1], sample.frame_scores.mean()
        )
