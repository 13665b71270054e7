# TSM: MobileNetV2 frame by frame, an eighth of the channels moved to the next
# frame and an eighth to the one before.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        # What ImageNet's weights read.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    # ImageNet weights: gml train --weights
    backbone=dict(
        type='MobileNetV2TSM',
        num_segments=8,
        shift_div=8,
        pretrained=None,
        pretrained2d=False,
    ),
    cls_head=dict(
        type='TSMHead',
        num_classes=2,
        in_channels=1280,
        num_segments=8,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
