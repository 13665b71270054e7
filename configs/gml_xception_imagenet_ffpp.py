# GML from ImageNet's Xception, trained on FaceForensics++ c23: the network
# starts as the plain Xception of the file. The paper does not say its start.
# gml train --weights FOLDER, or the file in the working directory.
_base_ = 'gml_xception_ffpp.py'

model = dict(
    backbone=dict(
        motion_block=dict(temporal_init='identity', expand_init='zero'),
        init_cfg=dict(type='Pretrained', checkpoint='xception-43020ad28.pth'),
    )
)
