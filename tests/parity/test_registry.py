"""Networks equal those of packages that the registry has.

The packages lie in a folder of their own, GML_TEST_ORACLES, and are imported
by a process of their own: installed beside the project, a torchvision that
was built for another PyTorch would break the host.
"""

import os
from pathlib import Path

import pytest

FOLDER = os.environ.get('GML_TEST_ORACLES', '')


@pytest.mark.slow
@pytest.mark.parametrize('script', ['xception', 'r3d', 'densenet', 'tall'])
def test_a_network_equals_its_published_one(script, run_warm):
    needed = ('torchvision', 'timm') if script == 'tall' else ('torchvision',)
    for package in needed:
        if not Path(FOLDER, package).is_dir():
            pytest.skip(f'no {package} in GML_TEST_ORACLES={FOLDER!r}')
    path = Path(__file__).parent / f'{script}.py'
    done = run_warm(str(path), FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert 'changing one' in done.stdout or '1 % larger' in done.stdout
