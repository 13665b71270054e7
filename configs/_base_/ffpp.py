# FaceForensics++ (c23), prepared by
#   python tools/prepare_data.py ffpp FACEFORENSICS data/ffpp --compression c23
# as saved crops, or with --store boxes: the same pipeline then cuts the clips
# out of the videos.
data_root = 'data/ffpp'

train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=224),  # Sec. 3
    # Paper: silent on augmentation; we mirror, the whole clip or nothing.
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=224),  # Sec. 3
    dict(type='FormatShape', input_format='NCTHW'),
    dict(
        type='PackActionInputs',
        meta_keys=(
            'img_shape',
            'video_id',
            'track',
            'clip_index',
            'method',
            'pair',
        ),
    ),
]
test_pipeline = val_pipeline

train_dataloader = dict(
    batch_size=16,  # Sec. 3
    num_workers=8,
    persistent_workers=True,
    worker_init_fn=dict(type='outlive_preemption'),
    # Paper: silent on class balance; the natural 1:4. The alternative is
    # dict(type='BalancedSampler').
    sampler=dict(type='ClipSampler', shuffle=True),
    dataset=dict(
        type='FaceClipDataset',
        data_root=data_root,
        ann_file='train.json',
        clip_len=8,  # Sec. 3
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    worker_init_fn=dict(type='outlive_preemption'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='FaceClipDataset',
        data_root=data_root,
        ann_file='val.json',
        clip_len=8,
        num_clips=4,  # of about 30: validation comes every 5000 iterations
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    worker_init_fn=dict(type='outlive_preemption'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='FaceClipDataset',
        data_root=data_root,
        ann_file='test.json',
        clip_len=8,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='ForgeryMetric')
test_evaluator = dict(type='ForgeryMetric')
