# Tables 1 to 3, "Xception", frame by frame: FF++ -> DFO ACC 80.2 (Table 1),
# AUC 60.0 (Table 3); FF++ -> CDF AUC 65.5
_base_ = [
    '../_base_/models/xception_frames.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
