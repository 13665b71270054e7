# I3D for CPUs: 18 layers, a quarter of the channels.
_base_ = ['../_base_/models/i3d_r50.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        depth=18,
        base_channels=16,
        inflate=((1, 1), (1, 0), (1, 0), (0, 1)),
    ),
    cls_head=dict(in_channels=128),
)
