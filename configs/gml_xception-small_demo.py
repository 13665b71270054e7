# GML for CPUs: a quarter of the channels, two middle blocks, 64x64 crops.
# Trained on the crops that tools/demo.py prepares; reproduces no row of the
# paper.
_base_ = ['_base_/models/gml_xception.py', '_base_/demo.py']

model = dict(
    backbone=dict(
        motion_block=dict(
            # A quarter of the channels over a quarter of the reduction: as
            # many motion channels as the full network has.
            reduction=4,
        ),
        width=0.25,
        middle_blocks=2,
    ),
    cls_head=dict(in_channels=512, ad_head=dict(in_channels=182)),
)
