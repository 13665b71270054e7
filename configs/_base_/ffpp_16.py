# The same with clips of 16 frames. Shorter tracks are left out.
_base_ = 'ffpp.py'
train_dataloader = dict(dataset=dict(clip_len=16))
val_dataloader = dict(dataset=dict(clip_len=16))
test_dataloader = dict(dataset=dict(clip_len=16))
