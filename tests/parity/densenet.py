"""Compare DenseNet with torchvision's densenet121, output by output.

    python tests/parity/densenet.py FOLDER

FOLDER holds torchvision, as ``pip install --no-deps --target FOLDER
torchvision pillow`` leaves it; its native operators need not fit PyTorch.
Random weights, running statistics too, float64.
"""

import argparse
import re
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise, relative_error
from torchvision_models import import_from

from gml_mmaction.models import DenseNet

LIMIT = 1e-10


@torch.no_grad()
def outputs(features: torch.nn.Sequential, x: torch.Tensor) -> dict:
    """Output of every stage, by its name."""
    found = {}
    for name, stage in features.named_children():
        x = stage(x)
        found[name] = x.clone()  # the next ReLU may work in place
    return found


def dotted(state: dict) -> dict:
    """The same weights under the names of densenet121-a639ec97.pth."""
    pattern = r'(denselayer\d+\.)(norm|conv)([12])\.'
    return {re.sub(pattern, r'\1\2.\3.', k): v for k, v in state.items()}


def main(argv: list[str] | None = None) -> int:
    """Print each stage's error; return 1 if one is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='where torchvision is')
    import_from(parser.parse_args(argv).folder)
    from torchvision.models import densenet121

    theirs = randomise(densenet121(weights=None)).double().eval()
    ours = DenseNet().double().eval()
    for rename in (dict, dotted):
        result = ours.load_state_dict(rename(theirs.state_dict()), False)
        assert not result.missing_keys
        extra = set(result.unexpected_keys)
        assert extra == {'classifier.weight', 'classifier.bias'}, extra
        print(f'all names found ({rename.__name__})')
    x = torch.randn(2, 3, 224, 224).double()
    expected = outputs(theirs.features, x)
    errors = {
        name: relative_error(own, expected[name])
        for name, own in outputs(ours.features, x).items()
    }
    with torch.no_grad():
        head = theirs.classifier(ours(x).mean(dim=(2, 3)))
        errors['logits'] = relative_error(head, theirs(x))
        ours.features.conv0.weight[0, 0, 0, 0] += 1e-3
        broken = relative_error(ours.features(x), expected['norm5'])
    for name, error in errors.items():
        print(f'{name:13} {error:.1e}')
    print(f'after changing one weight by 1e-3: {broken:.1e}')
    return int(max(errors.values()) > LIMIT or broken <= LIMIT)


if __name__ == '__main__':
    sys.exit(main())
