# What is small in every *-small_demo.py: the crops that tools/demo.py prepares
# at 64x64, a short schedule.
_base_ = ['ffpp.py', 'adamw_300.py']

data_root = 'work_dirs/demo/crops'
train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=64),
    dict(type='Flip', flip_ratio=0.5),
    # One person in training, another in testing: without it the network
    # learns the person.
    dict(type='ClipAugment', gamma=0.4, colour=0.2, rotation=15, zoom=0.15),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = _base_.val_pipeline
val_pipeline[1].update(size=64)
test_pipeline = val_pipeline

workers = dict(num_workers=1, persistent_workers=True)
train_dataloader = dict(
    **workers,
    sampler=dict(_delete_=True, type='BalancedSampler'),
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    **workers,
    dataset=dict(data_root=data_root, num_clips=None, pipeline=val_pipeline),
)
test_dataloader = dict(
    **workers, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
