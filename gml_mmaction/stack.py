"""The packages that this one needs: their versions, and what to install.

Importing this module needs nothing but the standard library.
"""

import importlib
import re
from types import ModuleType
from typing import NamedTuple

from gml_mmaction.errors import GMLError
from gml_mmaction.io.text import one_line


class Range(NamedTuple):
    """The versions of a part of the stack that work; setup.py has the same.

    Attributes:
        distribution: What to install.
        lowest: The first version that works.
        beyond: The first that does not, '' if none is known.
        why: What is wrong with the others.
    """

    distribution: str
    lowest: str
    beyond: str
    why: str

    @property
    def limits(self) -> str:
        """As pip reads them: '>=2.1.0,<2.2.0'."""
        return f'>={self.lowest}' + (f',<{self.beyond}' if self.beyond else '')


# By the name to import.
RANGES = {
    'torch': Range(
        'torch', '2.6', '', 'its safe loader has no allow-list of stand-ins'
    ),
    'numpy': Range('numpy', '1.24', '', 'it was not tried'),
    'setuptools': Range(
        'setuptools', '77.0.3', '82', 'MMEngine needs its pkg_resources'
    ),
    'mmengine': Range(
        'mmengine', '0.10.4', '1.0', 'MMAction2 and we were not tried with it'
    ),
    'mmcv': Range('mmcv-lite', '2.1.0', '2.2.0', 'MMAction2 refuses it'),
    'mmaction': Range(
        'mmaction2', '1.2.0', '1.3', 'the plugin was not tried with it'
    ),
}

REMEDIES = {
    **{
        name: f'pip install "{part.distribution}{part.limits}"'
        for name, part in RANGES.items()
    },
    'mmcv': 'pip install "gml-mmaction[lite]", or a full '
    f'mmcv{RANGES["mmcv"].limits}',
    'dlib': 'pip install "gml-mmaction[lite]", or compile it: '
    'pip install dlib',
    'cv2': 'pip install opencv-python-headless',
    'av': 'pip install "gml-mmaction[video]"',
    'nicegui': 'pip install "gml-mmaction[web]"',
    'decord': 'pip install decord; nothing but DecordInit and DecordDecode of '
    'MMAction2 needs it',
    'distributed': 'pip install "gml-mmaction[cluster]"',
}

CV2_LIBRARIES = (
    'a system library is missing: apt-get install libgl1 libglib2.0-0 '
    'libxcb1, or what your system calls them; or install '
    'opencv-python-headless in place of all other OpenCV wheels'
)


class StackError(GMLError, ImportError):
    """The installed stack cannot be used."""


def require(name: str) -> ModuleType:
    """Import ``name``, or say in one line what to install.

    Args:
        name: Name as in ``import name``; those in ``REMEDIES`` have an
            advice of their own.

    Raises:
        StackError: The module, or something that it needs, cannot be
            imported, or is of a version that the host rejects.
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
    return REMEDIES.get(name, f'pip install {name}')
