# ResNet-50 frame by frame, as in TSN, and an LSTM over the frames.
_base_ = 'tsn_r50.py'
model = dict(cls_head=dict(_delete_=True, type='LSTMHead', in_channels=2048))
