# ir-CSN-50 (1904.02811), 32 frames.
_base_ = [
    '../_base_/models/csn_r50.py',
    '../_base_/ffpp_32.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
