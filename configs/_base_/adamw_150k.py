# AdamW in the place of SGD, as transformers over video are trained: no decay
# of norms and biases, 5000 iterations of warm-up, then a cosine to zero. A
# config names its rate and its decay.
_base_ = 'sgd_150k.py'

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW'),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=5000, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=145000,
        begin=5000,
        end=150000,
        by_epoch=False,
    ),
]
