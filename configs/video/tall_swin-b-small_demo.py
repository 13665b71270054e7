# TALL for CPUs: a small Swin; 4 frames of 64x64 make a picture of 128x128.
_base_ = ['../_base_/models/tall_swin.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=32,
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 4, 8],
        ),
        # all four frames, in each stage
        windows=(32, 16, 8, 4),
        thumbnail=16,
        drop_path_rate=0.0,
    ),
    cls_head=dict(in_channels=256, label_smooth_eps=0.0),
)
# It starts as if learned before: from other random values it stays at chance.
default_hooks = dict(mimetic=dict(type='MimeticStartHook'))
optim_wrapper = dict(optimizer=dict(lr=0.0003))
train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=64),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='ClipAugment', gamma=0.4, colour=0.2, rotation=15, zoom=0.15),
    dict(type='CutOut', size=9),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
train_dataloader = dict(dataset=dict(clip_len=4, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(clip_len=4))
test_dataloader = dict(dataset=dict(clip_len=4))
