# ISTVT (TIFS 2023), from its description and its group's public code: 6 frames
# of 300x300. Optimiser, batch and the 20 epochs of 60,000 clips are the
# defaults of that code, which trains other networks too.
_base_ = [
    '../_base_/models/istvt_xception.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=300),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = _base_.val_pipeline
val_pipeline[1].update(size=300)
test_pipeline = val_pipeline
train_dataloader = dict(
    batch_size=16, dataset=dict(clip_len=6, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(clip_len=6, pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(clip_len=6, pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(lr=0.001, weight_decay=0.0))
train_cfg = dict(max_iters=75000)
