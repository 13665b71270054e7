# Video Swin-T (2106.13230), 32 frames.
_base_ = [
    '../_base_/models/videoswin.py',
    '../_base_/ffpp_32.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
# As MMAction2 trains it, the rate for 16 clips in the place of 64.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2.5e-4, weight_decay=0.02),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=5000, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=145000,
        begin=5000,
        end=150000,
        by_epoch=False,
    ),
]
