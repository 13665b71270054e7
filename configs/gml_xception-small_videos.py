# GML on videos of your own as MMAction2 reads them: whole frames, decoded by
# decord (pip install decord) and resized; no face is searched. A line of
# train.txt, val.txt and test.txt is the name of a video below data_root and 0
# (real) or 1 (fake), as in "talks/a.mp4 1". Reproduces no row of the paper.
_base_ = 'gml_xception-small_demo.py'

data_root = 'data/videos'
train_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=2),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
# The scores of a video's clips are averaged by the head.
test_pipeline = [
    dict(type='DecordInit'),
    dict(
        type='SampleFrames',
        clip_len=8,
        frame_interval=2,
        num_clips=4,
        test_mode=True,
    ),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    # The metric calls a video by its file.
    dict(type='PackActionInputs', meta_keys=('img_shape', 'filename')),
]
val_pipeline = test_pipeline

videos = dict(
    _delete_=True,
    type='VideoDataset',
    data_root=data_root,
    data_prefix=dict(video=''),
)
train_dataloader = dict(
    dataset=dict(**videos, ann_file='train.txt', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(
        **videos, ann_file='val.txt', pipeline=val_pipeline, test_mode=True
    )
)
test_dataloader = dict(
    dataset=dict(
        **videos, ann_file='test.txt', pipeline=test_pipeline, test_mode=True
    )
)
