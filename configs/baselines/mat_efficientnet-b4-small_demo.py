# Multi-attentional for CPUs: half of B0's channels and blocks, 64x64 crops.
_base_ = ['../_base_/models/mat_efficientnet-b4.py', '../_base_/demo.py']
model = dict(
    backbone=dict(arch=(0.5, 0.5)),
    cls_head=dict(
        in_channels=(16, 56, 640),
        hidden=64,
        # A tenth of the iterations, as in the full schedule.
        loss_ril=dict(type='RegionalIndependenceLoss', decay_interval=30),
    ),
)
