"""F3-Net against its public re-implementations.

    python tests/parity/f3net.py PATH_OF_THE_OTHER_REPO [PATH ...]

Leminhbinh0209/F3Net is compared as a whole; yyk-wew/F3Net has both streams
without mix blocks, which are compared by themselves. Prints the relative
error of every quantity, in float64, and how far one changed weight of each
part moves the features; the exit code is 1 if a limit is broken.

Their check of the size is taken out of a temporary copy. Their scale of grey
levels, 122.5, is set here too, and each one's edges of the bands; those of
Leminhbinh0209 lack their lower diagonal, and the mean, and are copied. The
DCT of windows, compared first, is copied too: ours is rounded to float32
once, after the product of both directions, theirs before, and the logarithm
of a small coefficient shows it.
"""

import argparse
import importlib
import shutil
import sys
import tempfile
import types
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise, relative_error

from gml_mmaction.models import F3Net, FrameHead
from gml_mmaction.models.f3net import MixBlock

SIZES = (64, 224, 299)
LIMIT = 1e-10
# What each repository calls our parts, and where its bands end.
REPOSITORIES = {
    'f3net': dict(
        parts={
            'fad.': 'fad_head.',
            'lfs.': 'lfs_head.',
            'fad_stream.': 'fad_excep.',
            'lfs_stream.': 'lfs_excep.',
            'mix.block7.': 'mix_block7.',
            'mix.block12.': 'mix_block12.',
        },
        edges=(1 / 16, 1 / 8, 1),
        mix_stages=('block7', 'block12'),
        copy_bands=True,
        build={},
    ),
    'models': dict(
        parts={
            'fad.': 'FAD_head.',
            'lfs.': 'LFS_head.',
            'fad_stream.': 'FAD_xcep.',
            'lfs_stream.': 'LFS_xcep.',
        },
        edges=(1 / 2.82, 0.5, 2),
        mix_stages=(),
        copy_bands=False,
        build=dict(mode='Both'),
    ),
}
MIX_NAMES = {
    'query_fad.': 'FAD_query.',
    'query_lfs.': 'LFS_query.',
    'key_fad.': 'FAD_key.',
    'key_lfs.': 'LFS_key.',
    'to_fad.gamma': 'LFS_gamma',
    'to_fad.conv.': 'FAD_conv.',
    'to_fad.norm.': 'FAD_bn.',
    'to_lfs.gamma': 'FAD_gamma',
    'to_lfs.conv.': 'LFS_conv.',
    'to_lfs.norm.': 'LFS_bn.',
}
PERTURBED = (
    'fad.filters.learnable',
    'lfs.filters.learnable',
    'fad_stream.conv1.weight',
    'lfs_stream.block6.rep.4.pointwise.weight',
    'mix.block7.query_fad.weight',
    'mix.block7.to_fad.gamma',
    'mix.block12.key_lfs.weight',
    'mix.block12.to_lfs.gamma',
)
BROKEN = []


def import_theirs(repo: Path, name: str) -> types.ModuleType:
    """Their module without its check of the size and its downloads."""
    with tempfile.TemporaryDirectory() as folder:
        for file in repo.glob('*.py'):
            shutil.copy(file, folder)
        copied = Path(folder) / f'{name}.py'
        text = copied.read_text()
        copied.write_text(text.replace('assert size_after == 149', ''))
        sys.modules.setdefault('torchvision', types.ModuleType('torchvision'))
        sys.path.insert(0, folder)
        module = importlib.import_module(name)
        sys.path.remove(folder)
    if name == 'f3net':
        module.return_pytorch04_xception = lambda _: module.xception(
            pretrained=False
        )
    else:
        first = {'conv1.weight': torch.zeros(32, 3, 3, 3)}
        module.get_xcep_state_dict = lambda: dict(first)
    return module


def renamed(key: str, names: dict[str, str]) -> str:
    before = next(b for b in names if key.startswith(b))
    return names[before] + key[len(before) :]


def translate(state: dict, parts: dict[str, str]) -> dict:
    """Our weights under their names."""
    theirs = {}
    for key, value in state.items():
        name = renamed(key, parts)
        if key.endswith('learnable'):
            for i, weight in enumerate(value):
                theirs[name.replace('learnable', f'{i}.learnable')] = weight
        elif key.startswith('mix.'):
            stem, rest = name.split('.', 1)
            theirs[f'{stem}.{renamed(rest, MIX_NAMES)}'] = value
        else:
            theirs[name] = value
    return theirs


def settle(backbone: nn.Module, size: int) -> None:
    """Give batch norms the statistics of a batch, or softmax saturates."""
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    backbone.train()(torch.rand(2, 3, size, size).double() * 2 - 1)
    backbone.eval()


def load(theirs: nn.Module, state: dict) -> None:
    """Load all but their constants and the classifiers of the streams."""
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    constants = ('.base', '.ft_num', '_DCT')
    assert not unexpected, unexpected
    for key in missing:
        assert any(c in key for c in constants) or 'xcep.fc' in key, key


@torch.no_grad()
def copy_constants(
    backbone: nn.Module, theirs: nn.Module, repository: dict
) -> None:
    parts = [
        theirs.get_submodule(repository['parts'][part].strip('.'))
        for part in ('fad.', 'lfs.')
    ]
    full, window = parts[0]._DCT_all, parts[1]._DCT_patch
    window = torch.kron(window, window)
    size = len(full)
    error = relative_error(backbone.fad.dct, full)
    report(f'{size}: DCT of the frame', error, 1e-7)
    error = relative_error(backbone.lfs.dct, window)
    report(f'{size}: DCT of windows', error, 1e-6)
    backbone.lfs.dct.copy_(window)
    if repository['copy_bands']:
        for ours, other in zip((backbone.fad, backbone.lfs), parts):
            bands = torch.stack([f.base for f in other.filters])
            assert (ours.filters.base >= bands).all()
            ours.filters.base.copy_(bands)


def build(module: types.ModuleType, repository: dict, size: int):
    """Their network, our backbone and head with the same weights."""
    backbone = F3Net(
        size, repository['edges'], mix_stages=repository['mix_stages']
    )
    backbone.lfs.HALF_RANGE = 122.5
    randomise(backbone, seed=size).double()
    for filters in (backbone.fad.filters, backbone.lfs.filters):
        nn.init.normal_(filters.learnable)
    settle(backbone, size)
    head = randomise(FrameHead(4096, 0.2)).double().eval()
    theirs = module.F3Net(
        num_classes=2,
        img_width=size,
        img_height=size,
        **repository['build'],
    )
    state = translate(backbone.state_dict(), repository['parts'])
    for name in ('weight', 'bias'):
        state[f'fc.{name}'] = head.state_dict()[f'fc_cls.{name}']
    load(theirs.double().eval(), state)
    copy_constants(backbone, theirs, repository)
    return theirs, backbone, head


def report(name: str, error: float, limit: float, least: float = 0) -> None:
    ok = least <= error <= limit
    print(f'{name:58} {error:9.2e} {"" if ok else "BROKEN"}')
    if not ok:
        BROKEN.append(name)


def run(network: nn.Module, images: torch.Tensor, modules: dict) -> dict:
    """The network's output and those of its modules, by name."""
    seen = {}
    for name, module in modules.items():
        network.get_submodule(module).register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out})
        )
    seen['output'] = network(images)
    return seen


@torch.no_grad()
def compare(module: types.ModuleType, repository: dict, size: int) -> None:
    """Both inputs of the streams, then the rest, given theirs.

    The logarithm of a coefficient near 0 makes much of rounding: the limit
    of float64 is not for what it is part of.
    """
    theirs, backbone, head = build(module, repository, size)
    images = torch.rand(2, 3, size, size).double() * 2 - 1
    names = repository['parts'].items()
    parts = {a.strip('.'): b.strip('.') for a, b in names if 'stream' not in a}
    expected = run(theirs, images, parts)
    features, logits = expected.pop('output')
    seen = run(backbone, images, {'fad': 'fad', 'lfs': 'lfs'})
    error = relative_error(head(seen.pop('output')), logits)
    report(f'{size}: logits, end to end', error, 1e-5)  # float32
    inputs = expected['fad'], expected['lfs']
    backbone.decompose = lambda _: inputs
    mixed = {name: name for name in parts if name not in seen}
    seen.update(run(backbone, images, mixed))
    last = seen.pop('output').mean(dim=(2, 3))
    for name, ours in seen.items():
        if isinstance(ours, tuple):
            ours, expected[name] = map(torch.stack, (ours, expected[name]))
        error = relative_error(ours, expected[name])
        limit = 1e-9 if name == 'lfs' else LIMIT
        report(f'{size}: {name} {tuple(ours.shape)}', error, limit)
    error = relative_error(last, features)
    report(f'{size}: features {tuple(last.shape)}', error, LIMIT)
    del backbone.decompose
    perturb(backbone, images, features)


def perturb(
    backbone: nn.Module, images: torch.Tensor, features: torch.Tensor
) -> None:
    """Change one weight of each part in turn: features must move."""
    for key in PERTURBED:
        if key not in backbone.state_dict():
            continue
        weight = backbone.get_parameter(key)
        old = weight.clone()
        weight[0] += 0.1
        moved = relative_error(backbone(images).mean(dim=(2, 3)), features)
        weight.copy_(old)
        label = f'{images.shape[-1]}: features, {key} changed'
        report(label, moved, 1e9, 1e-6)


@torch.no_grad()
def compare_mix_block(module: types.ModuleType) -> None:
    ours = randomise(MixBlock(16)).double().eval()
    theirs = module.MixBlock(16, 7, 7).double().eval()
    state = {renamed(k, MIX_NAMES): v for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True)
    inputs = torch.randn(2, 2, 16, 7, 7).double()
    expected = torch.stack(theirs(*inputs))
    error = relative_error(torch.stack(ours(*inputs)), expected)
    report('mix block alone, both outputs', error, LIMIT)
    ours.key_lfs.weight[0] += 0.1
    moved = relative_error(torch.stack(ours(*inputs)), expected)
    report('mix block alone, key_lfs changed', moved, 1e9, 1e-6)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('repos', type=Path, nargs='+', metavar='repo')
    for repo in parser.parse_args(argv).repos:
        name = 'f3net' if (repo / 'f3net.py').exists() else 'models'
        module = import_theirs(repo, name)
        print(repo.name)
        compare_mix_block(module)
        for size in SIZES:
            compare(module, REPOSITORIES[name], size)
    return 1 if BROKEN else 0


if __name__ == '__main__':
    sys.exit(main())
