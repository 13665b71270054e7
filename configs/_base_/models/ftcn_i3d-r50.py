# FTCN-TT: I3D with spatial kernels of 1 and without its last stage, a
# transformer over its time steps.
_base_ = 'imagenet_clips.py'
model = dict(
    backbone=dict(
        type='FTCN',
        depth=50,
        num_stages=3,
        out_indices=(2,),
        spatial_strides=(1, 2, 2),
        temporal_strides=(1, 1, 1),
        dilations=(1, 1, 1),
        conv1_kernel=(5, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0)),
        norm_eval=False,
    ),
    cls_head=dict(type='TimeTransformerHead', in_channels=1024, num_tokens=16),
)
