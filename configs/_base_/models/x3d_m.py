# X3D-M: a network grown along one axis after another.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
    backbone=dict(
        type='X3D',
        gamma_w=1,
        gamma_b=2.25,
        gamma_d=2.2,
        # Kinetics-400 weights, a file or a URL:
        # pretrained='https://download.openmmlab.com/mmaction/recognition/'
        # 'x3d/facebook/x3d_m_facebook_16x5x1_kinetics400_rgb_20201027-'
        # '3f42382a.pth'
        pretrained=None,
    ),
    cls_head=dict(
        type='X3DHead',
        num_classes=2,
        in_channels=432,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
