# I3D as published: inflated Inception-v1.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        format_shape='NCTHW',
    ),
    # Weights of ImageNet, then Kinetics: gml train --weights FOLDER
    backbone=dict(type='InceptionI3D'),
    cls_head=dict(
        type='I3DHead',
        num_classes=2,
        in_channels=1024,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
