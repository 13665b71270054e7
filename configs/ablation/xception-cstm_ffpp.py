# Table 3, "Xception+CSTM": FF++ -> DFO 62.5, FF++ -> CDF 65.3
_base_ = '../gml_xception_ffpp.py'
model = dict(
    backbone=dict(motion_block=dict(_delete_=True, type='CSTM')),
    cls_head=dict(ad_head=None),
)
