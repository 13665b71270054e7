"""ISTVT against the public code of its authors' group.

    python tests/parity/istvt.py PATH_OF_THE_REPO

for Vill-Lab/2023-TIFS-ISTVT. Random weights, running statistics too, float32,
a clip of 6 frames of 300x300. Prints the largest differences of the features
and of the log-odds, and how far one changed row of weights moves them; the
exit code is 1 if a limit is broken.
"""

import argparse
import re
import sys
import types
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise, relative_error

import gml_mmaction  # noqa: F401  makes the host importable

CONFIG = Path(__file__).parents[2] / 'configs/video/istvt_xception_ffpp.py'
# Names of the head there and here.
NAMES = [
    (r'^pos_embedding$', 'positions'),
    (r'^space_token$', 'spatial_token'),
    (r'^transformer\.norm\.', 'norm.'),
    (r'^transformer\.layers\.', 'layers.'),
    (r'\.0\.norm\.', '.norm_time.'),
    (r'\.1\.norm\.', '.norm_space.'),
    (r'\.2\.norm\.', '.norm.'),
    (r'\.0\.fn\.', '.over_time.'),
    (r'\.1\.fn\.', '.over_space.'),
    (r'\.2\.fn\.net\.', '.feed_forward.'),
    (r'^mlp_head\.', 'fc_cls.'),
]


def translate(state: dict) -> dict:
    """Give the published head's weights the names that they have here."""
    ours = {}
    for name, value in state.items():
        for pattern, to in NAMES:
            name = re.sub(pattern, to, name)
        if name.endswith('to_qkv.weight'):
            qk, v = value.tensor_split([2 * len(value) // 3])
            ours[name.replace('qkv', 'qk')] = qk
            ours[name.replace('qkv', 'v')] = v
        elif name.startswith('fc_cls.1.'):  # one logit: fake; real's is 0
            ours[name] = torch.cat([torch.zeros_like(value), value])
        elif name in ('positions', 'spatial_token', 'temporal_token'):
            ours[name] = value.reshape(-1, *value.shape[-2:]).squeeze()
        else:
            ours[name] = value
    ours['positions'] = state['pos_embedding'][0]
    return ours


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    """Print the errors; return 1 if one is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('repo', help='a clone of the published code')
    sys.path.insert(0, parser.parse_args(argv).repo)
    unused = types.ModuleType('network.models_copy')  # wants many packages
    unused.model_selection = None
    sys.modules[unused.__name__] = unused
    from network.vivit.vivit import DSTTr
    from network.xception import Xception

    init_default_scope('mmaction')
    model = MODELS.build(Config.fromfile(CONFIG).model).eval()
    entry, head = randomise(Xception(1)).eval(), randomise(DSTTr(19, 1, 1, 6))
    model.backbone.load_state_dict(
        {
            name: value
            for name, value in entry.state_dict().items()
            if name in model.backbone.state_dict()
        }
    )
    model.cls_head.load_state_dict(translate(head.state_dict()))
    clip = torch.randn(1, 3, 6, 300, 300)
    maps = entry.low_level_features(clip[0].transpose(0, 1))
    ours = model.backbone(clip)
    features = relative_error(ours[0].transpose(0, 1), maps)
    maps = maps / maps.abs().max()  # scores of random weights are 0 or 1
    expected = head.eval()(maps[None])[0, 0]
    ours = maps.transpose(0, 1)[None]
    real, fake = model.cls_head(ours)[0]
    odds = float(((fake - real) - expected).abs() / expected.abs())
    print(f'features {tuple(maps.shape)}: {features:.1e}')
    print(f'log-odds {expected:.4f}: {odds:.1e}')
    broken = features > 1e-5 or odds > 1e-5
    model.cls_head.layers[3].over_time.to_v.weight[0] *= 2
    real, fake = model.cls_head(ours)[0]
    moved = float(((fake - real) - expected).abs() / expected.abs())
    print(f'one row of the fourth layer changed: {moved:.1e}')
    return 1 if broken or moved <= odds else 0


if __name__ == '__main__':
    sys.exit(main())
