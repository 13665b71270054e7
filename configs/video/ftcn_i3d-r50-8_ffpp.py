# FTCN-TT on the paper's clips of 8 frames: 4 time steps for its transformer.
_base_ = 'ftcn_i3d-r50_ffpp.py'
model = dict(cls_head=dict(num_tokens=4))
train_dataloader = dict(dataset=dict(clip_len=8))
val_dataloader = dict(dataset=dict(clip_len=8))
test_dataloader = dict(dataset=dict(clip_len=8))
