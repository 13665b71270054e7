# Xception+MCB+AD w/o l1 for CPUs, with the demo's small GML.
_base_ = '../gml_xception-small_demo.py'
model = dict(cls_head=dict(ad_head=dict(l1_weight=0)))
