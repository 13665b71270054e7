# TSM on MobileNetV2 at 112x112 from genuine videos alone: hours of a few CPU
# cores, from ImageNet weights (gml train --weights). Two families, those that
# so short a training learns.
_base_ = 'tsm_mobilenet-v2-small_genuine.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(size=112)
train_pipeline[3].update(gamma=0.2, colour=0.1, rotation=5, zoom=0.05)
val_pipeline = _base_.val_pipeline
val_pipeline[1].update(size=112)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(size=112)
families = dict(
    families=[dict(type='SelfBlend'), dict(type='DetailLoss')],
    weights=[1, 1],
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **families))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline, **families))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-6),
]
train_cfg = dict(max_iters=1500, val_interval=250)
default_hooks = dict(
    checkpoint=dict(interval=250),
    channels_last=dict(type='ChannelsLastHook'),
)
