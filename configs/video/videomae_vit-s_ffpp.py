# VideoMAE's ViT-S (2203.12602), 16 frames.
_base_ = [
    '../_base_/models/videomae_vit-s.py',
    '../_base_/ffpp_16.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
# As its authors fine-tune, without their decay of the rate by layers.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
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
