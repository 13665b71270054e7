# Table 3, "Xception+AD": FF++ -> DFO 60.0, FF++ -> CDF 64.0
_base_ = '../gml_xception_ffpp.py'
model = dict(backbone=dict(motion_block=None))
