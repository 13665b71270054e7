# I3D as MMAction2 has it: an inflated ResNet-50. Its two first temporal
# strides are 1 here, or 8 frames would leave one step behind the backbone.
_base_ = 'imagenet_clips.py'
model = dict(
    backbone=dict(
        type='ResNet3d',
        depth=50,
        # ImageNet weights, inflated: gml train --weights FOLDER
        pretrained=None,
        pretrained2d=True,
        conv1_kernel=(5, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)),
        conv_cfg=dict(type='Conv3d'),
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
