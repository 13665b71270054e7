# TSM: MobileNetV2 frame by frame, an eighth of the channels moved to the next
# frame and an eighth to the one before.
_base_ = 'imagenet_frames.py'
model = dict(
    # ImageNet weights: gml train --weights
    backbone=dict(
        type='MobileNetV2TSM',
        num_segments=8,
        shift_div=8,
        pretrained=None,
        pretrained2d=False,
    ),
    cls_head=dict(
        type='TSMHead',
        num_classes=2,
        in_channels=1280,
        num_segments=8,
        dropout_ratio=0.5,
        topk=(1,),
        average_clips='prob',
    ),
)
