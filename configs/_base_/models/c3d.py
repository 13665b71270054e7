# C3D, normalised as MMAction2's Sports-1M weights want it.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[104.0, 117.0, 128.0],
        std=[1.0, 1.0, 1.0],
        format_shape='NCTHW',
    ),
    backbone=dict(
        type='AdaptiveC3D',
        # Sports-1M weights: gml train --weights FOLDER
        pretrained=None,
        dropout_ratio=0.5,
        init_std=0.005,
    ),
    cls_head=dict(
        type='I3DHead',
        num_classes=2,
        in_channels=4096,
        spatial_type=None,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
