# Two-branch (Masi et al.), from descriptions and unverified: the docstrings of
# gml_mmaction/models/two_branch.py say where each number comes from.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        # Of ImageNet, as DenseNet's weights read.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
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
