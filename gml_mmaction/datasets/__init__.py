"""Clips of face crops: read, cut, degraded, augmented and sampled."""

from .clip_augment import ClipAugment
from .clip_transforms import (
    ClipDecode,
    DistortClip,
    FaceCrop,
    RandomDistortClip,
)
from .face_clips import FaceClipDataset
from .samplers import BalancedSampler, ClipSampler

__all__ = [
    'BalancedSampler',
    'ClipAugment',
    'ClipDecode',
    'ClipSampler',
    'DistortClip',
    'FaceClipDataset',
    'FaceCrop',
    'RandomDistortClip',
]
