# A control for Table 3, not in the paper: plain Xception with features pooled
# over the clip, as in every row with a "+"; no motion block, no AD.
_base_ = '../gml_xception_ffpp.py'
model = dict(backbone=dict(motion_block=None), cls_head=dict(ad_head=None))
