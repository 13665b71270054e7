# TSM on MobileNetV2 for CPUs from genuine videos alone.
_base_ = [
    '../_base_/models/tsm_mobilenet-v2.py',
    '../_base_/genuine_small.py',
]
