"""Clips of face crops, and how they are augmented and sampled."""

from .clip_augment import ClipAugment
from .face_clips import FaceClipDataset
from .samplers import BalancedSampler

__all__ = ['BalancedSampler', 'ClipAugment', 'FaceClipDataset']
