# AltFreezing for CPUs: I3D's blocks, one a stage, a quarter of the channels,
# 8 frames.
_base_ = ['../_base_/models/i3d_r50.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        stage_blocks=(1, 1, 1, 1),
        base_channels=16,
        inflate=(1, 1, 1, 1),
        zero_init_residual=True,
    ),
    cls_head=dict(in_channels=512),
)
default_hooks = dict(
    alternate=dict(type='AltFreezingHook', spatial=20, temporal=1)
)
