# MobileNetV2, frame by frame, with a loss and a score for each frame.
_base_ = 'imagenet_frames.py'
model = dict(
    # ImageNet weights: gml train --weights
    backbone=dict(type='MobileNetV2'),
    # 0.2 is the dropout of torchvision's MobileNetV2.
    cls_head=dict(type='FrameHead', in_channels=1280, dropout_ratio=0.2),
)
