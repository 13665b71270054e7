# TSM on MobileNetV2 from genuine videos alone; its ImageNet weights come with
# a package: gml train --weights.
_base_ = [
    '../_base_/models/tsm_mobilenet-v2.py',
    '../_base_/genuine.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
