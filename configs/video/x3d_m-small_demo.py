# X3D for CPUs: not widened inside its blocks, not deepened, 8 frames.
_base_ = ['../_base_/models/x3d_m.py', '../_base_/demo.py']
model = dict(
    backbone=dict(gamma_b=1, gamma_d=1), cls_head=dict(in_channels=192)
)
