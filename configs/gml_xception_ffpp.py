# GML trained on FaceForensics++ c23: Tables 1 and 2, "GML (Ours)", and the
# last row of Table 3, "Xception+MCB+AD": FF++ -> DFO 85.8, FF++ -> CDF 75.3
_base_ = [
    '_base_/models/gml_xception.py',
    '_base_/ffpp.py',
    '_base_/sgd_150k.py',
    '_base_/default_runtime.py',
]
