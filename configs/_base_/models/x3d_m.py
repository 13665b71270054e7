# X3D-M: a network grown along one axis after another.
_base_ = 'imagenet_clips.py'
model = dict(
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
