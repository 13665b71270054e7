# Table 2, "Recc", frame by frame: FF++ -> CDF AUC 68.7 (CDF -> CDF: 99.9)
_base_ = [
    '../_base_/models/recce_xception.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]

# The authors' recipe (VISION-SJTU/RECCE, config/Recce.yml): Adam and a rate
# halved every 22,500 iterations. Theirs are 90,000 iterations of 32 images of
# 299x299; size, batch (16 clips of 8 frames) and length stay this project's.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=2e-4, weight_decay=1e-5)
)
param_scheduler = [
    dict(type='StepLR', by_epoch=False, step_size=22500, gamma=0.5)
]
