# GML for CPUs: a quarter of the channels, two middle blocks, 64x64 crops.
# Trained on the demo set of tools/make_demo_data.py; reproduces no row of the
# paper.
_base_ = 'gml_xception_ffpp.py'

data_root = 'data/demo'
model = dict(
    backbone=dict(
        # The schedule is short: start as the plain depth-wise convolution.
        motion_block=dict(temporal_init='identity'),
        width=0.25,
        middle_blocks=2,
    ),
    cls_head=dict(in_channels=512, ad_head=dict(in_channels=182)),
)

train_pipeline = [
    dict(type='RawFrameDecode'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    # One person in training, another in testing: without it the network
    # learns the person.
    dict(type='ClipAugment', gamma=0.4, colour=0.2, rotation=15, zoom=0.15),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='RawFrameDecode'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(
        type='PackActionInputs',
        meta_keys=('img_shape', 'video_id', 'clip_index', 'method'),
    ),
]
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

optim_wrapper = dict(optimizer=dict(lr=0.05))
train_cfg = dict(max_iters=500, val_interval=100)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))
log_processor = dict(window_size=20)
