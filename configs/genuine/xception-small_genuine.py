# Frame-wise Xception for CPUs by self-blended clips alone.
_base_ = [
    '../_base_/models/xception_frames.py',
    '../_base_/genuine_small.py',
]

model = dict(
    backbone=dict(width=0.25, middle_blocks=2),
    cls_head=dict(in_channels=512),
)
families = dict(families=[dict(type='SelfBlend')], weights=[1])
train_dataloader = dict(dataset=dict(**families))
val_dataloader = dict(dataset=dict(**families))
