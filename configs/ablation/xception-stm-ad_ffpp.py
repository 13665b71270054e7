# Table 3, "Xception+STM+AD": FF++ -> DFO 79.3, FF++ -> CDF 69.2
_base_ = '../gml_xception_ffpp.py'
model = dict(backbone=dict(motion_block=dict(type='STMBlock')))
