"""Package gml-mmaction: GML as a plugin of MMAction2.

Full mmcv and a compiled dlib are left alone: their light-weight stand-ins,
which own the same folders, come with the extra ``lite`` only.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r"^__version__ = '(.+)'$",
    (ROOT / 'gml_mmaction' / 'version.py').read_text(encoding='utf-8'),
    re.MULTILINE,
)[1]
README = ROOT / 'README.md'

LITE = ['mmcv-lite>=2.1.0,<2.2.0', 'dlib-bin>=19.24']
VIDEO = ['av>=16']  # needed in any case; the extra is kept
# a page on one's own machine; filelock tells a crashed server's left-overs
WEB = ['nicegui>=3.18,<4', 'av>=16', 'filelock>=3.20.3']
CLUSTER = ['dask', 'distributed']  # preparation on many machines
DEMO = ['scikit-image>=0.22']  # carries the portrait of an astronaut
TENSORBOARD = ['tensorboard']
TEST = [
    'pytest>=8',
    'pytest-timeout',
    'pytest-xdist',
    'ruff',
    'model-index',
    'efficientnet-pytorch',
    'playwright',
    'psutil',
]

setup(
    name='gml-mmaction',
    version=VERSION,
    description='GML: motion features for face forgery detection, '
    'a plugin of MMAction2',
    long_description=README.read_text(encoding='utf-8')
    if README.is_file()
    else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['gml_mmaction', 'gml_mmaction.*']),
    package_data={'gml_mmaction.kernels': ['csrc/*']},
    entry_points={'console_scripts': ['gml = gml_mmaction.cli:main']},
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.6',  # older ones have no allow-list of named stand-ins
        'numpy>=1.24',
        'setuptools>=77.0.3,<82',  # MMEngine needs its pkg_resources
        'mmengine>=0.10.4,<1.0',
        'mmaction2>=1.2.0,<1.3',
        'importlib_metadata',  # imported, yet not declared, by mmaction2
        # One version for both. MMCV and MMAction2 declare them, so these are
        # what pip will install in any case. make takes the one headless
        # wheel instead, which needs no libGL or X11 from the system.
        'opencv-python>=4.8',
        'opencv-contrib-python>=4.8',
        'av>=16',  # reads and writes all videos
        'decord>=0.6.0',  # for DecordInit and DecordDecode of MMAction2
        'scikit-learn>=1.3',
        'scipy',
        'matplotlib>=3.7',
        'pillow>=10',  # tells the size of an image before it is decoded
        'tqdm',
    ],
    extras_require={
        'lite': LITE,
        'video': VIDEO,
        'web': WEB,
        'cluster': CLUSTER,
        'demo': DEMO,
        'tensorboard': TENSORBOARD,
        'test': TEST,
        'all': LITE + VIDEO + WEB + CLUSTER + DEMO + TENSORBOARD + TEST,
    },
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
