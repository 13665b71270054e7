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
        drop_path_rate=0.0,
    ),
    cls_head=dict(in_channels=128, dropout_ratio=0.0),
)
# Fine differences count from the start: from other random values it stays at
# chance.
default_hooks = dict(whitened=dict(type='WhitenedStartHook'))
optim_wrapper = dict(optimizer=dict(lr=0.0005))
