# TimeSformer (2102.05095), 8 frames, with MMAction2's optimiser for it: the
# rate is that for 16 clips in the place of 64, and falls to a tenth after each
# third of the training.
_base_ = [
    '../_base_/models/timesformer.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.00125, weight_decay=1e-4, nesterov=True),
    paramwise_cfg=dict(
        custom_keys={
            name: dict(decay_mult=0.0)
            for name in (
                'backbone.cls_token',
                'backbone.pos_embed',
                'backbone.time_embed',
            )
        }
    ),
    clip_grad=dict(max_norm=40, norm_type=2),
)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[50000, 100000], by_epoch=False)
]
