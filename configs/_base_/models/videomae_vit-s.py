# The vision transformer of VideoMAE, small.
_base_ = 'imagenet_clips.py'
model = dict(
    backbone=dict(
        type='VisionTransformer',
        img_size=224,
        patch_size=16,
        embed_dims=384,
        depth=12,
        num_heads=6,
        num_frames=16,
        drop_path_rate=0.1,
        # Weights of VideoMAE's pre-training or of Kinetics, a file or a URL:
        # pretrained='https://download.openmmlab.com/mmaction/v1.0/'
        # 'recognition/videomae/vit-small-p16_videomae-k400-pre_16x4x1_'
        # 'kinetics-400_20230510-25c748fd.pth'
        pretrained=None,
    ),
    cls_head=dict(
        type='TimeSformerHead',
        num_classes=2,
        in_channels=384,
        dropout_ratio=0.0,
        topk=(1,),
        average_clips='prob',
    ),
)
