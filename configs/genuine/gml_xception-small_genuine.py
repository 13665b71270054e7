# GML for CPUs from genuine videos alone; the network of
# gml_xception-small_demo.py. Two families, as the schedule is short: what
# moves wrongly.
_base_ = [
    '../_base_/models/gml_xception.py',
    '../_base_/genuine_small.py',
]

model = dict(
    backbone=dict(
        motion_block=dict(reduction=4),
        width=0.25,
        middle_blocks=2,
    ),
    cls_head=dict(in_channels=512, ad_head=dict(in_channels=182)),
)
families = dict(
    families=[dict(type='MotionSelfBlend'), dict(type='PartMotion')],
    weights=[3, 1],
)
# At 0.001 pseudo-fakes are learned late.
optim_wrapper = dict(optimizer=dict(lr=0.003))
train_dataloader = dict(dataset=dict(**families))
val_dataloader = dict(dataset=dict(**families))
