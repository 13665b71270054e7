# ISTVT: Xception's entry flow, then attention over time and over space, apart.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        format_shape='NCTHW',
    ),
    # ImageNet weights: init_cfg as in gml_xception.py
    backbone=dict(type='XceptionEntry'),
    cls_head=dict(
        type='ISTVTHead', in_channels=728, num_segments=6, places=(19, 19)
    ),
)
