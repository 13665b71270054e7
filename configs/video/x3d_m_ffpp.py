# X3D-M (2004.04730), 16 frames.
_base_ = [
    '../_base_/models/x3d_m.py',
    '../_base_/ffpp_16.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
