# Table 2, "Effb4": FF++ -> CDF AUC 64.3; CDF -> CDF 99.7
# Paper: silent on its training; the recipe is GML's own (Sec. 3).
_base_ = [
    '../_base_/models/efficientnet_b4.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
