# ir-CSN with 50 layers: convolutions of 3x3x3 in each channel apart.
_base_ = 'imagenet_clips.py'
model = dict(
    backbone=dict(
        type='ResNet3dCSN',
        depth=50,
        # Weights of IG-65M, a file or a URL:
        # pretrained='https://download.openmmlab.com/mmaction/recognition/'
        # 'csn/ircsn_from_scratch_r50_ig65m_20210617-ce545a37.pth'
        pretrained=None,
        pretrained2d=False,
        with_pool2=False,
        bottleneck_mode='ir',
        norm_eval=False,
        zero_init_residual=False,
    ),
    cls_head=dict(
        type='I3DHead',
        num_classes=2,
        in_channels=2048,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
