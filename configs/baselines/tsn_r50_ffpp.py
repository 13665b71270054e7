# Table 1, "TSN": no result for FF++ -> DFO; DFO, std -> std/sing, ACC 91.5
_base_ = [
    '../_base_/models/tsn_r50.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
