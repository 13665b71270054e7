# TSM (1811.08383) on MobileNetV2, 8 frames; its ImageNet weights come with a
# package: gml train --weights.
_base_ = [
    '../_base_/models/tsm_mobilenet-v2.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
