# GML on pairs: a real clip is in one batch with a fake of the same video. Not
# in the paper, which keeps the natural 1:4.
_base_ = 'gml_xception_ffpp.py'
train_dataloader = dict(sampler=dict(_delete_=True, type='PairSampler'))
