# TSM (1811.08383), 8 frames.
_base_ = [
    '../_base_/models/tsm_r50.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
