"""GML for MMAction2: motion features for face forgery detection.

Importing the package prepares the host (:mod:`gml_mmaction.host`) and
registers models, datasets, metrics and hooks in MMAction2's registries; it
does nothing more. Configs name it in ``custom_imports``.
"""

__version__ = '0.1.0'

from . import host

host.give_home()
if not host.diagnosing():  # the doctor has to run where nothing else does
    host.prepare()

    from . import datasets, engine, evaluation, models

    __all__ = ['datasets', 'engine', 'evaluation', 'host', 'models']
