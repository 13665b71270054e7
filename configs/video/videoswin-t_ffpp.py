# Video Swin-T (2106.13230), 32 frames.
_base_ = [
    '../_base_/models/videoswin.py',
    '../_base_/ffpp_32.py',
    '../_base_/adamw_150k.py',
    '../_base_/default_runtime.py',
]
# As MMAction2 trains it, the rate for 16 clips in the place of 64.
optim_wrapper = dict(optimizer=dict(lr=2.5e-4, weight_decay=0.02))
