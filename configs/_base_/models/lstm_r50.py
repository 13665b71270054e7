# ResNet-50 frame by frame, an LSTM over the frames.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        # ImageNet weights, a file or a URL:
        # pretrained='https://download.pytorch.org/models/'
        # 'resnet50-11ad3fa6.pth'
        pretrained=None,
        norm_eval=False,
    ),
    cls_head=dict(type='LSTMHead', in_channels=2048),
)
