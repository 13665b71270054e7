"""On what device the tests run, and on which configs."""

import os
from pathlib import Path

REPO = Path(__file__).parents[2]
ASKED = os.environ.get('GML_GPU_TESTS_ON')
DEVICE = ASKED or 'cpu'
if DEVICE == 'cuda':
    CONFIGS = [
        *REPO.glob('configs/*_ffpp.py'),
        *REPO.glob('configs/*/*_ffpp.py'),
        REPO / 'configs/genuine/efficientnet_b4_genuine.py',
        REPO / 'configs/genuine/mobilenet_v2_genuine.py',
        REPO / 'configs/genuine/tsm_mobilenet-v2_genuine.py',
    ]
else:
    CONFIGS = [
        *REPO.glob('configs/*small*.py'),
        *REPO.glob('configs/*/*small*.py'),
    ]
# Neither parts of configs, nor networks and clips that another has.
CONFIGS = sorted(
    path
    for path in CONFIGS
    if path.parent.name != '_base_'
    and 'imagenet' not in path.stem
    and not path.stem.endswith('_videos')
)
