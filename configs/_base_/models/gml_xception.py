# GML: Xception with MCB in all 34 depth-wise slots, AD at block5.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        # Paper: silent; [-1, 1] is what Xception's ImageNet weights read.
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        format_shape='NCTHW',
    ),
    backbone=dict(
        type='Xception',
        motion_block=dict(type='MCB'),
        num_segments=8,
        # ImageNet weights: gml_xception_imagenet_ffpp.py, or any config by
        # gml train --weights FOLDER
    ),
    cls_head=dict(
        type='GMLHead', in_channels=2048, ad_head=dict(in_channels=728)
    ),
)
