# Frame-wise MobileNetV2 for CPUs by self-blended clips alone.
_base_ = [
    '../_base_/models/mobilenet_v2.py',
    '../_base_/genuine_small.py',
]

families = dict(families=[dict(type='SelfBlend')], weights=[1])
train_dataloader = dict(dataset=dict(**families))
val_dataloader = dict(dataset=dict(**families))
