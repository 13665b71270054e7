# FTCN-TT (ICCV 2021), 32 frames, with the schedule of its authors' setting:
# 200,000 steps of 16 clips, of which the first tenth warms up; no decay of
# batch norms' weights. Its authors take consecutive frames (gml prepare
# --stride 1). Their augmentations (erasing, distorted masks, matched colours)
# are not public: not here.
_base_ = [
    '../_base_/models/ftcn_i3d-r50.py',
    '../_base_/ffpp_32.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.1, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'.bn.': dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=20000, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=200000, end=200000, by_epoch=False),
]
train_cfg = dict(max_iters=200000)
