# How every run logs, saves and ends. The host's own default_runtime.py is not
# inherited: reading it needs pkg_resources, which setuptools 82 dropped.
default_scope = 'mmaction'
custom_imports = dict(imports=['gml_mmaction'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(
        type='LoggerHook',
        interval=100,
        ignore_last=False,
        log_metric_by_epoch=False,  # or every validation is logged as step 0
    ),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The best checkpoint is that of the training set's validation split, of
    # equals the latest; no test set has a say.
    checkpoint=dict(
        type='LatestBestCheckpointHook',
        by_epoch=False,
        interval=5000,
        max_keep_ckpts=2,
        save_best='video/auc',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
)
custom_hooks = [
    dict(type='ProcessesHook'),
    dict(type='FasterBlocksHook'),
    dict(type='ResumeHook'),
    dict(type='FiniteHook'),
    dict(type='ProvenanceHook'),
    dict(type='PreemptionHook'),
    dict(type='RunSummaryHook'),
]

env_cfg = dict(
    cudnn_benchmark=True,  # every batch has the same size
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(type='LogProcessor', window_size=100, by_epoch=False)
# With the extra "tensorboard": add dict(type='TensorboardVisBackend').
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ActionVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
