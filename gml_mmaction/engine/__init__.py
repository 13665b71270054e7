"""What runs beside the network: hooks of MMEngine's runner."""

from .best_checkpoint import LatestBestCheckpointHook
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
    'DivergedError',
    'FiniteHook',
    'LatestBestCheckpointHook',
    'PreemptionHook',
    'ProvenanceHook',
    'RunSummaryHook',
    'UnbrokenHook',
    'newest_checkpoint',
    'outlive_preemption',
]
