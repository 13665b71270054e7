"""torchvision beside a PyTorch that it was not built for."""

import sys

import torch

# torchvision describes operators of a native library that may not load here.
_LIBRARY = torch.library.Library('torchvision', 'DEF')


def import_from(folder):
    """Put ``folder`` first in the path and prepare PyTorch for torchvision.

    Its networks are plain PyTorch and run; its native operators do not.
    """
    sys.path.insert(0, folder)
    for name in ('nms', 'qnms'):
        signature = '(Tensor dets, Tensor scores, float iou_threshold)'
        _LIBRARY.define(f'{name}{signature} -> Tensor')
