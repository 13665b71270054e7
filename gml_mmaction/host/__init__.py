"""Every workaround for MMAction2, MMEngine and MMCV on today's PyTorch.

Small functions, each with its upstream report, one module per subject:
:mod:`.imports`, :mod:`.configs`, :mod:`.safe_checkpoints`,
:mod:`.processes`, :mod:`.runs` and :mod:`.mixed_precision`. A workaround
checks a version, or tries the function, to see whether it is needed. It may
be applied twice, and does nothing if upstream is repaired. :func:`prepare`
applies what the host's own tools need, when the package is imported;
:func:`prepare_run` applies the rest, when a runner is built. :func:`status`
lists them all for ``gml doctor``.

Importing this package needs nothing but the standard library.
"""

from gml_mmaction.io.text import one_line
from gml_mmaction.stack import require

from . import (
    configs,
    imports,
    mixed_precision,
    processes,
    runs,
    safe_checkpoints,
)
from .imports import give_home, starts_a_command
from .workaround import Workaround

__all__ = [
    'WORKAROUNDS',
    'Workaround',
    'give_home',
    'prepare',
    'prepare_run',
    'starts_a_command',
    'status',
]

AT_IMPORT = (
    imports.WORKAROUNDS
    + configs.WORKAROUNDS
    + safe_checkpoints.WORKAROUNDS
    + processes.WORKAROUNDS
)
AT_A_RUN = runs.WORKAROUNDS + mixed_precision.WORKAROUNDS
WORKAROUNDS = AT_IMPORT + AT_A_RUN


def prepare() -> None:
    """Make the host importable and safe; call it before ``mmaction.models``.

    Raises:
        StackError: A required package is missing or has a wrong version.
    """
    for name in ('torch', 'mmengine', 'mmcv', 'mmaction'):
        require(name)
    _apply(AT_IMPORT)


def prepare_run() -> None:
    """Let MMEngine's runner train and test as this package promises."""
    prepare()
    _apply(AT_A_RUN)


def status() -> list[tuple[Workaround, str]]:
    """Every workaround with the reason why it is active ('' if it is not)."""
    return [(item, _reason_or_error(item)) for item in WORKAROUNDS]


def _apply(workarounds: tuple[Workaround, ...]) -> None:
    for workaround in workarounds:
        if workaround.apply is not None and workaround.reason():
            workaround.apply()


def _reason_or_error(workaround: Workaround) -> str:
    try:
        return workaround.reason()
    except Exception as error:  # a broken stack may fail in any way
        return f'unknown: {one_line(error)}'
