"""Scores of forgery detection."""

from .forgery_metric import (
    ForgeryMetric,
    equal_error_rate,
    forgery_scores,
    merge_clips,
)

__all__ = [
    'ForgeryMetric',
    'equal_error_rate',
    'forgery_scores',
    'merge_clips',
]
