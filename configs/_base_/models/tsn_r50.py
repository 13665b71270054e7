# TSN: ResNet-50 frame by frame, the mean of the frames' features.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        # ImageNet weights: gml train --weights FOLDER
        pretrained=None,
        norm_eval=False,
    ),
    cls_head=dict(
        type='TSNHead',
        num_classes=2,
        in_channels=2048,
        dropout_ratio=0.4,
        topk=(1,),
        average_clips='prob',
    ),
)
