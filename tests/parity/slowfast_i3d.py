"""FTCN and AltFreezing's network against their authors' public inference code.

    python tests/parity/slowfast_i3d.py {ftcn,altfreezing} PATH_OF_THE_REPO

for yinglinzheng/FTCN and ZhendongWang6/AltFreezing, whose networks are
SlowFast's I3D. Needs fvcore, iopath, portalocker, yacs, termcolor, tabulate,
simplejson and six on the path, best in a folder of their own that PYTHONPATH
names (``pip install --no-deps --target``). Random weights, running statistics
too, float32, a clip of 32 frames of 224x224. Prints the largest difference of
the scores and of the features, and what one changed row of weights does; the
exit code is 1 if a limit is broken.
"""

import argparse
import importlib
import re
import sys
import types
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import predict, randomise, relative_error

import gml_mmaction  # noqa: F401  makes the host importable

CONFIGS = Path(__file__).parents[2] / 'configs'
SYSTEMS = {
    'ftcn': ('ftcn_tt.yaml', 'i3d_temporal_var_fix_dropout_tt_cfg', 'ftcn'),
    'altfreezing': ('i3d_ori.yaml', 'i3d_ori', 'altfreezing'),
}
# Names there and here, of the trunk and then of the heads.
TRUNK = [
    (r'^resnet\.', ''),
    (r'^s1\.pathway0_stem\.', 'backbone.conv1.'),
    (
        r'^s(\d)\.pathway0_res(\d)\.',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.',
    ),
    (r'\.branch1\.', '.downsample.conv.'),
    (r'\.branch1_bn\.', '.downsample.bn.'),
    (r'\.branch2\.([abc])\.', lambda m: f'.conv{" abc".index(m[1])}.conv.'),
    (r'\.branch2\.([abc])_bn\.', lambda m: f'.conv{" abc".index(m[1])}.bn.'),
    (r'\.bn\.0\.', '.bn.'),
]
HEADS = [
    (r'^head\.projection\.', 'cls_head.fc_cls.'),
    (r'^head\.time_T\.', 'cls_head.'),
    (r'\.pos_embedding$', '.positions'),
    (r'\.transformer\.layers\.', '.layers.'),
    (r'\.(\d)\.0\.norm\.', r'.\1.norm1.'),
    (r'\.(\d)\.1\.norm\.', r'.\1.norm2.'),
    (r'\.(\d)\.0\.fn\.norm\.', r'.\1.norm1.'),
    (r'\.(\d)\.0\.fn\.', r'.\1.attention.'),
    (r'\.(\d)\.1\.fn\.norm\.', r'.\1.norm2.'),
    (r'\.(\d)\.1\.fn\.', r'.\1.feed_forward.'),
    (r'\.attention\.fn\.', '.attention.'),
    (r'\.feed_forward\.fn\.net\.', '.feed_forward.'),
    (r'\.mlp_head\.0\.', '.norm.'),
    (r'\.mlp_head\.1\.', '.fc_cls.'),
]


def theirs(repo: str, setting: str, module: str) -> torch.nn.Module:
    """Build the published network; it prints a lot."""
    sys.path.insert(0, repo)
    sys.modules.setdefault('pandas', types.ModuleType('pandas'))  # for tables
    config = importlib.import_module('config').config
    config.init_with_yaml()
    config.update_with_yaml(setting)
    code = importlib.import_module(f'model.classifier.{module}')
    if hasattr(code, 'parameters'):  # PyTorch has new arguments since then
        code.parameters[:] = code.parameters[:-2]
    return code.I3D8x8().eval()


def translate(state: dict) -> dict:
    """Give the published weights the names that they have here."""
    ours = {}
    for name, value in state.items():
        for pattern, to in TRUNK + HEADS:
            name = re.sub(pattern, to, name)
        if name.endswith('to_qkv.weight'):
            qk, v = value.tensor_split([2 * len(value) // 3])
            ours[name.replace('qkv', 'qk')] = qk
            ours[name.replace('qkv', 'v')] = v
        elif '.fc_cls.' in name:  # one logit: that of fake, real's is 0
            ours[name] = torch.cat([torch.zeros_like(value), value])
        else:
            ours[name] = value.squeeze(0) if 'positions' in name else value
    return ours


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    """Print the errors; return 1 if one is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('system', choices=SYSTEMS)
    parser.add_argument('repo', help='a clone of the published code')
    args = parser.parse_args(argv)
    init_default_scope('mmaction')
    setting, module, config = SYSTEMS[args.system]
    network = randomise(theirs(args.repo, setting, module))
    if args.system == 'altfreezing':  # scores of random weights are 0 or 1
        network.resnet.head.projection.weight *= 1e-4
    cfg = Config.fromfile(CONFIGS / f'video/{config}_i3d-r50_ffpp.py')
    model = MODELS.build(cfg.model)
    model.load_state_dict(translate(network.state_dict()))
    clip = torch.randint(256, (1, 3, 32, 224, 224)).float()
    inputs = model.data_preprocessor(
        dict(inputs=[clip], data_samples=None), False
    )['inputs'][0]
    features = []
    network.resnet.head.register_forward_pre_hook(
        lambda _, args: features.append(args[0][0].clone())
    )
    output = network(inputs.clone())['final_output'].flatten()
    score = (output if args.system == 'ftcn' else output.sigmoid()).item()
    model.eval()
    own = predict(model, clip)[0].pred_score[1].item()
    error = relative_error(model.backbone(inputs), features[0])
    print(f'score: {own:.7f}, theirs {score:.7f}')
    print(f'features {tuple(features[0].shape)}: {error:.1e}')
    broken = abs(own - score) > 1e-5 or error > 1e-5
    model.backbone.layer3[0].conv2.conv.weight[0] *= 1.1
    moved = relative_error(model.backbone(inputs), features[0])
    print(f'one row of layer3 changed: {moved:.1e}')
    return 1 if broken or moved < 1e-4 else 0


if __name__ == '__main__':
    sys.exit(main())
