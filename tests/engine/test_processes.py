"""What processes share: draws, losses, statistics, results."""

from itertools import chain, islice
from types import SimpleNamespace

import msgspec
import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import CheckpointHook
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import OptimWrapper
from torch import nn

from gml_mmaction.datasets.samplers import (
    BalancedSampler,
    ClipSampler,
    PairSampler,
)
from gml_mmaction.engine import (
    LatestBestCheckpointHook,
    PreemptionHook,
    ProcessesError,
    ProcessesHook,
)
from gml_mmaction.evaluation import ForgeryMetric
from gml_mmaction.host.processes import (
    LostProcessError,
    lost_processes,
    synchronise_norms,
)

WORLD = 3
CLIPS = 2  # one process has none


class Labels:
    """Five reals and two fakes."""

    def __len__(self):
        return 7

    def get_data_info(self, index):
        return dict(label=int(index > 4), pair=str(index % 2))


@pytest.mark.parametrize(
    'sampler', [ClipSampler, BalancedSampler, PairSampler]
)
@pytest.mark.parametrize('world', [2, 3])
def test_batches_of_several_processes_are_those_of_one(
    sampler, world, monkeypatch
):
    """With the numbers that seed their augmentation."""

    def batches(rank, world, size):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda: (rank, world)
        )
        draws = iter(sampler(Labels(), seed=5))
        return [
            [(int(d), d.number) for d in islice(draws, size)] for _ in range(6)
        ]

    shares = [batches(rank, world, 2) for rank in range(world)]
    together = [sorted(chain(*parts)) for parts in zip(*shares)]
    assert together == [sorted(b) for b in batches(0, 1, 2 * world)]


def sample(index):
    return dict(
        video_id=f'v{index}',
        clip_index=0,
        method='real',
        gt_label=torch.tensor([0]),
        pred_score=torch.tensor([1 - index / 10, index / 10]),
    )


def take_part(rank, folder):
    """What one of three processes does; it saves what came of it."""
    dist.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=WORLD
    )
    synchronise_norms()
    x, weight = torch.load(folder / 'batch.pt')
    x = x[rank::WORLD].requires_grad_()
    norm = convert_sync_batchnorm(norm_of_many())
    (norm(x) * weight[rank::WORLD]).sum().backward()
    outputs = dict(loss=torch.tensor(float(rank)), acc=1.0)
    exchanges, hook = [], ProcessesHook()
    asked = [hook.listen(lambda: rank == 1), hook.listen(lambda: False)]
    reduce = dist.all_reduce
    dist.all_reduce = lambda *a, **k: exchanges.append(1) or reduce(*a, **k)
    hook.after_train_iter(None, 0, outputs=outputs)
    dist.all_reduce = reduce
    metric = ForgeryMetric()
    metric.process(None, [sample(i) for i in range(rank, CLIPS, WORLD)])
    rows = []
    metric.compute_metrics = lambda results: rows.extend(results) or {}
    metric.evaluate(CLIPS)
    counts = nn.BatchNorm1d(1)
    counts.running_mean.fill_(rank)
    saved = []
    CheckpointHook._save_checkpoint = lambda _, runner: saved.append(
        float(runner.model.running_mean)
    )
    LatestBestCheckpointHook()._save_checkpoint(SimpleNamespace(model=counts))
    error = ''
    try:
        ProcessesHook().before_train(
            SimpleNamespace(iter=4 * (rank == 1), work_dir='run')
        )
    except ProcessesError as raised:
        error = str(raised)
    result = dict(
        grad=x.grad,
        norm=norm.state_dict(),
        weight=norm.weight.grad,
        outputs=outputs,
        asked=[request() for request in asked],
        exchanges=len(exchanges),
        rows=[msgspec.to_builtins(row) for row in rows],
        saved=saved,
        error=error,
    )
    torch.save(result, folder / f'{rank}.pt')
    dist.destroy_process_group()


def norm_of_many():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5, dtype=torch.float64)
    nn.init.normal_(norm.weight)
    return norm


@pytest.fixture(scope='module')
def parts(run_group, tmp_path_factory):
    """A batch of 7 images, so that processes have 3, 2 and 2."""
    folder = tmp_path_factory.mktemp('parts')
    torch.manual_seed(1)
    batch = torch.randn(2, 7, 5, 3, 4, dtype=torch.float64)
    torch.save(tuple(batch), folder / 'batch.pt')
    run_group(take_part, folder, processes=WORLD)
    found = [torch.load(folder / f'{rank}.pt') for rank in range(WORLD)]
    return batch, found


def test_norms_of_several_processes_are_one_norm_over_their_batch(parts):
    (x, weight), found = parts
    x.requires_grad_()
    norm = norm_of_many()
    (norm(x) * weight).sum().backward()
    for rank, part in enumerate(found):
        torch.testing.assert_close(part['grad'], x.grad[rank::WORLD])
        torch.testing.assert_close(part['norm'], norm.state_dict())
    total = sum(part['weight'] for part in found)
    torch.testing.assert_close(total, norm.weight.grad)


def test_the_log_gets_the_mean_loss_of_all_processes(parts):
    for part in parts[1]:
        assert part['outputs'] == dict(loss=1.0, acc=1.0)


def test_one_exchange_has_the_losses_and_what_any_process_asks_for(parts):
    for part in parts[1]:
        assert part['asked'] == [True, False]
        assert part['exchanges'] == 1


def test_a_checkpoint_holds_the_mean_statistics_of_all_processes(parts):
    assert [part['saved'] for part in parts[1]] == [[1.0]] * WORLD


def test_a_process_without_a_clip_loses_none(parts):
    """The files of the sampler that does not fill up are collected whole."""
    first, *others = (part['rows'] for part in parts[1])
    assert [row['video_id'] for row in first] == ['v0', 'v1']
    assert not any(others)


def test_processes_that_go_on_at_different_iterations_are_told(parts):
    """As where a machine does not see the checkpoints of the others."""
    for part in parts[1]:
        assert 'begins at iteration 0, another at 4' in part['error']
        assert 'share' in part['error']


def test_sigterm_waits_for_the_end_of_an_accumulation(monkeypatch):
    wrapper = OptimWrapper(
        torch.optim.SGD([nn.Parameter(torch.ones(()))], lr=0.1),
        accumulative_counts=2,
    )
    runner = SimpleNamespace(optim_wrapper=wrapper)
    hook = PreemptionHook()
    hook._ask()
    wrapper._inner_count = 3
    hook.after_train_iter(runner)  # goes on
    wrapper._inner_count = 4
    with pytest.raises(AttributeError):  # would save
        hook.after_train_iter(runner)


def test_only_errors_of_the_connection_tell_of_a_lost_process():
    with pytest.raises(RuntimeError, match='shapes'), lost_processes():
        raise RuntimeError('shapes')
    text = '[third_party/gloo/gloo/transport/tcp/pair.cc:553] closed by peer'
    with (
        pytest.raises(LostProcessError, match='pair') as caught,
        lost_processes(),
    ):
        raise RuntimeError(text)
    assert '\n' not in str(caught.value)
