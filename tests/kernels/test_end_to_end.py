"""What users run: training, testing and predicting with the kernel."""

import json

import pytest
from tiny import CONFIG, TINY, write_detector, write_prepared

from gml_mmaction.kernels import library

OPTIONS = {
    **TINY,
    'randomness.seed': 0,
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.logger.interval': 1,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'test_dataloader.num_workers': 0,
}


@pytest.fixture(scope='module')
def data(tmp_path_factory, talking_head):
    """Prepared data, a video and a trained detector."""
    folder = tmp_path_factory.mktemp('data')
    videos = [('r', 'real', ['1'], 1), ('f', 'fake', ['2'], 1)]
    splits = {
        split: [(f'{split}/{name}', *rest) for name, *rest in videos]
        for split in ('train', 'val', 'test')
    }
    write_prepared(folder / 'crops', splits)
    talking_head(folder / 'video.mp4', num_frames=24)
    write_detector(folder / 'best.pth')
    return folder


@pytest.fixture
def work(data, tmp_path, load_tool):
    """Train, test and predict; return losses and scores."""

    def run(name):
        out, crops = tmp_path / name, data / 'crops'
        options = [f'{key}={value}' for key, value in OPTIONS.items()]
        common = ['--data', str(crops), '--work-dir', str(out)]
        common += ['--cfg-options', *options]
        best = str(data / 'best.pth')
        load_tool('train').main([str(CONFIG), *common])
        load_tool('test').main([str(CONFIG), best, *common])
        code = load_tool('predict').main(
            [
                *(str(data / 'video.mp4'), '--checkpoint', best, '--quiet'),
                *('--out', str(out), '--device', 'cpu', '--no-overlay'),
            ]
        )
        assert code == 0
        (log,) = out.glob('2*/vis_data/scalars.json')
        lines = [json.loads(line) for line in log.open()]
        losses = [line['loss'] for line in lines if 'loss' in line]
        scores = [
            *scores_in(json.loads((out / 'scores.json').read_text())),
            *scores_in(
                json.loads((out / 'video/prediction.json').read_text())
            ),
        ]
        return losses, scores

    return run


def scores_in(report):
    """Each number that is called a score, wherever it is."""
    if isinstance(report, list):
        return [score for each in report for score in scores_in(each)]
    if not isinstance(report, dict):
        return []
    own = report.get('score')
    return ([own] if isinstance(own, float) else []) + [
        score for each in report.values() for score in scores_in(each)
    ]


@pytest.mark.slow
def test_training_testing_and_prediction_are_the_same_by_the_kernel(
    work, compiled, monkeypatch
):
    pytest.importorskip('dlib')
    if compiled is None:
        pytest.skip('no C compiler')
    called, call = set(), library.call
    monkeypatch.setattr(
        library, 'call', lambda *a: called.add(a[0]) or call(*a)
    )
    losses, scores = work('operators')
    assert not called
    monkeypatch.setattr(library, '_library', lambda: compiled)
    found_losses, found_scores = work('kernel')
    assert called == {'block_forward', 'block_backward'}
    assert len(losses) == 2
    assert len(scores) > 4
    assert found_losses == pytest.approx(losses, rel=1e-3)
    assert found_scores == pytest.approx(scores, abs=1e-4)
