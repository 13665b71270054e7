# Plain Xception, frame by frame, with a loss and a score for each frame.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
    ),
    # ImageNet weights: gml train --weights FOLDER
    backbone=dict(type='Xception'),
    cls_head=dict(type='FrameHead', in_channels=2048),
)
