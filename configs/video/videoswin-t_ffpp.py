# Video Swin-T (2106.13230), 32 frames.
_base_ = [
    '../_base_/models/videoswin.py',
    '../_base_/ffpp_32.py',
    '../_base_/adamw_150k.py',
    '../_base_/default_runtime.py',
]
# MMAction2's optimiser for it, the rate for 16 clips in the place of 64. A
# tenth of it is for the backbone, which starts from weights of a file.
optim_wrapper = dict(
    optimizer=dict(lr=2.5e-4, weight_decay=0.02),
    constructor='SwinOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        absolute_pos_embed=dict(decay_mult=0.0),
        relative_position_bias_table=dict(decay_mult=0.0),
        norm=dict(decay_mult=0.0),
        backbone=dict(lr_mult=0.1),
    ),
)
