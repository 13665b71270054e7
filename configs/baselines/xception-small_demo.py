# Frame-wise Xception for CPUs: a quarter of the channels, two middle blocks.
_base_ = ['../_base_/models/xception_frames.py', '../_base_/demo.py']
model = dict(
    backbone=dict(width=0.25, middle_blocks=2),
    cls_head=dict(in_channels=512),
)
