# Frame-wise EfficientNet for CPUs by self-blended clips alone: half of B0's
# channels and blocks.
_base_ = [
    '../_base_/models/efficientnet_b4.py',
    '../_base_/genuine_small.py',
]

model = dict(
    # 300 iterations are few for running statistics that follow by 1% each.
    backbone=dict(arch=(0.5, 0.5), norm_momentum=0.1),
    cls_head=dict(in_channels=640),
)
families = dict(families=[dict(type='SelfBlend')], weights=[1])
train_dataloader = dict(dataset=dict(**families))
val_dataloader = dict(dataset=dict(**families))
