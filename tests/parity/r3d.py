"""The R3D of configs/_base_/models/r3d_r18.py against torchvision's r3d_18.

    python tests/parity/r3d.py FOLDER

FOLDER holds torchvision, as ``pip install --no-deps --target FOLDER
torchvision`` leaves it; its native operators need not fit PyTorch. Random
weights, running statistics too, float32, loaded as ``--weights`` loads the
Kinetics file, which has to be in their order. Prints the largest difference,
which has to be 0, and that with one perturbed weight; the exit code is 1
otherwise.
"""

import argparse
import sys
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise
from torchvision_models import import_from

import gml_mmaction  # noqa: F401  makes the host importable
from gml_mmaction.engine.initial_weights import load_tensors

CONFIGS = Path(__file__).parents[2] / 'configs'
CLIPS = [(8, 64), (8, 112), (8, 224), (16, 112)]


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    """Print the errors; return 1 if one is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='where torchvision is')
    import_from(parser.parse_args(argv).folder)
    from torchvision.models.video import r3d_18

    theirs = randomise(r3d_18(weights=None)).eval()
    config = Config.fromfile(CONFIGS / '_base_/models/r3d_r18.py')
    ours = MODELS.build(config.model.backbone)
    ours.eval()
    state = theirs.state_dict()
    names = ours.state_dict()
    print(f'tensors: {len(names)} of {len(state)}, without {list(state)[-2:]}')
    load_tensors(ours, state, Path('r3d_18-b3b3357e.pth'))
    ordered = dict(zip(names, state.values()))
    renamed = ours.state_dict()
    theirs.avgpool = theirs.fc = torch.nn.Identity()  # leaves (N, C*T*H*W)
    broken = list(state)[len(names) :] != ['fc.weight', 'fc.bias']
    broken |= not all(renamed[n].equal(x) for n, x in ordered.items())
    for frames, size in CLIPS:
        clip = torch.randn(1, 3, frames, size, size)
        expected = theirs(clip)
        difference = float((ours(clip).flatten(1) - expected).abs().max())
        print(f'{frames} x {size}: {difference} of {expected.abs().max():.1f}')
        broken |= difference != 0
    ours.layer3[0].conv2.conv.weight[0] *= 1.01
    moved = float((ours(clip).flatten(1) - expected).abs().max())
    print(f'one kernel of layer3, 1 % larger: {moved:.1e}')
    return 1 if broken or moved == 0 else 0


if __name__ == '__main__':
    sys.exit(main())
