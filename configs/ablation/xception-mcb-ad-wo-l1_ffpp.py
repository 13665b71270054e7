# Table 3, "Xception+MCB+AD w/o l1": FF++ -> DFO 78.3, FF++ -> CDF 72.3
_base_ = '../gml_xception_ffpp.py'
model = dict(cls_head=dict(ad_head=dict(l1_weight=0)))
