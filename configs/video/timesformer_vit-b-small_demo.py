# TimeSformer for CPUs: 4 layers of 64 channels.
_base_ = ['../_base_/models/timesformer.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        img_size=64,
        patch_size=8,
        embed_dims=64,
        num_heads=4,
        num_transformer_layers=4,
    ),
    cls_head=dict(in_channels=64),
)
# It starts as if learned before: from other random values it stays at chance.
default_hooks = dict(mimetic=dict(type='MimeticStartHook'))
optim_wrapper = dict(optimizer=dict(lr=0.0005))
