# VideoMAE's ViT-S (2203.12602), 16 frames.
_base_ = [
    '../_base_/models/videomae_vit-s.py',
    '../_base_/ffpp_16.py',
    '../_base_/adamw_150k.py',
    '../_base_/default_runtime.py',
]
# As its authors fine-tune, without their decay of the rate by layers.
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=0.05))
