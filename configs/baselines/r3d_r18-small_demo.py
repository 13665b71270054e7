# R3D for CPUs: a quarter of the channels.
_base_ = ['../_base_/models/r3d_r18.py', '../_base_/demo.py']
model = dict(backbone=dict(base_channels=16), cls_head=dict(in_channels=128))
