# C3D for CPUs: a quarter of the channels.
_base_ = ['../_base_/models/c3d.py', '../_base_/demo.py']
model = dict(backbone=dict(width=0.25), cls_head=dict(in_channels=1024))
