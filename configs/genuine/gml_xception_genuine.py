# GML from genuine videos alone, by pseudo-fakes of them; no row of the paper.
_base_ = [
    '../_base_/models/gml_xception.py',
    '../_base_/genuine.py',
]
