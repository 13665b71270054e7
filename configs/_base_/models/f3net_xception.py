# F3-Net on two Xceptions, frame by frame.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        # To [-1, 1], which the local frequency statistics rely on.
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
    ),
    backbone=dict(
        type='F3Net',
        size=224,  # of the crops; a checkpoint loads at another size too
        # ImageNet weights of Xception, for both streams: --weights FOLDER
    ),
    cls_head=dict(type='FrameHead', in_channels=4096, dropout_ratio=0.2),
)
