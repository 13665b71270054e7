# TALL-Swin (ICCV 2023), 4 frames of 112x112, with the recipe of its authors'
# public training: 60 epochs of 3600 videos, of which 10 warm up, steps of
# 32 clips. There they are 8 of each of 4 videos, here of any. Its random crops
# of several scales are left out: here a face keeps its square.
_base_ = [
    '../_base_/models/tall_swin.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=112),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='CutOut', size=16),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = _base_.val_pipeline
val_pipeline[1].update(size=112)
test_pipeline = val_pipeline
train_dataloader = dict(
    batch_size=32, dataset=dict(clip_len=4, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(clip_len=4, pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(clip_len=4, pipeline=test_pipeline))

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1.5e-5, weight_decay=1e-5),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'frame_positions': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, end=9000, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=45000,
        eta_min=1.5e-7,
        begin=9000,
        end=54000,
        by_epoch=False,
    ),
]
train_cfg = dict(max_iters=54000)
auto_scale_lr = dict(base_batch_size=32)
