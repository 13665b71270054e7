"""Xception against timm's ``legacy_xception``, names and outputs.

    python tests/parity/xception.py FOLDER

FOLDER holds timm and torchvision, as ``pip install --no-deps --target FOLDER
timm torchvision`` leaves them; torchvision's native operators need not fit
PyTorch. Random weights, running statistics too, float64.
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise, relative_error
from torchvision_models import import_from

from gml_mmaction.models import Xception

LIMIT = 1e-10


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    """Print the errors; return 1 if one is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='where timm and torchvision are')
    import_from(parser.parse_args(argv).folder)
    from timm.models.xception import legacy_xception

    theirs = randomise(legacy_xception()).double().eval()
    ours = Xception().double().eval()
    missing, extra = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing, missing
    assert set(extra) == {'fc.weight', 'fc.bias'}, extra
    errors = {}
    for size in (96, 224):
        x = torch.randn(2, 3, size, size).double()
        expected = theirs.act4(theirs.forward_features(x))
        errors[size] = relative_error(ours(x), expected)
        print(f'{size} x {size}: {errors[size]:.1e}')
    ours.block7.rep[1].pointwise.weight[0, 0] += 1e-3
    broken = relative_error(ours(x), expected)
    print(f'after changing one weight by 1e-3: {broken:.1e}')
    return int(max(errors.values()) > LIMIT or broken <= LIMIT)


if __name__ == '__main__':
    sys.exit(main())
