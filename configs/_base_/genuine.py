# Genuine videos alone: the fakes are made in training, and for validation of
# people who are not trained on. Prepared by, for example,
#   gml prepare folder VIDEOS data/genuine --val-fraction 0.2
# The fakes of other prepared sets are left out: their genuine videos serve.
_base_ = 'ffpp.py'

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
# Behind FaceCrop, each step does the same to a clip and its fake.
train_pipeline = [
    dict(type='ClipDecode'),
    dict(type='FaceCrop', size=224),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='ClipAugment', gamma=0.2, colour=0.1, rotation=5, zoom=0.05),
    dict(type='RandomEncode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = _base_.val_pipeline
val_pipeline.insert(2, dict(type='RandomEncode'))

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
