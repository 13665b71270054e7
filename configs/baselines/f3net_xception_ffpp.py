# Table 2, "F3-Net": CDF AUC 98.1, FF++ -> CDF AUC 65.1
_base_ = [
    '../_base_/models/f3net_xception.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]

# As the public re-implementation yyk-wew/F3Net trains, on as many real as
# fake frames. F3-Net's paper: not at hand; from memory it has SGD with rate
# 0.002, momentum 0.9, a cosine schedule and batches of 128 frames, as many as
# 16 clips of 8.
train_dataloader = dict(sampler=dict(_delete_=True, type='BalancedSampler'))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=0.0002))
