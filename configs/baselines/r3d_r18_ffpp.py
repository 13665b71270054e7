# Table 1, "R3D": FF++ -> DFO ACC 56.4; DFO, std -> std/sing, ACC 96.5.
# Paper: does not say which R3D; this one is of 18 layers (1711.11248).
_base_ = [
    '../_base_/models/r3d_r18.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
