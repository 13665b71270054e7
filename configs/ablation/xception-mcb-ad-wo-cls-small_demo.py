# Xception+MCB+AD w/o cls for CPUs, with the demo's small GML.
_base_ = '../gml_xception-small_demo.py'
model = dict(cls_head=dict(ad_head=dict(classify=False)))
