"""Facts about the motion blocks; the references are written as loops."""

import numpy as np
import pytest
import torch
from torch import nn

from gml_mmaction.models import CMM, CSTM, MCB, MCM, STMBlock

N, T, C, H, W = 2, 4, 32, 6, 5
BLOCKS = [CSTM, STMBlock, MCB]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def clips(dtype=torch.float64):
    return torch.randn(N * T, C, H, W, dtype=dtype)


def build(block, **kwargs):
    """A block in float64, every buffer and parameter of it random."""
    module = block(C, num_segments=T, **kwargs).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn_like(tensor))
            if name.endswith('running_var'):
                tensor.abs_().add_(0.5)
    return module


def convolve_by_loops(kernel, f):
    """K * f of Eq. 1: sums over i, j in {-1, 0, 1}, zero outside."""
    channels, height, width = f.shape
    out = np.zeros_like(f)
    for c in range(channels):
        for h in range(height):
            for w in range(width):
                for i in (-1, 0, 1):
                    for j in (-1, 0, 1):
                        if 0 <= h + i < height and 0 <= w + j < width:
                            out[c, h, w] += (
                                kernel[c, i + 1, j + 1] * f[c, h + i, w + j]
                            )
    return out


def difference_by_loops(kernel, f, boundary='zero', order=1):
    """f_t - (K * f)_{t-1}; f is (N, T, C, H, W)."""
    out = np.zeros_like(f)
    for n in range(len(f)):
        for t in range(f.shape[1]):
            if t > 0:
                f_pm = convolve_by_loops(kernel, f[n, t - 1])
            elif boundary == 'replicate':
                f_pm = convolve_by_loops(kernel, f[n, 0])
            else:
                f_pm = 0
            out[n, t] = f[n, t] - f_pm
        if boundary in ('zero', 'strict'):
            out[n, 0] = 0
        if boundary == 'strict' and order == 2:
            out[n, 1] = 0
    return out


def numpy_clips(x):
    return x.detach().unflatten(0, (N, T)).numpy()


@torch.no_grad()
def test_f_d_is_a_1x1_convolution_to_c_over_16_then_batch_norm():
    cmm = build(CMM)
    conv = nn.functional.conv2d(
        clips_ := clips(), cmm.reduce.weight[..., None, None]
    )
    expected = nn.functional.batch_norm(
        conv,
        cmm.norm.running_mean,
        cmm.norm.running_var,
        cmm.norm.weight,
        cmm.norm.bias,
    )
    assert expected.shape == (N * T, C // 16, H, W)
    torch.testing.assert_close(cmm.embed(clips_), expected)


def test_cmm_equals_eq_1_written_as_loops():
    cmm, x = build(CMM), clips()
    (f_m,) = cmm(x)
    kernel = cmm.k_pm.weight.detach().numpy()[:, 0]
    expected = difference_by_loops(kernel, numpy_clips(cmm.embed(x)))
    np.testing.assert_allclose(numpy_clips(f_m), expected, atol=1e-12)


def test_mcm_equals_eq_1_and_eq_2_written_as_loops():
    mcm, x = build(MCM), clips()
    f_m, f_mm = mcm(x)
    kernel = mcm.k_pm.weight.detach().numpy()[:, 0]
    expected_m = difference_by_loops(kernel, numpy_clips(mcm.embed(x)))
    expected_mm = difference_by_loops(kernel, expected_m)
    np.testing.assert_allclose(numpy_clips(f_m), expected_m, atol=1e-12)
    np.testing.assert_allclose(numpy_clips(f_mm), expected_mm, atol=1e-12)


def test_mcm_has_one_kernel_for_both_orders():
    kernels = [m for m in MCM(C, T).modules() if isinstance(m, nn.Conv2d)]
    assert len(kernels) == 1


def test_cstm_equals_3x1x1_then_1x3x3_channel_wise_convolutions():
    cstm, x = build(CSTM), clips()
    volume = x.unflatten(0, (N, T)).transpose(1, 2)  # (N, C, T, H, W)
    volume = nn.functional.conv3d(
        volume,
        cstm.temporal.weight[..., None],
        padding=(1, 0, 0),
        groups=C,
    )
    volume = nn.functional.conv3d(
        volume,
        cstm.spatial.weight[:, :, None],
        padding=(0, 1, 1),
        groups=C,
    )
    expected = volume.transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(cstm(x), expected)


@pytest.mark.parametrize('expand', ['shared', 'separate'])
def test_mcb_is_f_s_plus_expanded_f_m_plus_expanded_f_mm(expand):
    mcb, x = build(MCB, expand=expand), clips()
    f_m, f_mm = mcb.motion(x)
    weight = mcb.expand.weight[..., None, None]
    for_m, for_mm = (
        (weight, weight) if expand == 'shared' else weight.chunk(2, dim=1)
    )
    expected = (
        mcb.cstm(x)
        + nn.functional.conv2d(f_m, for_m)
        + nn.functional.conv2d(f_mm, for_mm)
    )
    torch.testing.assert_close(mcb(x), expected)


def test_stm_block_is_f_s_plus_expanded_f_m():
    stm, x = build(STMBlock), clips()
    (f_m,) = stm.motion(x)
    expanded = nn.functional.conv2d(f_m, stm.expand.weight[..., None, None])
    torch.testing.assert_close(stm(x), stm.cstm(x) + expanded)


@pytest.mark.parametrize('block', BLOCKS)
def test_clips_in_a_batch_do_not_leak(block):
    module, x = build(block), clips()
    changed = x.clone()
    changed[T:] = torch.randn_like(changed[T:])
    torch.testing.assert_close(
        module(changed)[:T], module(x)[:T], rtol=0, atol=0
    )
    assert not torch.allclose(module(changed)[T:], module(x)[T:])


@pytest.mark.parametrize('block', BLOCKS)
def test_memory_format_does_not_change_the_result(block):
    module, x = build(block), clips()
    torch.testing.assert_close(
        module(x.contiguous(memory_format=torch.channels_last)), module(x)
    )


def identity_kernel(mcm):
    nn.init.dirac_(mcm.k_pm.weight, groups=mcm.k_pm.groups)


@pytest.mark.parametrize(
    ('boundary', 'moving'),
    [('zero', []), ('strict', []), ('replicate', []), ('feature', [0])],
)
def test_a_static_clip_has_no_motion_when_k_pm_is_the_identity(
    boundary, moving
):
    mcm = build(MCM, boundary=boundary)
    identity_kernel(mcm)
    static = torch.randn(N, 1, C, H, W).double().expand(-1, T, -1, -1, -1)
    f_m, _ = mcm(static.flatten(0, 1))
    per_frame = f_m.unflatten(0, (N, T)).abs().amax(dim=(0, 2, 3, 4))
    assert per_frame.nonzero().flatten().tolist() == moving


def test_uniform_motion_is_consistent_and_its_change_is_not():
    """F^MM of frames that change evenly is zero; of uneven ones it is not."""
    mcm = build(MCM)
    identity_kernel(mcm)
    step = torch.randn(1, C, H, W).double()
    frames = torch.arange(T).view(T, 1, 1, 1).double()
    even = (frames * step).repeat(N, 1, 1, 1)
    uneven = (frames**2 * step).repeat(N, 1, 1, 1)
    f_m, f_mm = mcm(even)
    assert f_m.unflatten(0, (N, T))[:, 1:].abs().min() > 0
    # F^MM_1 = F^M_1, as F^M_0 is zero.
    consistency = f_mm.unflatten(0, (N, T))[:, 2:]
    torch.testing.assert_close(consistency, torch.zeros_like(consistency))
    assert mcm(uneven)[1].unflatten(0, (N, T))[:, 2:].abs().max() > 1e-3


@pytest.mark.parametrize('boundary', MCM.BOUNDARIES)
def test_every_reading_of_t_0_equals_its_loops(boundary):
    mcm, x = build(MCM, boundary=boundary), clips()
    kernel = mcm.k_pm.weight.detach().numpy()[:, 0]
    f = numpy_clips(mcm.embed(x))
    for order, computed in enumerate(mcm(x), start=1):
        f = difference_by_loops(kernel, f, boundary, order)
        np.testing.assert_allclose(numpy_clips(computed), f, atol=1e-12)


@pytest.mark.parametrize(
    ('init', 'before', 'own', 'after'),
    [('stm', 8, 16, 8), ('tsm', 4, 24, 4), ('identity', 0, 32, 0)],
)
def test_temporal_init_gives_each_channel_one_frame(init, before, own, after):
    kernels = CSTM(C, T, init).temporal.weight.detach()[:, 0, :, 0].tolist()
    expected = [[1, 0, 0]] * before + [[0, 1, 0]] * own + [[0, 0, 1]] * after
    assert kernels == expected


def test_the_first_quarter_of_channels_sees_the_previous_frame():
    cstm = CSTM(C, T, 'stm').double()
    x = clips()
    fused = cstm.fuse_frames(x).unflatten(0, (N, T))
    x = x.unflatten(0, (N, T))
    torch.testing.assert_close(fused[:, 1:, : C // 4], x[:, :-1, : C // 4])
    torch.testing.assert_close(fused[:, :-1, -C // 4 :], x[:, 1:, -C // 4 :])
    assert fused[:, 0, : C // 4].abs().max() == 0


def test_identity_motion_init_starts_as_the_difference_of_frames():
    mcm, x = MCM(C, T, motion_init='identity').double().eval(), clips()
    f_d = mcm.embed(x).unflatten(0, (N, T))
    f_m, f_mm = (f.unflatten(0, (N, T)) for f in mcm(x))
    torch.testing.assert_close(f_m[:, 1:], f_d.diff(dim=1))
    torch.testing.assert_close(f_mm[:, 2:], f_d.diff(n=2, dim=1))


@pytest.mark.parametrize('expand', ['shared', 'separate'])
@pytest.mark.parametrize('block', [STMBlock, MCB])
def test_zero_expand_init_starts_as_f_s_alone(block, expand):
    options = dict(expand=expand, expand_init='zero')
    module, x = block(C, T, **options).double(), clips()
    torch.testing.assert_close(module(x), module.cstm(x), rtol=0, atol=0)


@pytest.mark.parametrize('block', [STMBlock, MCB])
def test_expand_init_changes_no_other_initial_value(block):
    torch.manual_seed(1)
    usual = block(C, T).state_dict()
    torch.manual_seed(1)
    zero = block(C, T, expand_init='zero').state_dict()
    assert usual.pop('expand.weight').abs().min() > 0
    assert zero.pop('expand.weight').abs().max() == 0
    torch.testing.assert_close(zero, usual, rtol=0, atol=0)


@pytest.mark.parametrize('expand', ['shared', 'separate'])
@pytest.mark.parametrize('block', [STMBlock, MCB])
def test_behind_a_zero_expansion_motion_learns_from_the_second_step_on(
    block, expand
):
    options = dict(expand=expand, expand_init='zero')
    module, x = block(C, T, **options).double(), clips()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    changed = []
    for _ in range(2):
        before = {n: p.detach().clone() for n, p in module.named_parameters()}
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
        changed.append(
            {n for n, p in module.named_parameters() if (p != before[n]).any()}
        )
    everything = {name for name, _ in module.named_parameters()}
    waits = {name for name in everything if name.startswith('motion.')}
    assert changed == [everything - waits, everything]


def test_728_channels_are_reduced_to_45_and_few_channels_to_one():
    assert CMM(728).out_channels == 45
    assert CMM(8).out_channels == 1


@pytest.mark.parametrize(
    ('block', 'arguments'),
    [
        (CSTM, dict(temporal_init='shift')),
        (MCB, dict(boundary='mirror')),
        (MCB, dict(expand='both')),
        (MCB, dict(motion_init='zero')),
        (MCB, dict(expand_init='identity')),
    ],
)
def test_an_unknown_option_is_named_with_the_known_ones(block, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"{name}='{value}': use"):
        block(C, **arguments)
