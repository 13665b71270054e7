# Xception+MCB for CPUs, with the demo's small GML.
_base_ = '../gml_xception-small_demo.py'
model = dict(cls_head=dict(ad_head=None))
