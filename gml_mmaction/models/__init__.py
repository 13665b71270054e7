"""The networks: motion blocks, Xception, the AD head; then the baselines."""

from .c3d import AdaptiveC3D
from .densenet import DenseNet
from .efficientnet import EfficientNet
from .f3net import F3Net
from .frame_wise import FrameHead, FramePreprocessor
from .ftcn import FTCN, TimeTransformerHead
from .gml_head import ADBlock, ADHead, GMLHead
from .inception_i3d import InceptionI3D
from .istvt import ISTVTHead, XceptionEntry
from .logit_head import LogitHead
from .lstm_head import LSTMHead
from .motion import CMM, CSTM, MCB, MCM, STMBlock
from .multi_attention import (
    AGDA,
    GroupedTextureEnhancement,
    MATHead,
    MATRecognizer,
    PairedMATRecognizer,
    RealCentreLoss,
    RegionalIndependenceLoss,
    TextureEnhancement,
)
from .recce import RECCE, RECCEHead
from .tall import TALL
from .two_branch import TwoBranch, TwoBranchHead
from .xception import Xception

__all__ = [
    'AGDA',
    'CMM',
    'CSTM',
    'FTCN',
    'MCB',
    'MCM',
    'RECCE',
    'TALL',
    'ADBlock',
    'ADHead',
    'AdaptiveC3D',
    'DenseNet',
    'EfficientNet',
    'F3Net',
    'FrameHead',
    'FramePreprocessor',
    'GMLHead',
    'GroupedTextureEnhancement',
    'ISTVTHead',
    'InceptionI3D',
    'LSTMHead',
    'LogitHead',
    'MATHead',
    'MATRecognizer',
    'PairedMATRecognizer',
    'RECCEHead',
    'RealCentreLoss',
    'RegionalIndependenceLoss',
    'STMBlock',
    'TextureEnhancement',
    'TimeTransformerHead',
    'TwoBranch',
    'TwoBranchHead',
    'Xception',
    'XceptionEntry',
]
