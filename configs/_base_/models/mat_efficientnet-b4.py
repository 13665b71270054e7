# Multi-attentional deepfake detection, frame by frame: stages 2 and 5 of
# EfficientNet-B4 give textures and attention maps.
model = dict(
    type='MATRecognizer',
    data_preprocessor=dict(
        type='FramePreprocessor',
        # The authors' code: [-1, 1], which its weights ("advprop") read.
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
    ),
    backbone=dict(
        type='EfficientNet',
        arch='b4',
        taps=(2, 5),
        # ImageNet weights, those that read [-1, 1]: --weights FOLDER
    ),
    cls_head=dict(
        type='MATHead', in_channels=(32, 160, 1792), num_maps=4, hidden=256
    ),
)
