# Genuine videos alone, for CPUs: genuine.py at 64x64, a short schedule.
_base_ = ['genuine.py', 'adamw_300.py']

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(size=64)
train_pipeline[3].update(gamma=0.4, colour=0.2, rotation=15, zoom=0.15)
val_pipeline = _base_.val_pipeline
val_pipeline[1].update(size=64)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(size=64)

workers = dict(num_workers=1, persistent_workers=True)
train_dataloader = dict(**workers, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(**workers, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(**workers, dataset=dict(pipeline=test_pipeline))
