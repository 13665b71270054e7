# ResNet and LSTM for CPUs: 18 layers without the last stage, an eighth of the
# LSTM's units.
_base_ = ['../_base_/models/lstm_r50.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        depth=18,
        num_stages=3,
        out_indices=(2,),
        strides=(2, 2, 2),
        dilations=(1, 1, 1),
    ),
    cls_head=dict(in_channels=256, hidden=64),
)
