"""Facts about the choice of the best checkpoint, on MMEngine's own runner."""

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.weight.sum()) if mode == 'loss' else [0]


class Scripted(BaseMetric):
    """Scores as they are given, one at a validation."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {'video/auc': next(self.scores)}


@pytest.mark.parametrize(
    ('scores', 'best'),
    [([0.5, 1.0, 1.0, 0.9], 3), ([0.5, 0.7, 0.6, 0.6], 2)],
)
def test_the_best_is_the_latest_of_equals_and_no_worse_one(
    tmp_path, scores, best
):
    loader = dict(
        dataset=[torch.ones(1)] * 4,
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    runner = Runner(
        Model(),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=Evaluator([Scripted(scores)]),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        train_cfg=dict(by_epoch=False, max_iters=4, val_interval=1),
        val_cfg=dict(),
        default_hooks=dict(
            checkpoint=dict(
                type='LatestBestCheckpointHook',
                by_epoch=False,
                save_best='video/auc',
                rule='greater',
            )
        ),
        default_scope='mmaction',
        experiment_name=tmp_path.name,
    )
    runner.train()
    (path,) = tmp_path.glob('best_video_auc_*.pth')
    assert path.name == f'best_video_auc_iter_{best}.pth'
