"""Facts about the choice of the best checkpoint, on MMEngine's own runner."""

import shutil

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


def train(folder, scores, **settings):
    """Train for as many iterations as there are scores, one validation each.

    Scores of None are those of iterations that a resumed run has behind it.
    """
    loader = dict(
        dataset=[torch.ones(1)] * 4,
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    metric = Scripted([score for score in scores if score is not None])
    Runner(
        Model(),
        work_dir=str(folder),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=Evaluator([metric]),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        train_cfg=dict(by_epoch=False, max_iters=len(scores), val_interval=1),
        val_cfg=dict(),
        default_hooks=dict(
            checkpoint=dict(
                type='LatestBestCheckpointHook',
                by_epoch=False,
                interval=1,
                max_keep_ckpts=1,
                save_best='video/auc',
                rule='greater',
            )
        ),
        default_scope='mmaction',
        experiment_name=f'{folder.parent.name}-{folder.name}',
        **settings,
    ).train()
    return sorted(path.name for path in folder.glob('*.pth'))


@pytest.mark.parametrize(
    ('scores', 'best'),
    [([0.5, 1.0, 1.0, 0.9], 3), ([0.5, 0.7, 0.6, 0.6], 2)],
)
def test_the_best_is_the_latest_of_equals_and_no_worse_one(
    tmp_path, scores, best
):
    assert train(tmp_path / 'run', scores) == [
        f'best_video_auc_iter_{best}.pth',
        'iter_4.pth',
    ]


def test_a_run_that_goes_on_in_a_copy_leaves_the_files_of_the_first(tmp_path):
    first, copy = tmp_path / 'first', tmp_path / 'copy'
    before = train(first, [0.5, 0.7])
    shutil.copytree(first, copy)
    last = str(copy / 'iter_2.pth')
    after = train(copy, [None, None, 0.8], load_from=last, resume=True)
    assert after == ['best_video_auc_iter_3.pth', 'iter_3.pth']
    assert sorted(path.name for path in first.glob('*.pth')) == before
