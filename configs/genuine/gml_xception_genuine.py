# GML from genuine videos alone, by pseudo-fakes of them; no row of the paper.
_base_ = [
    '../_base_/models/gml_xception.py',
    '../_base_/genuine.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
