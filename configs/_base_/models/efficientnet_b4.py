# EfficientNet-B4, frame by frame, with a loss and a score for each frame.
# Where mmpretrain or timm are installed with torchvision, Recognizer2D takes
# their backbones as well: dict(type='mmpretrain.EfficientNet', arch='b4').
_base_ = 'imagenet_frames.py'
model = dict(
    # ImageNet weights: gml train --weights FOLDER
    backbone=dict(type='EfficientNet', arch='b4'),
    # 0.4 is B4's dropout in EfficientNet's public code.
    cls_head=dict(type='FrameHead', in_channels=1792, dropout_ratio=0.4),
)
