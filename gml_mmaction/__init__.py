"""GML for MMAction2: motion features for face forgery detection.

Importing the package prepares the host (:mod:`gml_mmaction.host`) and
registers models, datasets, metrics and hooks in MMAction2's registries; it
does nothing more. Configs name it in ``custom_imports``.
"""

from . import host
from .version import __version__

host.give_home()
if not host.diagnosing():  # the doctor has to run where nothing else does
    host.prepare()

    from . import datasets, engine, evaluation, models

    __all__ = [
        '__version__',
        'datasets',
        'engine',
        'evaluation',
        'host',
        'models',
    ]
