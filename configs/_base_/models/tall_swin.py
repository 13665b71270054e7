# TALL: four frames as one picture of two rows, seen by Swin-B.
_base_ = 'imagenet_clips.py'
model = dict(
    backbone=dict(
        type='TALL',
        arch='base',
        num_segments=4,
        rows=2,
        windows=(14, 14, 14, 7),
        drop_path_rate=0.1,
        # ImageNet weights of the image Swin, a file or a URL; those of its
        # authors hold them under "model":
        # init_cfg=dict(
        #     type='Pretrained',
        #     checkpoint='swin_base_patch4_window7_224_22k.pth',
        # )
    ),
    cls_head=dict(
        type='I3DHead',
        num_classes=2,
        in_channels=1024,
        dropout_ratio=0.0,
        label_smooth_eps=0.1,
        topk=(1,),
        average_clips='prob',
    ),
)
