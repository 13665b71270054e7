"""GML for MMAction2: motion features for face forgery detection.

Importing the package prepares the host (:mod:`gml_mmaction.host`) and
registers models, datasets, metrics and hooks in MMAction2's registries.
Configs name it in ``custom_imports``.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from . import host
from .version import __version__

__all__ = ['__version__', 'register', 'uncollected']


@contextmanager
def uncollected() -> Iterator[None]:
    """Import without looking for garbage: a fifth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def register() -> None:
    """Prepare the host and register what configs name. One call is enough.

    Raises:
        StackError: A required package is missing or has a wrong version.
    """
    with uncollected():
        host.prepare()

        from . import datasets, engine, evaluation, models  # noqa: F401
        from .synthetic import pseudo_fakes  # noqa: F401


host.give_home()
# A command registers when it begins. So a broken stack gives one line of
# error, `gml doctor` runs even then, and --help is quick.
COMMAND = host.starts_a_command()
if not COMMAND:
    register()
