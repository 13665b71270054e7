# TSN: ResNet-50 frame by frame, the mean of the frames' features.
_base_ = 'imagenet_frames.py'
model = dict(
    backbone=dict(
        type='ResNet',
        depth=50,
        # ImageNet weights: gml train --weights FOLDER
        pretrained=None,
        norm_eval=False,
    ),
    cls_head=dict(
        type='TSNHead',
        num_classes=2,
        in_channels=2048,
        dropout_ratio=0.4,
        topk=(1,),
        average_clips='prob',
    ),
)
