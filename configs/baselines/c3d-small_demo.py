# C3D for CPUs: a quarter of the channels. Two large fully connected layers and
# no batch norms do not stand the other systems' learning rate of 0.001: the
# training person is learnt by heart.
_base_ = ['../_base_/models/c3d.py', '../_base_/demo.py']
model = dict(backbone=dict(width=0.25), cls_head=dict(in_channels=1024))
optim_wrapper = dict(optimizer=dict(lr=0.0003))
