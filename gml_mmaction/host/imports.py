"""Repairs that let MMAction2 and its dependencies be imported."""

import importlib.metadata
import os
import sys
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from gml_mmaction.stack import WORKER, StackError, require

from .workaround import HOME, Workaround, folder_of

NOWHERE = '/nonexistent'


def starts_a_command() -> bool:
    """True while ``gml``, ``python -m gml_mmaction`` or a script starts.

    The scripts are those in the folder ``tools`` of a clone or a wheel. It is
    also true in the processes that a command starts for its jobs.
    """
    if WORKER in os.environ:
        return True
    if sys.argv[0] == '-m':  # what runs is being looked for
        words = zip(sys.orig_argv, sys.orig_argv[1:])
        return ('-m', 'gml_mmaction') in words
    program = Path(sys.argv[0])
    tools = (HOME.parent / 'tools', HOME / '.mim' / 'tools')
    return program.name in ('gml', 'gml.exe') or (
        program.suffix == '.py' and program.resolve().parent in tools
    )


def give_home() -> None:
    """Let a user without a home import the stack, as in some containers.

    Upstream: yapf and platformdirs, which MMEngine imports, fail if ``HOME``
    is not set and the system does not know the user; no report upstream is
    known to us. Here such a user gets the home of Debian's user nobody. It
    does not exist, so nothing is cached.
    """
    if os.path.expanduser('~') == '~':
        os.environ['HOME'] = NOWHERE


def add_missing_drn() -> None:
    """Replace ``localizers.drn``, which MMAction2's wheel lacks.

    Upstream: open-mmlab/mmaction2#2714. ``mmaction.models`` imports DRN, an
    action localiser that no detector of forgeries uses.
    """
    package = 'mmaction.models.localizers.drn'
    if package in sys.modules:
        return
    from mmaction.registry import MODELS

    class DRN:
        """Replaces the model that MMAction2's wheel lacks."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise StackError(
                'DRN is not part of the installed MMAction2 wheel. Remedy: '
                'install MMAction2 from its sources'
            )

    MODELS.register_module(name='DRN', module=DRN, force=True)
    for name in (package, f'{package}.drn'):
        module: Any = ModuleType(name, DRN.__doc__)
        module.DRN = DRN
        sys.modules[name] = module
    sys.modules[package].__path__ = []


def add_missing_importlib_metadata() -> None:
    """Use the standard library in place of its back-port.

    Upstream: ``mmaction/utils/dependency.py`` imports importlib_metadata,
    which MMAction2 1.2.0 does not declare; no report upstream is known to us.
    """
    sys.modules.setdefault('importlib_metadata', importlib.metadata)


def import_mmcv_lite_quietly() -> None:
    """Stop mmcv-lite from warning, in every process, of what it lacks.

    Upstream: ``mmcv/cnn/bricks/transformer.py`` warns at import that
    ``MultiScaleDeformableAttention``, which no model here uses, is not there.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            'ignore', 'Fail to import ``MultiScaleDeformableAttention``'
        )
        require('mmcv.cnn.bricks.transformer')


def _why_home() -> str:
    return 'the user has no home' if os.environ.get('HOME') == NOWHERE else ''


def _why_drn() -> str:
    models = folder_of('mmaction') / 'models'
    found = (models / 'localizers' / 'drn' / 'drn.py').is_file()
    return '' if found else 'the installed MMAction2 lacks localizers/drn'


def _why_importlib_metadata() -> str:
    found = PathFinder.find_spec('importlib_metadata')
    return '' if found else 'importlib_metadata is not installed'


def _why_mmcv_lite() -> str:
    found = PathFinder.find_spec('_ext', [str(folder_of('mmcv'))])
    return '' if found else 'the installed mmcv has no operators'


WORKAROUNDS = (
    Workaround(
        'a user without a home',
        'platformdirs/_xdg.py',
        _why_home,
        give_home,
    ),
    Workaround(
        'missing mmaction.models.localizers.drn',
        'open-mmlab/mmaction2#2714',
        _why_drn,
        add_missing_drn,
    ),
    Workaround(
        'undeclared importlib_metadata',
        'mmaction/utils/dependency.py',
        _why_importlib_metadata,
        add_missing_importlib_metadata,
    ),
    Workaround(
        'warning of mmcv-lite at import',
        'mmcv/cnn/bricks/transformer.py',
        _why_mmcv_lite,
        import_mmcv_lite_quietly,
    ),
)
