"""GML for MMAction2: motion features for face forgery detection.

Importing the package prepares the host (:mod:`gml_mmaction.host`) and
registers models, datasets, metrics and hooks in MMAction2's registries; it
does nothing more. Configs name it in ``custom_imports``.
"""

from . import host
from .version import __version__

__all__ = ['__version__', 'register']


def register() -> None:
    """Prepare the host and register what configs name; once is enough.

    Raises:
        StackError: A part of the stack is missing or of a wrong version.
    """
    host.prepare()

    from . import datasets, engine, evaluation, models  # noqa: F401


host.give_home()
# A command registers when it begins: what is wrong with the stack is then one
# line, the doctor runs where nothing else does, and --help is quick.
if not host.starts_a_command():
    register()
