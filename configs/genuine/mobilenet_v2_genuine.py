# Frame-wise MobileNetV2 by self-blended clips alone, after SBI (CVPR 2022);
# its ImageNet weights come with a package: gml train --weights.
_base_ = [
    '../_base_/models/mobilenet_v2.py',
    '../_base_/genuine.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]

families = dict(families=[dict(type='SelfBlend')], weights=[1])
train_dataloader = dict(dataset=dict(**families))
val_dataloader = dict(dataset=dict(**families))
