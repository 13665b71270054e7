# A schedule for CPUs, minutes long.
_base_ = ['sgd_150k.py', 'default_runtime.py']

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=1e-4)
)
train_cfg = dict(max_iters=300, val_interval=50)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
log_processor = dict(window_size=10)
