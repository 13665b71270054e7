"""What runs beside the network: hooks of MMEngine's runner."""

from .run_summary import RunSummaryHook

__all__ = ['RunSummaryHook']
