# Video Swin, tiny.
_base_ = 'imagenet_clips.py'
model = dict(
    backbone=dict(
        type='SwinTransformer3D',
        arch='tiny',
        window_size=(8, 7, 7),
        drop_path_rate=0.1,
        # ImageNet weights of the image Swin, inflated, a file or a URL:
        # pretrained='swin_tiny_patch4_window7_224.pth', pretrained2d=True
        pretrained=None,
        pretrained2d=False,
    ),
    cls_head=dict(
        type='I3DHead',
        num_classes=2,
        in_channels=768,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
