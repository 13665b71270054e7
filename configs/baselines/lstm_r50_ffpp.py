# Table 1, "R50+lstm": no result for FF++ -> DFO; DFO, std -> std/sing,
# ACC 90.6
_base_ = [
    '../_base_/models/lstm_r50.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
