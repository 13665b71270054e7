# Table 1, "I3D", with the inflated ResNet-50 of MMAction2: FF++ -> DFO ACC
# 78.6; DFO, std -> std/sing, ACC 90.8. The published I3D is
# i3d_inception-v1_ffpp.py. Paper: does not say which of the two it is.
_base_ = [
    '../_base_/models/i3d_r50.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
