"""Training and testing: hooks and checks around MMEngine's runner."""

from .alternate import AltFreezingHook
from .best_checkpoint import LatestBestCheckpointHook
from .channels_last import ChannelsLastHook
from .faster_blocks import FasterBlocksHook
from .initial_weights import InitialWeightsHook
from .processes import ProcessesError, ProcessesHook
from .provenance import ProvenanceHook
from .random_starts import (
    DifferenceStartHook,
    MimeticStartHook,
    WhitenedStartHook,
)
from .resume import (
    DivergedError,
    FiniteHook,
    PreemptionHook,
    ResumeHook,
    newest_checkpoint,
    outlive_preemption,
)
from .run_summary import RunSummaryHook

__all__ = [
    'AltFreezingHook',
    'ChannelsLastHook',
    'DifferenceStartHook',
    'DivergedError',
    'FasterBlocksHook',
    'FiniteHook',
    'InitialWeightsHook',
    'LatestBestCheckpointHook',
    'MimeticStartHook',
    'PreemptionHook',
    'ProcessesError',
    'ProcessesHook',
    'ProvenanceHook',
    'ResumeHook',
    'RunSummaryHook',
    'WhitenedStartHook',
    'newest_checkpoint',
    'outlive_preemption',
]
