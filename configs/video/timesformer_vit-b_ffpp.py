# TimeSformer (2102.05095), 8 frames, with MMAction2's optimiser for it.
_base_ = [
    '../_base_/models/timesformer.py',
    '../_base_/ffpp.py',
    '../_base_/sgd_150k.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.00125, weight_decay=1e-4, nesterov=True)
)
