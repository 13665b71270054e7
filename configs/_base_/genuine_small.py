# Genuine videos alone, for CPUs: 64x64 crops and the short schedule of
# demo.py; see genuine.py.
_base_ = 'demo.py'

data_root = 'data/genuine'
families = dict(
    families=[
        dict(type='SelfBlend'),
        dict(type='MotionSelfBlend'),
        dict(type='PartMotion'),
        dict(type='DetailLoss'),
        dict(type='FaceRepeat'),
        dict(type='FaceDropout'),
    ],
    weights=[2, 3, 2, 2, 1, 1],
)
train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=64),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='ClipAugment', gamma=0.4, colour=0.2, rotation=15, zoom=0.15),
    dict(type='RandomEncode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=64),
    dict(type='RandomEncode'),
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

train_dataloader = dict(
    sampler=dict(_delete_=True, type='PairSampler'),
    dataset=dict(
        type='GenuineClipDataset',
        data_root=data_root,
        pipeline=train_pipeline,
        **families,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='GenuineClipDataset',
        data_root=data_root,
        num_clips=2,  # each is in a pair for every family
        pipeline=val_pipeline,
        **families,
    )
)
test_dataloader = dict(dataset=dict(data_root=data_root))
