"""Multi-attentional against the authors' code and DeepfakeBench's losses.

    python tests/parity/multi_attention.py MULTIPLE_ATTENTION [DEEPFAKEBENCH]

The first path is a copy of yoctta/multiple-attention: attention maps, logits
and descriptors in evaluation, a whole training step with its losses (dropout
off) and gradients, AGDA without noise and drawing. The second, optional, is
one of SCLBD/DeepfakeBench: its texture enhancement and its regional
independence loss. Random weights, float64; prints each relative error, and
that after one weight was changed; the exit code is 1 if a limit is broken.
"""

import argparse
import importlib.util
import sys
import types
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import load_in_order, randomise, relative_error

from gml_mmaction.models import EfficientNet
from gml_mmaction.models.multi_attention import (
    AGDA,
    MATHead,
    RegionalIndependenceLoss,
    TextureEnhancement,
    match_loss,
)

LIMIT = 1e-10
NUM_MAPS = 4
SIZE = 128


class GaussianBlur2d(nn.Module):
    """Stand-in for kornia's: one two-dimensional kernel, mirrored border."""

    def __init__(
        self, size: tuple[int, int], sigma: tuple[float, float]
    ) -> None:
        super().__init__()
        x = torch.arange(size[0]) - (size[0] - 1) / 2
        kernel = torch.exp(-(x**2 + x[:, None] ** 2) / (2 * sigma[0] ** 2))
        self.kernel = kernel / kernel.sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = len(self.kernel) // 2
        x = F.pad(x, (half,) * 4, mode='reflect')
        weight = self.kernel.expand(x.shape[1], 1, -1, -1).to(x)
        return F.conv2d(x, weight, groups=x.shape[1])


def stub(name: str, **contents: object) -> None:
    """An importable module that holds ``contents``."""
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module


def authors(folder: str) -> tuple[nn.Module, type]:
    """Their network, with random weights, and their AGDA."""
    sys.path.insert(0, folder)
    filters = types.SimpleNamespace(GaussianBlur2d=GaussianBlur2d)
    stub('kornia', filters=filters)
    stub('torchvision')
    stub('torchvision.models')
    stub('cv2')
    stub('utils', cont_grad=None)
    from AGDA import AGDA as TheirAGDA  # noqa: N811
    from models import MAT

    for swish in ('Swish', 'MemoryEfficientSwish'):  # saved_variables is gone
        setattr(sys.modules['models.efficientnet.model'], swish, nn.SiLU)

    def from_name(name: str, num_classes: int, **_: object) -> nn.Module:
        # No size: padding follows the image, as theirs for 380 would not.
        override = dict(num_classes=num_classes, image_size=None)
        override['drop_connect_rate'] = 0.0
        return MAT.EfficientNet.from_name(name, override)

    MAT.EfficientNet.from_pretrained = from_name
    return MAT.MAT(
        'efficientnet-b4',
        feature_layer='b2',
        attention_layer='b5',
        M=NUM_MAPS,
        dropout_rate=0.0,
        drop_final_rate=0.0,
        size=(64, 64),
        margin=0.5,
        inner_margin=[0.1, -2],
    ), TheirAGDA


def tame(theirs: nn.Module) -> nn.Module:
    """Shorten the steps between blocks.

    As they stand random blocks double rounding errors, one after the other.
    """
    for block in theirs.net._blocks:
        for tensor in block._bn2.parameters():
            tensor.data *= 0.25
    return theirs


def copy_weights(theirs: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Our backbone and head with the weights of their network."""
    backbone = EfficientNet('b4', taps=(2, 5), drop_connect_rate=0.0)
    state = theirs.net.state_dict()
    missing, extra = backbone.load_state_dict(state, strict=False)
    assert not missing
    assert set(extra) == {'_fc.weight', '_fc.bias'}, extra
    head = MATHead(
        num_maps=NUM_MAPS,
        texture=dict(type='GroupedTextureEnhancement'),
        loss_ril=dict(type='RealCentreLoss'),
        dropout_ratio=0.0,
        last_dropout_ratio=0.0,
    )
    maps, texture = theirs.attentions, theirs.texture_enhance
    theirs_in_order = [
        *(maps.conv_extract, maps.bn1, maps.conv2, maps.bn2),
        *(texture.conv_extract, texture.conv0, texture.bn1, texture.conv1),
        *(texture.bn2, texture.conv2, texture.bn3, texture.conv3),
        *(texture.bn4, texture.conv_last, texture.bn_last),
        *(theirs.projection_local, theirs.project_final),
        theirs.ensemble_classifier_fc,
    ]
    ours_in_order = nn.ModuleList(
        (
            *(head.attention, head.texture, head.project_texture),
            *(head.project_last, head.fuse, head.fc_cls),
        )
    )
    load_in_order(ours_in_order, nn.ModuleList(theirs_in_order))
    return backbone, head


def evaluation(
    theirs: nn.Module, ours: tuple[nn.Module, nn.Module], images: torch.Tensor
) -> dict[str, float]:
    """Relative errors of what both see in images."""
    backbone, head = (module.eval() for module in ours)
    theirs.eval()
    with torch.no_grad():
        labels = torch.arange(len(images)) % 2
        expected = theirs(images, labels, train_batch=True)
        seen = head.look(backbone(images))
        return {
            'maps': relative_error(seen.maps, expected['attention_maps']),
            'descriptors': relative_error(
                seen.descriptors, expected['feature_matrix_d']
            ),
            'logits': relative_error(seen.logits, theirs(images)),
        }


def training(
    theirs: nn.Module, ours: tuple[nn.Module, nn.Module], images: torch.Tensor
) -> dict[str, float]:
    """Relative errors of losses, of centres and of gradients in training.

    Images "degraded by AGDA" are the negatives, the maps drawn are given.
    """
    backbone, head = (module.train() for module in ours)
    theirs.train()
    labels = torch.arange(len(images)) % 2
    drawn = torch.arange(len(images)) % NUM_MAPS
    agda = types.SimpleNamespace(agda=lambda x, maps: (-x, drawn))
    expected = theirs(images, labels, train_batch=True)
    centres = theirs.auxiliary_loss.feature_centers.clone()
    theirs.auxiliary_loss.feature_centers.zero_()
    expected = theirs(images, labels, train_batch=True, AG=agda)

    clean = head.look(backbone(images))
    losses = head.losses(clean, labels)
    found = dict(centres=relative_error(head.loss_ril.centres, centres))
    blurred = head.look(backbone(-images))
    losses['match'] = match_loss(clean.descriptors, blurred.descriptors, drawn)
    losses['agda'] = head.loss_cls(blurred.logits, labels)
    names = dict(
        loss_cls='ensemble_loss',
        loss_ril='aux_loss',
        match='match_loss',
        agda='AGDA_ensemble_loss',
    )
    scales = dict(loss_ril=0.5)
    total = 0
    for ours_name, name in names.items():
        reference = scales.get(ours_name, 1.0) * expected[name]
        found[ours_name] = relative_error(losses[ours_name], reference)
        total = total + reference
    sum(losses.values()).backward()
    total.backward()
    # The stem and the maps' last convolution: everything lies between.
    for name, own, other in (
        ('stem', backbone._conv_stem, theirs.net._conv_stem),
        ('maps', head.attention[3], theirs.attentions.conv2),
    ):
        found[f'gradient of {name}'] = relative_error(
            own.weight.grad, other.weight.grad
        )
    return found


def augmentation(their_agda: type) -> dict[str, float]:
    """AGDA with one map, so that it is drawn, fixed mask and no noise."""
    images = torch.randn(2, 3, 64, 64)
    maps = torch.rand(2, 1, 4, 4)
    theirs = their_agda(11, 2, 7, threshold=0.45, zoom=4, noise_rate=0)
    ours = AGDA(noise=0, threshold=(0.45, 0.45), zoom=(4, 4))
    expected, _ = theirs.agda(images, maps)
    return {'AGDA': relative_error(ours(images, maps)[0], expected)}


def load_file(name: str, path: Path) -> types.ModuleType:
    """One file as a module of the given name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def bench(folder: str) -> dict[str, float]:
    """Texture enhancement and loss of DeepfakeBench."""

    def register(**_: object) -> object:
        return lambda cls: cls

    registry = types.SimpleNamespace(register_module=register)
    stub('detectors', DETECTOR=registry)
    sys.modules['detectors'].__path__ = []
    stub('detectors.base_detector', AbstractDetector=nn.Module)
    stub('loss', LOSSFUNC=registry)
    sys.modules['loss'].__path__ = []
    stub('loss.abstract_loss_func', AbstractLossClass=nn.Module)
    stub('networks', BACKBONE=registry)
    stub('metrics', LOSSFUNC=registry)
    stub('metrics.registry', LOSSFUNC=registry)
    stub('metrics.base_metrics_class', calculate_metrics_for_train=None)
    training_folder = Path(folder, 'training')
    detector = load_file(
        'detectors.multi_attention_detector',
        training_folder / 'detectors/multi_attention_detector.py',
    )
    loss = load_file(
        'loss.region_independent_loss',
        training_folder / 'loss/region_independent_loss.py',
    )
    found = {}
    theirs = randomise(detector.TextureEnhanceV1(32, NUM_MAPS)).eval()
    ours = TextureEnhancement(32, NUM_MAPS).eval()
    order = 'conv0 bn1 conv1 bn2 conv2 bn3 conv3 bn4 conv_last bn_last'
    load_in_order(
        ours, nn.ModuleList(getattr(theirs, name) for name in order.split())
    )
    x = torch.randn(2, 32, 32, 32)
    maps = torch.rand(2, NUM_MAPS, 8, 8)
    for name, own, other in zip(
        ('texture', 'local means'), ours(x, maps), theirs(x, maps)
    ):
        found[f'DeepfakeBench: {name}'] = relative_error(own, other)

    theirs = loss.RegionIndependentLoss(
        NUM_MAPS, 32, 0.05, 0.9, 10**9, 2.0, [0.05, 0.1]
    )
    ours = RegionalIndependenceLoss(NUM_MAPS, 32, margin=2.0)
    labels = torch.tensor([0, 1])
    for step in (1, 2):
        smooth = torch.randn(2, 32, 8, 8)
        found[f'DeepfakeBench: loss {step}'] = relative_error(
            ours(ours.describe(smooth, maps), labels),
            theirs(smooth, maps, labels),
        )
    found['DeepfakeBench: centres'] = relative_error(
        ours.centres, theirs.feature_centers
    )
    return found


def main(argv: list[str] | None = None) -> int:
    """Print each error; return 1 if one is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('multiple_attention', help='yoctta/multiple-attention')
    parser.add_argument('deepfakebench', nargs='?', help='DeepfakeBench')
    args = parser.parse_args(argv)
    init_default_scope('mmaction')
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # logits leave heads as float32
    theirs, their_agda = authors(args.multiple_attention)
    constants = {
        name: tensor.clone()
        for name, tensor in theirs.state_dict().items()
        if name.startswith('auxiliary_loss') or name == 'attentions.mask'
    }
    theirs = tame(randomise(theirs))
    theirs.load_state_dict({**theirs.state_dict(), **constants})
    ours = copy_weights(theirs)
    images = torch.randn(4, 3, SIZE, SIZE)
    errors = evaluation(theirs, ours, images)
    weight = ours[1].texture.dense.layers[0][2].weight
    with torch.no_grad():
        weight[0, 0] += 1e-3
        broken = evaluation(theirs, ours, images)['logits']
        weight[0, 0] -= 1e-3
    errors.update(training(theirs, ours, images))
    errors.update(augmentation(their_agda))
    if args.deepfakebench:
        errors.update(bench(args.deepfakebench))
    for name, error in errors.items():
        print(f'{name:30} {error:.1e}')
    print(f'logits after changing one weight by 1e-3: {broken:.1e}')
    return int(max(errors.values()) > LIMIT or broken <= LIMIT)


if __name__ == '__main__':
    sys.exit(main())
