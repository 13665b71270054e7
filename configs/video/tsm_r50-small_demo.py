# TSM for CPUs: 18 layers, on smaller maps but the last.
_base_ = ['../_base_/models/tsm_r50.py', '../_base_/demo.py']
model = dict(
    backbone=dict(depth=18, strides=(2, 2, 2, 1)),
    cls_head=dict(in_channels=512, dropout_ratio=0.0),
)
# It starts with features of motion: from other random values it learns the
# videos by heart first.
default_hooks = dict(difference=dict(type='DifferenceStartHook'))
optim_wrapper = dict(optimizer=dict(lr=0.0001))
