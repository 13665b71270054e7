"""Facts about EfficientNet, against published numbers and weights."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from networks import predict_and_loss, randomise, relative_error
from torch import nn

from gml_mmaction.models import EfficientNet
from gml_mmaction.models.efficientnet import MBConv, SameConv2d

CONFIGS = Path(__file__).parents[2] / 'configs'
SMALL = (0.5, 0.5)


def published(size, arch='b4', **options):
    """PyPI's port of the public code, with random weights, for one size."""
    package = pytest.importorskip('efficientnet_pytorch')
    torch.manual_seed(0)
    network = package.EfficientNet.from_name(
        f'efficientnet-{arch}', image_size=size, **options
    )
    randomise(network)
    with torch.no_grad():
        # Or 32 blocks multiply the features, and their rounding, by 10^7.
        for name, parameter in network.named_parameters():
            if name.endswith('_bn2.weight'):
                parameter.mul_(0.25)
    return network.double().eval()


def load(network, arch='b4', taps=(), **options):
    """Ours, of the same weights and mode."""
    ours = EfficientNet(arch, taps, **options).double()
    missing, unexpected = ours.load_state_dict(
        network.state_dict(), strict=False
    )
    assert not missing
    assert set(unexpected) == {'_fc.weight', '_fc.bias'}
    return ours.train(network.training)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    ('arch', 'size'), [('b4', 224), ('b4', 75), ('b4', (64, 97)), ('b0', 96)]
)
def test_features_and_taps_equal_the_public_code(arch, size):
    theirs = published(size, arch)
    ours = load(theirs, arch, taps=(1, 2, 3, 5, 7))
    height, width = size if isinstance(size, tuple) else (size, size)
    x = torch.randn(2, 3, height, width).double()
    expected = list(theirs.extract_endpoints(x).values())
    assert len(expected) == 6
    for a, b in zip(ours(x), expected, strict=True):
        assert relative_error(a, b) < 1e-13
    ours._conv_stem.weight[0, 0] += 1e-3
    assert min(map(relative_error, ours(x), expected)) > 1e-10


@pytest.mark.slow
def test_gradients_and_running_statistics_equal_the_public_code():
    theirs = published(64, 'b0', drop_connect_rate=0.0).train()
    ours = load(theirs, 'b0', drop_connect_rate=0.0)
    x = torch.randn(3, 3, 64, 64).double()
    for network, features in ((ours, ours), (theirs, theirs.extract_features)):
        network.zero_grad()
        features(x).square().mean().backward()
    expected = dict(theirs.named_parameters())
    largest = max(p.grad.abs().max() for p in ours.parameters())
    for name, parameter in ours.named_parameters():
        difference = (parameter.grad - expected[name].grad).abs().max()
        assert difference < 1e-10 * largest, name
    expected = dict(theirs.named_buffers())
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(
            buffer, expected[name], rtol=1e-10, atol=1e-12
        )


@pytest.mark.slow
def test_public_checkpoints_load_by_their_names(tmp_path):
    theirs = published(224).float()
    torch.save(theirs.state_dict(), tmp_path / 'efficientnet-b4.pth')
    checkpoint = str(tmp_path / 'efficientnet-b4.pth')
    ours = MODELS.build(
        dict(
            type='EfficientNet',
            init_cfg=dict(type='Pretrained', checkpoint=checkpoint),
        )
    )
    ours.init_weights()
    state, expected = ours.state_dict(), theirs.state_dict()
    assert set(expected) - set(state) == {'_fc.weight', '_fc.bias'}
    for key, value in state.items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize(
    ('arch', 'published_parameters'),
    [
        ('b0', 5_288_548),
        ('b1', 7_794_184),
        ('b2', 9_109_994),
        ('b3', 12_233_232),
        ('b4', 19_341_616),
        ('b5', 30_389_784),
        ('b6', 43_040_704),
        ('b7', 66_347_960),
    ],
)
def test_networks_have_the_published_parameters(arch, published_parameters):
    with torch.device('meta'):
        network = EfficientNet(arch)
    count = sum(p.numel() for p in network.parameters())
    last = network._conv_head.out_channels
    assert count + 1000 * last + 1000 == published_parameters


@pytest.mark.slow
def test_b4_needs_the_published_multiplications():
    """12.34 GMACs for a clip of 8 frames, of which 0.05 are poolings."""
    info = get_model_complexity_info(
        EfficientNet().eval(),
        (3, 224, 224),
        show_table=False,
        show_arch=False,
    )
    # The counter knows poolings, but not the mean over space that ours are.
    assert 8 * info['flops'] / 1e9 == pytest.approx(12.34 - 0.05, abs=5e-3)


@torch.no_grad()
def test_stages_of_b4_have_the_published_channels_and_strides():
    features = EfficientNet(taps=range(1, 8)).eval()(
        torch.zeros(1, 3, 224, 224)
    )
    assert [tuple(f.shape[1:]) for f in features] == [
        (24, 112, 112),
        (32, 56, 56),
        (56, 28, 28),
        (112, 14, 14),
        (160, 14, 14),
        (272, 7, 7),
        (448, 7, 7),
        (1792, 7, 7),
    ]


@torch.no_grad()
def test_a_tap_is_what_the_next_stage_reads():
    backbone = EfficientNet(SMALL, taps=(2, 5)).eval()
    inputs = []
    for block in backbone._blocks:
        block.register_forward_hook(lambda _, x, y: inputs.append(x[0]))
    second, fifth, _ = backbone(torch.randn(1, 3, 64, 64))
    # One block in stages 1 to 3, two in the next three.
    assert torch.equal(second, inputs[2])
    assert torch.equal(fifth, inputs[7])


@pytest.mark.parametrize(
    ('size', 'centres'),
    # Of 4 rows, one is missing and comes last; of 5, two are, one a side.
    [(4, [1, 3]), (5, [0, 2, 4])],
)
def test_padding_is_tensorflows_same(size, centres):
    conv = SameConv2d(1, 1, 3, stride=2, bias=False)
    nn.init.dirac_(conv.weight)  # reads the centre of each window
    x = torch.arange(7.0 * size).view(1, 1, size, 7)
    # Of 7 columns two are missing: centres 0, 2, 4, 6.
    assert torch.equal(conv(x), x[:, :, centres, ::2])
    assert torch.equal(conv(x.mT), x[:, :, centres, ::2].mT)


@torch.no_grad()
def test_stochastic_depth_skips_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    block = randomise(MBConv(8, 8, 3, 1, 6, drop_rate=0.25)).eval()
    x = torch.randn(400, 8, 4, 4)
    residual = block(x) - x
    block.training = True  # its batch norms stay in evaluation mode
    changed = block(x) - x
    kept = changed.flatten(1).any(dim=1)
    torch.testing.assert_close(changed[kept], residual[kept] / 0.75)
    assert 0.7 < kept.float().mean() < 0.8


def test_the_chance_to_skip_grows_with_the_blocks_index():
    rates = [block.drop_rate for block in EfficientNet()._blocks]
    assert len(rates) == 32
    assert rates == pytest.approx([0.2 * i / 32 for i in range(32)])


def test_norm_momentum_reaches_every_batch_norm():
    norms = [
        m
        for m in EfficientNet(SMALL, norm_momentum=0.1).modules()
        if isinstance(m, nn.BatchNorm2d)
    ]
    assert {m.momentum for m in norms} == {0.1}
    assert {m.eps for m in norms} == {1e-3}


@torch.no_grad()
def test_every_feature_is_channels_last():
    backbone = EfficientNet(SMALL).eval()
    others = []

    def check(module, inputs, output):
        if not output.is_contiguous(memory_format=torch.channels_last):
            others.append(module)

    for module in backbone.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            module.register_forward_hook(check)
    backbone(torch.randn(2, 3, 64, 64))
    assert not others


def test_an_unknown_architecture_is_named():
    with pytest.raises(ValueError, match="no arch 'b8': use one of"):
        EfficientNet('b8')


@pytest.mark.parametrize('stage', [0, 8])
def test_an_unknown_stage_is_named(stage):
    with pytest.raises(ValueError, match=f'no stage {stage}: use 1 to 7'):
        EfficientNet(SMALL, taps=(stage,))


def baseline(name):
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(CONFIGS / 'baselines' / name).model)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_one_clip_trains_every_parameter_and_scores_every_frame(dtype):
    # Random weights, for fresh ones hardly tell one frame from another.
    model = randomise(baseline('efficientnet_b4-small_demo.py'))
    clips = torch.randint(256, (1, 3, 8, 64, 64), dtype=torch.uint8)
    with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
        losses, (sample,) = predict_and_loss(model, clips, [1])
    assert losses['loss_cls'].dtype == torch.float32
    losses['loss_cls'].backward()
    assert all(p.grad is not None for p in model.parameters())
    assert sample.frame_scores.shape == (8,)
    assert sample.frame_scores.unique().numel() > 1


def test_the_baseline_has_the_parameters_of_b4_with_two_classes():
    model = baseline('efficientnet_b4_ffpp.py')
    count = sum(p.numel() for p in model.parameters())
    assert count == 19_341_616 - (1000 - 2) * (1792 + 1)  # 17.55 million
