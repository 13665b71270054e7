"""The networks: motion blocks, Xception, the AD head; then the baselines."""

from .frame_wise import FrameHead, FramePreprocessor
from .gml_head import ADBlock, ADHead, GMLHead
from .motion import CMM, CSTM, MCB, MCM, STMBlock
from .xception import Xception

__all__ = [
    'CMM',
    'CSTM',
    'MCB',
    'MCM',
    'ADBlock',
    'ADHead',
    'FrameHead',
    'FramePreprocessor',
    'GMLHead',
    'STMBlock',
    'Xception',
]
