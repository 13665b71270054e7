"""Pseudo-fakes: forgeries made from genuine clips, one family a file.

A family changes the inner face of a clip and leaves the rest as it is
(:class:`.family.PseudoFake`). Each is a registered transform; configs name
them in the ``families`` of
:class:`~gml_mmaction.datasets.GenuineClipDataset`, which trains on pairs of
a genuine clip and its fake. In a set that has fakes of its own,
:class:`.random_pseudo_fake.RandomPseudoFake` adds some.
"""

from .detail_loss import DetailLoss
from .family import Face, Forgery, PseudoFake
from .motion_self_blend import MotionSelfBlend
from .part_motion import PartMotion
from .random_pseudo_fake import RandomPseudoFake
from .self_blend import SelfBlend
from .time_slips import (
    FaceDropout,
    FaceRepeat,
    TemporalDropout,
    TemporalRepeat,
)

__all__ = [
    'DetailLoss',
    'Face',
    'FaceDropout',
    'FaceRepeat',
    'Forgery',
    'MotionSelfBlend',
    'PartMotion',
    'PseudoFake',
    'RandomPseudoFake',
    'SelfBlend',
    'TemporalDropout',
    'TemporalRepeat',
]
