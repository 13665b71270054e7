# Frame-wise EfficientNet-B4 by self-blended clips alone, after SBI (CVPR
# 2022); no row of the paper. SBI itself reads 380 pixels and trains with SAM.
_base_ = [
    '../_base_/models/efficientnet_b4.py',
    '../_base_/genuine.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]

families = dict(families=[dict(type='SelfBlend')], weights=[1])
train_dataloader = dict(dataset=dict(**families))
val_dataloader = dict(dataset=dict(**families))
