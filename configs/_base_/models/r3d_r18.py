# R3D-18 as torchvision has it: 3x3x3 convolutions throughout, no pooling.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        # Of Kinetics-400, which torchvision's weights read.
        mean=[110.2008, 100.63983, 95.99475],
        std=[58.14765, 56.46975, 55.332195],
        format_shape='NCTHW',
    ),
    backbone=dict(
        type='ResNet3d',
        depth=18,
        # Kinetics-400 weights: gml train --weights FOLDER, with torchvision's
        # r3d_18-b3b3357e.pth in it, whose tensors have names of their own.
        pretrained=None,
        pretrained2d=False,
        conv1_kernel=(3, 7, 7),
        conv1_stride_t=1,
        with_pool1=False,
        with_pool2=False,  # on by default
        inflate=(1, 1, 1, 1),
        spatial_strides=(1, 2, 2, 2),
        temporal_strides=(1, 2, 2, 2),
        conv_cfg=dict(type='Conv3d'),
        norm_eval=False,
        zero_init_residual=False,
    ),
    cls_head=dict(
        type='I3DHead',
        num_classes=2,
        in_channels=512,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
