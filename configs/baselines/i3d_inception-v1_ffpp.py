# Table 1, "I3D", with the published Inception-v1: FF++ -> DFO ACC 78.6; DFO,
# std -> std/sing, ACC 90.8
_base_ = [
    '../_base_/models/i3d_inception-v1.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
