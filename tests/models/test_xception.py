"""Facts about the backbone, against published numbers and networks."""

import pickle

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.analysis import get_model_complexity_info
from networks import randomise
from torch import nn

from gml_mmaction.models import Xception
from gml_mmaction.models.xception import SeparableConv2d

SMALL = dict(width=1 / 16, middle_blocks=2, num_segments=4)
BLOCKS = ['CSTM', 'STMBlock', 'MCB']


def test_plain_xception_has_the_published_parameters():
    # 22,855,952 with the 1000-way classifier, of which 2,049,000 are its.
    parameters = sum(p.numel() for p in Xception().parameters())
    assert parameters == 22_855_952 - 2048 * 1000 - 1000


@pytest.mark.parametrize(
    ('block', 'millions'), [('CSTM', 20.880), ('STMBlock', 23.109)]
)
def test_motion_blocks_add_the_parameters_they_were_designed_with(
    block, millions
):
    """Counted without the batch norms behind the 34 reductions."""
    backbone = Xception(dict(type=block))
    norms = sum(
        p.numel()
        for name, p in backbone.named_parameters()
        if '.motion.norm.' in name
    )
    counted = sum(p.numel() for p in backbone.parameters())
    classifier = 2048 * 2 + 2
    assert (counted + classifier - norms) / 1e6 == pytest.approx(
        millions, abs=6e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('size', 'gmacs'), [(224, 4.55), (256, 5.95), (299, 8.36)]
)
def test_plain_xception_needs_the_published_multiplications(size, gmacs):
    info = get_model_complexity_info(
        Xception().eval(),
        (3, 1, size, size),
        show_table=False,
        show_arch=False,
    )
    # MMEngine counts batch norms and poolings too: a few per mille.
    assert info['flops'] / 1e9 == pytest.approx(gmacs, rel=0.01)


def test_all_34_separable_convolutions_take_a_motion_block():
    separable = [
        m
        for m in Xception(dict(type='MCB')).modules()
        if isinstance(m, SeparableConv2d)
    ]
    assert len(separable) == 34
    assert {type(m.conv1).__name__ for m in separable} == {'MCB'}


def test_motion_stages_restrict_the_blocks():
    backbone = Xception(dict(type='MCB'), motion_stages=('block5', 'conv4'))
    with_motion = {
        name.split('.')[0]
        for name, m in backbone.named_modules()
        if type(m).__name__ == 'MCB'
    }
    assert with_motion == {'block5', 'conv4'}


def test_a_motion_block_can_be_in_one_convolution_alone():
    backbone = Xception(dict(type='MCB'), motion_stages=('block5.2', 'conv3'))
    places = [
        name
        for name, m in backbone.named_modules()
        if type(m).__name__ == 'MCB'
    ]
    assert places == ['block5.rep.7.conv1', 'conv3.conv1']


@pytest.mark.parametrize('stage', ['block1.2', 'conv3.1', 'block5.', 'b.0'])
def test_a_convolution_that_is_not_there_is_refused(stage):
    with pytest.raises(ValueError, match=f'no stage {stage!r}'):
        Xception(dict(type='MCB'), motion_stages=(stage,))


@torch.no_grad()
def test_features_have_the_shapes_of_the_published_network():
    f_out, f_last = Xception().eval()(torch.zeros(1, 3, 1, 224, 224))
    assert f_out.shape == (1, 1, 728, 14, 14)
    assert f_last.shape == (1, 1, 2048, 7, 7)


@torch.no_grad()
@pytest.mark.parametrize('block', BLOCKS)
def test_identity_kernel_and_zero_expansion_are_plain_xception(block):
    torch.manual_seed(0)
    plain = randomise(Xception(**SMALL)).eval()
    moving = Xception(
        dict(type=block, temporal_init='identity'), **SMALL
    ).eval()
    moving.load_state_dict(plain.state_dict(), strict=False)
    for name, parameter in moving.named_parameters():
        if name.endswith('expand.weight'):
            parameter.zero_()
    x = torch.randn(2, 3, 4, 64, 64)
    for ours, theirs in zip(moving(x), plain(x)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize('block', [None, *BLOCKS])
@pytest.mark.parametrize('flat', [False, True])
def test_imagenet_weights_load_by_their_names(tmp_path, block, flat):
    """Both public files: point-wise weights as matrices, or as kernels."""
    source = randomise(Xception(**SMALL))
    published = dict(source.state_dict(), **{'fc.weight': torch.ones(2, 2)})
    if flat:
        for key in published:
            if 'pointwise' in key:
                published[key] = published[key][:, :, 0, 0]
    file = tmp_path / 'xception.pth'
    torch.save(published, file)
    loaded = MODELS.build(
        dict(
            type='Xception',
            motion_block=block and dict(type=block),
            init_cfg=dict(type='Pretrained', checkpoint=str(file)),
            **SMALL,
        )
    )
    loaded.init_weights()
    state = loaded.state_dict()
    inner = {None: '', 'CSTM': 'spatial.'}.get(block, 'cstm.spatial.')
    for key, value in source.state_dict().items():
        depthwise = '.rep.' in key or key.startswith(('conv3', 'conv4'))
        if depthwise and '.conv1.' in key:
            key = key.replace('.conv1.', f'.conv1.{inner}')
        assert torch.equal(state[key], value), key


def test_plain_xception_takes_clips_of_any_length():
    backbone = Xception(**SMALL)
    assert backbone(torch.zeros(1, 3, 3, 64, 64))[1].shape[:2] == (1, 3)


def test_a_clip_of_another_length_than_the_blocks_know_is_refused():
    backbone = Xception(dict(type='MCB'), **SMALL)
    with pytest.raises(ValueError, match='clips of 6 frames'):
        backbone(torch.zeros(1, 3, 6, 64, 64))


def test_an_unknown_stage_is_named():
    with pytest.raises(ValueError, match="no stage 'block6'"):
        Xception(tap='block6', **SMALL)


def test_more_middle_blocks_than_there_are_names_are_refused():
    with pytest.raises(ValueError, match='middle_blocks=9: use 0 to 8'):
        Xception(middle_blocks=9)


def test_a_model_can_be_pickled_with_its_loading_of_imagenet_names():
    copy = pickle.loads(pickle.dumps(Xception(dict(type='MCB'), **SMALL)))
    plain = Xception(**SMALL)
    copy.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(
        copy.block4.rep[1].conv1.cstm.spatial.weight,
        plain.block4.rep[1].conv1.weight,
    )


def test_the_tap_is_the_output_of_its_stage():
    backbone = Xception(tap='block4', **SMALL).eval()
    seen = []
    backbone.block4.register_forward_hook(lambda *io: seen.append(io[-1]))
    f_out, _ = backbone(torch.randn(1, 3, 4, 64, 64))
    torch.testing.assert_close(f_out.flatten(0, 1), seen[0])
    assert f_out.min() < 0  # before the next block's ReLU, and left alone


def test_norm_eval_keeps_running_statistics():
    backbone = Xception(norm_eval=True, **SMALL).train()
    before = backbone.bn1.running_mean.clone()
    backbone(torch.randn(1, 3, 4, 64, 64))
    assert torch.equal(backbone.bn1.running_mean, before)


@pytest.mark.parametrize('clips', [1, 2])
def test_every_feature_is_channels_last(clips):
    """Without copies in between: the layout that motion blocks are fast in."""
    backbone = Xception(dict(type='MCB'), **SMALL).eval()
    others = []

    def check(module, inputs, output):
        if not output.is_contiguous(memory_format=torch.channels_last):
            others.append(module)

    for module in backbone.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)):
            module.register_forward_hook(check)
    backbone(torch.randn(clips, 3, 4, 64, 64))
    assert not others
