# Table 3, "Xception+STM": FF++ -> DFO 73.0, FF++ -> CDF 70.0
_base_ = '../gml_xception_ffpp.py'
model = dict(
    backbone=dict(motion_block=dict(type='STMBlock')),
    cls_head=dict(ad_head=None),
)
