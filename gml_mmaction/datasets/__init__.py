"""Clips of face crops: read, cut, degraded, augmented and sampled."""

from .clip_augment import ClipAugment
from .clip_encode import RandomEncode
from .clip_transforms import (
    ClipDecode,
    DistortClip,
    FaceCrop,
    RandomDistortClip,
)
from .cut_out import CutOut
from .face_clips import FaceClipDataset
from .genuine_clips import GenuineClipDataset
from .samplers import BalancedSampler, ClipSampler, PairSampler

__all__ = [
    'BalancedSampler',
    'ClipAugment',
    'ClipDecode',
    'ClipSampler',
    'CutOut',
    'DistortClip',
    'FaceClipDataset',
    'FaceCrop',
    'GenuineClipDataset',
    'PairSampler',
    'RandomDistortClip',
    'RandomEncode',
]
