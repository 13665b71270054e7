# Xception+CSTM for CPUs, with the demo's small GML.
_base_ = '../gml_xception-small_demo.py'
model = dict(
    backbone=dict(motion_block=dict(_delete_=True, type='CSTM')),
    cls_head=dict(ad_head=None),
)
