# CSN for CPUs: one block a stage, a quarter of the channels, 8 frames.
_base_ = ['../_base_/models/csn_r50.py', '../_base_/demo.py']
model = dict(
    backbone=dict(stage_blocks=(1, 1, 1, 1), base_channels=16),
    cls_head=dict(in_channels=512),
)
