# TSM for CPUs: 18 layers.
_base_ = ['../_base_/models/tsm_r50.py', '../_base_/demo.py']
model = dict(backbone=dict(depth=18), cls_head=dict(in_channels=512))
