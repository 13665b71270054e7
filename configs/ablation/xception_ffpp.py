# Table 3, "Xception": FF++ -> DFO 60.0, FF++ -> CDF 65.5
_base_ = '../gml_xception_ffpp.py'
model = dict(backbone=dict(motion_block=None), cls_head=dict(ad_head=None))
