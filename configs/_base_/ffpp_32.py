# The same with clips of 32 frames. Shorter tracks are left out.
_base_ = 'ffpp.py'
train_dataloader = dict(dataset=dict(clip_len=32))
val_dataloader = dict(dataset=dict(clip_len=32))
test_dataloader = dict(dataset=dict(clip_len=32))
