# Table 1, "C3D": no result for FF++ -> DFO; DFO, std -> std/sing, ACC 87.6
_base_ = [
    '../_base_/models/c3d.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
