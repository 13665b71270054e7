# Two-branch (Masi et al.), from descriptions and unverified: the docstrings of
# gml_mmaction/models/two_branch.py say where each number comes from.
_base_ = 'imagenet_frames.py'
model = dict(
    backbone=dict(
        type='TwoBranch',
        branch_depth=1,
        sigmas=(0.7, 1.4, 2.8),
        fusion='concat',
        # ImageNet weights: gml train --weights FOLDER
    ),
    cls_head=dict(
        type='TwoBranchHead',
        in_channels=1024,
        hidden=128,
        r_real=0.042,
        r_fake=1.638,
        center='fixed',
        center_iters=50,
    ),
)
