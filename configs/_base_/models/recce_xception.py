# RECCE: Xception, a decoder of real faces, graph reasoning, guided attention.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='FramePreprocessor',
        # The decoder ends in tanh: images must lie in [-1, 1].
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
    ),
    # The authors' encoder starts from ImageNet: --weights FOLDER
    backbone=dict(type='RECCE'),
    cls_head=dict(type='RECCEHead', in_channels=2048),
)
