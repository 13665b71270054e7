"""Pseudo-fakes: forgeries made from genuine clips, one family a file.

A family changes the inner face of a clip and leaves the rest as it is
(:class:`.family.PseudoFake`). Each is a registered transform, found by
importing every module of this folder; configs name them in the ``families``
of :class:`~gml_mmaction.datasets.GenuineClipDataset`, which trains on pairs of
a genuine clip and its fake. In a set that has fakes of its own,
:class:`.random_pseudo_fake.RandomPseudoFake` adds some.
"""

import importlib
import pkgutil

__all__ = ['import_all']


def import_all() -> None:
    """Register what the modules of this folder define."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f'{__name__}.{module.name}')


import_all()
