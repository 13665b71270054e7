# TimeSformer with divided attention: time, then space.
_base_ = 'imagenet_clips.py'
model = dict(
    backbone=dict(
        type='TimeSformer',
        num_frames=8,
        img_size=224,
        patch_size=16,
        # ImageNet-21k weights of ViT-B, a file or a URL:
        # pretrained='https://download.openmmlab.com/mmaction/recognition/'
        # 'timesformer/vit_base_patch16_224.pth'
        pretrained=None,
    ),
    cls_head=dict(
        type='TimeSformerHead',
        num_classes=2,
        in_channels=768,
        dropout_ratio=0.0,
        topk=(1,),
        average_clips='prob',
    ),
)
