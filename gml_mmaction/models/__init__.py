"""The networks: motion blocks, Xception, the AD head."""

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
    'GMLHead',
    'STMBlock',
    'Xception',
]
