# F3-Net for CPUs: an eighth of the channels, two middle blocks, 64x64 crops.
_base_ = ['../_base_/models/f3net_xception.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        size=64,
        mix_stages=('block4', 'block12'),
        width=0.125,
        middle_blocks=2,
    ),
    cls_head=dict(in_channels=512),
)
