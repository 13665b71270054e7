# Two-branch for CPUs: four short dense blocks of few channels, two bands.
_base_ = ['../_base_/models/two-branch_densenet121.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        growth_rate=12,
        block_config=(2, 3, 4, 3),
        init_channels=16,
        log_channels=8,
        sigmas=(0.7, 1.4),
    ),
    cls_head=dict(in_channels=74, hidden=32),
)
