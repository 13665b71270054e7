"""What runs beside the network: hooks of MMEngine's runner."""

from .best_checkpoint import LatestBestCheckpointHook
from .provenance import ProvenanceHook
from .run_summary import RunSummaryHook

__all__ = ['LatestBestCheckpointHook', 'ProvenanceHook', 'RunSummaryHook']
