# MobileNetV2, frame by frame, with a loss and a score for each frame.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        # What ImageNet's weights read.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    # ImageNet weights: gml train --weights
    backbone=dict(type='MobileNetV2'),
    # 0.2 is the dropout of torchvision's MobileNetV2.
    cls_head=dict(type='FrameHead', in_channels=1280, dropout_ratio=0.2),
)
