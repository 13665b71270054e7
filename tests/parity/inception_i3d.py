"""InceptionI3D against the public port of I3D (piergiaj/pytorch-i3d).

    python tests/parity/inception_i3d.py PATH_OF_THE_OTHER_REPO

Random weights, running statistics too, float64, loaded by their names.
Prints the relative error of every endpoint and how far one perturbed weight
moves the last; the exit code is 1 if a limit is broken.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise, relative_error

from gml_mmaction.models import InceptionI3D

LIMIT = 1e-10
CLIPS = [(8, 64), (8, 100), (8, 224), (8, 299), (16, 112), (7, 75)]


def load_port(folder: str) -> type[nn.Module]:
    """The port's network, with its logits, which no clip here reaches."""
    path = Path(folder) / 'pytorch_i3d.py'
    spec = importlib.util.spec_from_file_location('pytorch_i3d', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.InceptionI3d


@torch.no_grad()
def endpoints(stages: dict[str, nn.Module], x: torch.Tensor) -> dict:
    """The output of every stage, by its name."""
    found = {}
    for name, stage in stages.items():
        x = found[name] = stage(x)
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the errors; return 1 if one is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='a checkout of piergiaj/pytorch-i3d')
    theirs = load_port(parser.parse_args(argv).folder)()
    randomise(theirs).double().eval()
    ours = InceptionI3D().double().eval()
    state = theirs.state_dict()
    missing, unexpected = ours.load_state_dict(state, strict=False)
    broken = missing + [k for k in unexpected if not k.startswith('logits.')]
    print(f'names that do not fit: {broken}')
    stages = {name: theirs._modules[name] for name, _ in ours.named_children()}
    for frames, size in CLIPS:
        clip = torch.rand(1, 3, frames, size, size).double() * 2 - 1
        expected = endpoints(stages, clip)
        found = endpoints(dict(ours.named_children()), clip)
        for name, value in found.items():
            error = relative_error(value, expected[name])
            print(
                f'{frames} x {size}: {name} {tuple(value.shape)} {error:.1e}'
            )
            broken += [name] * (not error <= LIMIT)
    with torch.no_grad():
        ours.Mixed_4c.b1b.conv3d.weight[0] *= 1.01
        moved = relative_error(ours(clip), expected['Mixed_5c'])
    print(f'one kernel of Mixed_4c.b1b, 1 % larger: {moved:.1e}')
    return 1 if broken or moved <= LIMIT else 0


if __name__ == '__main__':
    sys.exit(main())
