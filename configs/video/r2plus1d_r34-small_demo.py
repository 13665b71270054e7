# R(2+1)D for CPUs: 18 layers, a quarter of the channels.
_base_ = ['../_base_/models/r2plus1d_r34.py', '../_base_/demo.py']
model = dict(
    backbone=dict(depth=18, base_channels=16), cls_head=dict(in_channels=128)
)
