# R(2+1)D-34 (1711.11248), 8 frames, as MMAction2 has it.
_base_ = [
    '../_base_/models/r2plus1d_r34.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
