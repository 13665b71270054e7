# RECCE for CPUs: a quarter of the channels, five middle blocks.
_base_ = ['../_base_/models/recce_xception.py', '../_base_/demo.py']
model = dict(
    backbone=dict(width=0.25, middle_blocks=5),
    cls_head=dict(in_channels=512),
)
