# FTCN for CPUs: 18 layers, a quarter of the channels, 8 frames.
_base_ = ['../_base_/models/ftcn_i3d-r50.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        depth=18, base_channels=16, inflate=((1, 1), (1, 0), (1, 0))
    ),
    cls_head=dict(in_channels=64, num_tokens=4, heads=2, hidden=128),
)
