# AltFreezing (CVPR 2023), 32 frames, with the schedule of its authors'
# setting: 200,000 steps of 16 clips, of which a hundredth warms up; no decay
# of batch norms' weights; mixed precision is --amp. Its authors take
# consecutive frames (gml prepare --stride 1). Its fakes made of real clips are
# here, how often is our choice; its colours, blur, noise and erasing are not.
_base_ = [
    '../_base_/models/i3d_r50.py',
    '../_base_/ffpp_32.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(zero_init_residual=True))  # as its authors
train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=224),
    dict(
        type='RandomPseudoFake',
        families=[
            dict(type='TemporalDropout'),
            dict(type='TemporalRepeat'),
            dict(type='SelfBlend'),  # clip-level blending
        ],
        p=0.25,
    ),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(
    optimizer=dict(lr=0.05, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=2000, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=200000, end=200000, by_epoch=False),
]
train_cfg = dict(max_iters=200000)

default_hooks = dict(
    alternate=dict(type='AltFreezingHook', spatial=20, temporal=1)
)
