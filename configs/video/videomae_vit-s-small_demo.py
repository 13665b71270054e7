# VideoMAE's network for CPUs: 4 layers of 64 channels, 8 frames.
_base_ = ['../_base_/models/videomae_vit-s.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        img_size=64,
        patch_size=8,
        embed_dims=64,
        depth=4,
        num_heads=4,
        num_frames=8,
    ),
    cls_head=dict(in_channels=64),
)
# It starts as if learned before, and fine differences count: from other random
# values it stays at chance.
default_hooks = dict(
    mimetic=dict(type='MimeticStartHook'),
    whitened=dict(type='WhitenedStartHook'),
)
optim_wrapper = dict(optimizer=dict(lr=0.0005))
