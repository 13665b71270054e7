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
    ]
else:
    CONFIGS = [
        *REPO.glob('configs/*small*.py'),
        *REPO.glob('configs/*/*small*.py'),
    ]
CONFIGS = sorted(path for path in CONFIGS if 'imagenet' not in path.stem)
