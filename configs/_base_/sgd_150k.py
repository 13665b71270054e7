# Sec. 3: SGD, learning rate 0.001, weight decay 1e-6, 150,000 iterations.
# Paper: silent on momentum and schedule; 0.9 and a constant rate are usual.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=1e-6)
)
param_scheduler = []
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=150000, val_interval=5000
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# For other batch sizes: tools/train.py --auto-scale-lr.
auto_scale_lr = dict(enable=False, base_batch_size=16)
