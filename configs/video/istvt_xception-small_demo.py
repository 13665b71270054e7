# ISTVT for CPUs: a quarter of the channels, 2 layers of 2 heads, 8 frames.
_base_ = ['../_base_/models/istvt_xception.py', '../_base_/demo.py']
model = dict(
    backbone=dict(width=0.25),
    cls_head=dict(
        in_channels=182,
        num_segments=8,
        places=(4, 4),
        depth=2,
        heads=2,
        positions_std=0.02,
    ),
)
# It starts as if learned before: from other random values it stays at chance.
default_hooks = dict(mimetic=dict(type='MimeticStartHook'))
optim_wrapper = dict(optimizer=dict(lr=0.0005))
