"""Training and testing: hooks and checks around MMEngine's runner."""

from .alternate import AltFreezingHook
from .best_checkpoint import LatestBestCheckpointHook
from .processes import ProcessesError, ProcessesHook
from .provenance import ProvenanceHook
from .run_summary import RunSummaryHook
from .unbroken import (
    DivergedError,
    FiniteHook,
    PreemptionHook,
    UnbrokenHook,
    newest_checkpoint,
    outlive_preemption,
)

__all__ = [
    'AltFreezingHook',
    'DivergedError',
    'FiniteHook',
    'LatestBestCheckpointHook',
    'PreemptionHook',
    'ProcessesError',
    'ProcessesHook',
    'ProvenanceHook',
    'RunSummaryHook',
    'UnbrokenHook',
    'newest_checkpoint',
    'outlive_preemption',
]
