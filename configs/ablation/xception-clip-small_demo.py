# Xception, clip, for CPUs, with the demo's small GML.
_base_ = '../gml_xception-small_demo.py'
model = dict(backbone=dict(motion_block=None), cls_head=dict(ad_head=None))
