# Table 3, "Xception+MCB+AD w/o cls": FF++ -> DFO 77.5, FF++ -> CDF 71.6
_base_ = '../gml_xception_ffpp.py'
model = dict(cls_head=dict(ad_head=dict(classify=False)))
