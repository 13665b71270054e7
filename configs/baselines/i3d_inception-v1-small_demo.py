# I3D for CPUs: a half of the channels.
_base_ = ['../_base_/models/i3d_inception-v1.py', '../_base_/demo.py']
model = dict(backbone=dict(width=0.5), cls_head=dict(in_channels=512))
