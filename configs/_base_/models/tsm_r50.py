# TSM: ResNet-50 frame by frame, an eighth of the channels moved to the next
# frame and an eighth to the one before.
_base_ = 'imagenet_frames.py'
model = dict(
    backbone=dict(
        type='ResNetTSM',
        depth=50,
        num_segments=8,
        shift_div=8,
        # ImageNet weights, a file or a URL:
        # pretrained='https://download.pytorch.org/models/'
        # 'resnet50-11ad3fa6.pth', pretrained2d=True
        pretrained=None,
        pretrained2d=False,
        norm_eval=False,
    ),
    cls_head=dict(
        type='TSMHead',
        num_classes=2,
        in_channels=2048,
        num_segments=8,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
