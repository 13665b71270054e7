# Table 3, "Xception+MCB": FF++ -> DFO 77.0, FF++ -> CDF 72.0
_base_ = '../gml_xception_ffpp.py'
model = dict(cls_head=dict(ad_head=None))
