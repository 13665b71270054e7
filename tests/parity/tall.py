"""TALL's Swin against timm's, window by window.

    python tests/parity/tall.py FOLDER

FOLDER holds timm and torchvision, as ``pip install --no-deps --target FOLDER
timm torchvision`` leaves them. Random weights, float32: four frames of
112x112 through TALL, their picture through timm's Swin of half of Swin-T's
channels, with windows of 14 where the map allows as in TALL's public
training, and of 7. Prints the largest relative differences and what changing
one row of weights does; the exit code is 1 if a limit is broken.
"""

import argparse
import re
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise, relative_error
from torchvision_models import import_from

from gml_mmaction.models import TALL
from gml_mmaction.models.tall import lay_out

DEPTHS, HEADS = (2, 2, 4, 2), (2, 4, 8, 16)


def published(state: dict) -> dict:
    """Timm's names as Swin's authors have them: merging ends a stage."""
    names = {}
    for name, value in state.items():
        before = re.match(r'layers\.(\d)\.downsample\.', name)
        if before:
            stage = int(before[1])
            name = name.replace(f'layers.{stage}', f'layers.{stage - 1}', 1)
        if not name.startswith('head'):
            names[name] = value
    return names


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    """Print the errors; return 1 if one is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='where timm and torchvision are')
    import_from(parser.parse_args(argv).folder)
    from timm.models.swin_transformer import SwinTransformer

    broken = False
    for window in (14, 7):
        theirs = SwinTransformer(
            embed_dim=48, depths=DEPTHS, num_heads=HEADS, window_size=window
        )
        randomise(theirs).eval()
        for table in theirs.parameters():  # sane for a transformer
            table.mul_(0.3 if table.dim() > 1 else 1)
        arch = dict(embed_dims=48, depths=DEPTHS, num_heads=HEADS)
        ours = TALL(arch, windows=(window, window, window, 7))
        ours.eval()
        ours.patch_embed.frame_positions.zero_()
        state = published(theirs.state_dict())
        missing, extra = ours.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith('_index')]
        print(f'window {window}: missing {missing}, unexpected {extra}')
        broken |= missing != ['patch_embed.frame_positions'] or extra != []
        clip = torch.randn(2, 3, 4, 112, 112)
        expected = theirs.forward_features(lay_out(clip, 2))
        expected = expected.permute(0, 3, 1, 2)[:, :, None]
        error = relative_error(ours(clip), expected)
        ours.layers[2].blocks[1].attn.qkv.weight[0] *= 2
        moved = relative_error(ours(clip), expected)
        print(f'{tuple(expected.shape)}: {error:.1e}')
        print(f'changing one row of weights: {moved:.1e}')
        broken |= error > 1e-5 or moved < 10 * error
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
