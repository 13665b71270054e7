# Video Swin for CPUs: three stages, a third of the channels, 8 frames.
_base_ = ['../_base_/models/videoswin.py', '../_base_/demo.py']
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=32,
            depths=[1, 1, 2],
            num_heads=[1, 2, 4],
        ),
        window_size=(4, 4, 4),
        out_indices=(2,),
    ),
    cls_head=dict(in_channels=128),
)
# Fine differences count from the start, and a window's attention soon tells
# places apart; from other random values it stays at chance.
default_hooks = dict(whitened=dict(type='WhitenedStartHook'))
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            relative_position_bias_table=dict(lr_mult=30, decay_mult=0)
        )
    )
)
