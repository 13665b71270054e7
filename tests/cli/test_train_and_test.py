"""The tools on MMEngine's real runner: a tiny GML on tiny crops."""

import json
import os
import pickle
import re
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import warm
from tiny import free_port, make_crops

from gml_mmaction.engine.settings import LOADERS
from gml_mmaction.io.files import file_sha256

pytestmark = pytest.mark.slow
REPO = Path(__file__).parents[2]
CONFIG = 'configs/gml_xception-small_demo.py'
TINY = [
    'model.backbone.width=0.0625',
    'model.cls_head.in_channels=128',
    'model.cls_head.ad_head.in_channels=46',
    'train_cfg.max_iters=4',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
]


@pytest.fixture(scope='module')
def crops(tmp_path_factory):
    root = tmp_path_factory.mktemp('crops')
    for split, videos in dict(train=6, val=4, test=5).items():
        make_crops(root, split, videos, label_of=lambda v: v % 2)
    return root


def roots(crops):
    return [
        f'{split}_dataloader.dataset.data_root={crops}'
        for split in ('train', 'val', 'test')
    ]


def options(crops, *more):
    return ['--cfg-options', *TINY, *roots(crops), *more]


def run(*command, check=True):
    """Run a script, one of Python's by a Python that has imported."""
    python = [warm.python()] if str(command[0]).endswith('.py') else []
    done = subprocess.run(
        [*python, *(str(part) for part in command)],
        cwd=REPO,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PORT': free_port(),
            'PYTHON': warm.python(),
            'PYTHON_EXEC': warm.python(),  # of torchrun, for its processes
        },
    )
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def train(crops, work_dir, *flags, more=(), **kwargs):
    return run(
        *('tools/train.py', CONFIG, '--work-dir', work_dir),
        *('--seed', '0', *flags),
        *options(crops, *more),
        **kwargs,
    )


@pytest.mark.parametrize('start', ['3', 'nowhere.pth'])
def test_a_start_that_is_no_file_is_one_line(tmp_path, start):
    option = f'load_from={start}'
    flags = '--work-dir', tmp_path, '--cfg-options', option
    done = run('tools/train.py', CONFIG, *flags, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'train.py: load_from={start!r}: no such file. ')


def state_of(work_dir, iteration):
    """The weights of a checkpoint, by our own safe loader."""
    from mmengine.runner import CheckpointLoader

    return CheckpointLoader.load_checkpoint(
        str(work_dir / f'iter_{iteration}.pth')
    )['state_dict']


@pytest.fixture(scope='module')
def trained(crops, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('run')
    train(crops, work_dir)
    return work_dir


def test_training_leaves_checkpoints_curves_and_a_summary(trained):
    assert (trained / 'iter_4.pth').is_file()
    assert len(list(trained.glob('best_video_auc_iter_*.pth'))) == 1
    curves = cv2.imread(str(trained / 'curves.png'))
    assert curves is not None
    assert curves.std() > 5  # something is drawn
    log = next(trained.glob('*/*.log')).read_text()
    assert 'best video/auc' in log
    assert 'loss_l1' in log


def test_training_without_a_validation_saves_its_checkpoints(crops, tmp_path):
    train(crops, tmp_path, '--no-validate')
    assert not list(tmp_path.glob('best_*.pth'))
    assert 'backbone.conv1.weight' in state_of(tmp_path, 4)


def test_other_data_are_one_option(load_tool, monkeypatch):
    monkeypatch.chdir(REPO)
    tool = load_tool('train')
    args = tool.parse_args([CONFIG, '--data', 'data/cdf'])
    cfg = tool.read_config(args)
    assert [cfg[name].dataset.data_root for name in LOADERS] == (
        ['data/cdf'] * 3
    )
    plain = tool.read_config(tool.parse_args([CONFIG]))
    assert plain.train_dataloader.dataset.data_root != 'data/cdf'


def test_testing_writes_scores_of_both_levels(trained, crops):
    run(
        *('tools/test.py', CONFIG, trained / 'iter_4.pth'),
        *('--work-dir', trained / 'test'),
        *('--dump', trained / 'test/predictions.pkl'),
        *options(crops),
    )
    metrics = json.loads((trained / 'test/test_metrics.json').read_text())
    assert {'video/auc', 'video/eer', 'clip/auc', 'clip/acc'} <= set(metrics)
    with open(trained / 'test/predictions.pkl', 'rb') as file:
        predictions = pickle.load(file)
    assert len(predictions) == 5 * 2  # videos of two clips
    scores = {
        (p['video_id'], p['clip_index']): float(p['pred_score'][1])
        for p in predictions
    }
    reals = [s for (v, _), s in scores.items() if int(v[-1]) % 2 == 0]
    fakes = [s for (v, _), s in scores.items() if int(v[-1]) % 2]
    pairs = [(f > r) + 0.5 * (f == r) for f in fakes for r in reals]
    assert metrics['clip/auc'] == pytest.approx(np.mean(pairs))
    written = trained / 'test' / metrics['scores_file']
    content = json.loads(written.read_text())
    assert content['checkpoint'] == dict(
        name='iter_4.pth', sha256=file_sha256(trained / 'iter_4.pth')
    )
    clips = content['clips']
    assert {(c['video_id'], c['clip_index']): c['score'] for c in clips} == (
        pytest.approx(scores)
    )


@pytest.fixture(scope='module')
def other_crops(tmp_path_factory):
    root = tmp_path_factory.mktemp('other')
    make_crops(root, 'test', 7, label_of=lambda v: int(v % 3 > 0))
    return root


def run_targets(command, crops, other_crops, work_dir):
    """Test two targets; return what is printed and the written report."""
    done = run(
        *command,
        *('--work-dir', work_dir),
        *('--target', f'own={crops}', f'other={other_crops}'),
        *options(crops, 'test_dataloader.batch_size=3'),
    )
    return done.stdout, json.loads((work_dir / 'cross_table.json').read_text())


@pytest.fixture(scope='module')
def one_table(trained, crops, other_crops):
    """Return what one process prints and writes."""
    command = 'tools/test.py', CONFIG, trained / 'iter_4.pth'
    return run_targets(command, crops, other_crops, trained / 'targets')


def test_two_targets_end_in_one_table(one_table):
    printed, report = one_table
    rows = [line.split() for line in printed.splitlines() if line[:1] == '|']
    assert [row[1] for row in rows[2:]] == ['own', 'other']
    assert [row[3] for row in rows[2:]] == ['3', '3']
    assert [row[5] for row in rows[2:]] == ['2', '4']
    for row, target in zip(rows[2:], report['targets']):
        auc = target['metrics']['video/auc']
        assert float(row[7]) == pytest.approx(auc, abs=1e-4)
        assert 'video/acc_val' in target['metrics']


def test_two_processes_give_the_table_that_one_gives(
    one_table, trained, crops, other_crops
):
    """Ten clips and 14, whose last batches are padded."""
    command = 'tools/dist_test.sh', CONFIG, trained / 'iter_4.pth', 2
    work_dir = trained / 'targets-two'
    printed, two = run_targets(command, crops, other_crops, work_dir)
    _, one = one_table
    assert printed.count('| own ') == 1
    for level in ('video', 'clip'):
        assert one['thresholds'][level] == pytest.approx(
            two['thresholds'][level], abs=1e-5
        )
    for row, other in zip(one['targets'], two['targets']):
        assert row['metrics'].keys() == other['metrics'].keys()
        assert row['metrics'] == pytest.approx(other['metrics'], abs=1e-5)


def test_a_wrong_target_ends_in_one_line_that_names_the_right_ones():
    done = run(
        *('tools/test.py', CONFIG, 'none.pth'),
        *('--target', 'nowhere'),
        check=False,
    )
    assert done.returncode != 0
    assert (
        'data/nowhere/test.json is missing. Remedy: one of those in data/'
        in done.stderr
    )
    assert 'Traceback' not in done.stderr


PLAIN_CONFIG = """
_base_ = '{base}'
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2))
# Batch norms see the batch of a process; here they are kept still.
model = dict(
    backbone=dict(width=1 / 16, norm_eval=True),
    cls_head=dict(in_channels=128, ad_head=None),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=False),
    # No random clip, mirror or tone.
    dataset=dict(test_mode=True, pipeline=[
        dict(type='RawFrameDecode'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.01))
"""


def test_two_processes_train_as_one_does_with_the_same_batch(crops, tmp_path):
    """Weights after two steps; each process takes half the batch."""
    config = tmp_path / 'plain.py'
    config.write_text(PLAIN_CONFIG.format(base=REPO / CONFIG))
    one, two = tmp_path / 'one', tmp_path / 'two'
    for batch_size, command in {
        6: ['tools/train.py', config, '--work-dir', one],
        3: ['tools/dist_train.sh', config, 2, '--work-dir', two],
    }.items():
        size = f'train_dataloader.batch_size={batch_size}'
        run(*command, '--seed', 0, '--cfg-options', *roots(crops), size)
    assert_same_weights(state_of(one, 2), state_of(two, 2))


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(
            second[name], value, atol=1e-5, rtol=1e-4, msg=name
        )


def test_a_resumed_training_ends_where_an_unbroken_one_does(crops, tmp_path):
    config = tmp_path / 'plain.py'
    config.write_text(PLAIN_CONFIG.format(base=REPO / CONFIG))
    for work_dir, steps in (('whole', [4]), ('broken', [2, 4])):
        for last in steps:
            resume = ['--resume'] if last > steps[0] else []
            done = run(
                *('tools/train.py', config, '--seed', 0),
                *('--work-dir', tmp_path / work_dir, *resume),
                *('--cfg-options', *roots(crops)),
                *('train_dataloader.batch_size=6', 'train_cfg.val_interval=2'),
                f'train_cfg.max_iters={last}',
            )
    assert 'resumed epoch: 0, iter: 2' in done.stdout + done.stderr
    assert_same_weights(
        state_of(tmp_path / 'whole', 4), state_of(tmp_path / 'broken', 4)
    )


def test_amp_trains_in_bfloat16_on_a_cpu(crops, tmp_path):
    """Same seed, same steps: close to float32, and not the same."""
    states = []
    for name, flags in dict(full=[], mixed=['--amp']).items():
        work_dir = tmp_path / name
        train(crops, work_dir, *flags, more=['train_cfg.max_iters=2'])
        states.append(state_of(work_dir, 2)['cls_head.fc_cls1.weight'])
    assert not torch.equal(*states)
    torch.testing.assert_close(*states, atol=5e-3, rtol=0)


def test_a_validation_set_of_one_class_does_not_end_the_run(crops, tmp_path):
    root = tmp_path / 'crops'
    make_crops(root, 'train', 4, label_of=lambda v: v % 2)
    make_crops(root, 'val', 4, label_of=lambda v: 1)
    done = train(root, tmp_path / 'run', more=['train_cfg.max_iters=2'])
    assert 'all 4 videos are fake' in done.stdout + done.stderr
    assert (tmp_path / 'run/iter_2.pth').is_file()


def test_missing_data_ends_in_one_line(tmp_path):
    done = train(tmp_path, tmp_path / 'run', check=False)
    assert done.returncode != 0
    assert (
        'train.json: no such annotation. Remedy: prepare the data with'
        in done.stderr
    )
    assert 'Traceback' not in done.stderr


def test_a_missing_config_ends_in_one_line():
    done = run('tools/train.py', 'none.py', check=False)
    assert done.returncode != 0
    assert 'none.py' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('option', 'line'),
    [
        ('model.backbone.middle_blocks=9', 'backbone.middle_blocks=9: use 0'),
        ('model.cls_head.in_channels=17', 'cls_head.in_channels=17: the'),
        ('model.backbone', '--cfg-options model.backbone: give KEY=VALUE'),
    ],
)
def test_a_setting_that_cannot_be_is_all_that_is_printed(
    crops, tmp_path, option, line
):
    done = train(crops, tmp_path, more=[option], check=False)
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.splitlines()[-1].startswith('train.py: ')
    assert line in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr


# As users of MMAction2 write them.
SETTINGS = {
    'concat': """
inner = dict(
    type='FaceClipDataset',
    data_root='{crops}',
    ann_file='train.json',
    clip_len=8,
    pipeline={{{{_base_.train_pipeline}}}},
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[inner, inner]),
)
""",
    'mixup': """
mixup = dict(type='MixupBlending', num_classes=2, alpha=0.2)
model = dict(data_preprocessor=dict(blending=mixup))
""",
    'i3dhead': """
model = dict(
    backbone=dict(tap=None),
    cls_head=dict(
        _delete_=True,
        type='I3DHead',
        num_classes=2,
        in_channels=512,
        spatial_type='avg',
        dropout_ratio=0.5,
        average_clips='prob',
    ),
)
""",
}


@pytest.mark.parametrize(
    ('name', 'tiny'),
    [
        ('concat', TINY),
        ('mixup', TINY),
        ('i3dhead', ['train_cfg.max_iters=4']),
    ],
)
def test_a_config_with_parts_of_mmaction2_trains(crops, tmp_path, name, tiny):
    config = tmp_path / f'{name}.py'
    base = f"_base_ = ['{REPO / CONFIG}']\n"
    config.write_text(base + SETTINGS[name].format(crops=crops))
    run(
        *('tools/train.py', config, '--data', crops),
        *('--work-dir', tmp_path / 'run', '--cfg-options', *tiny),
        *('train_cfg.val_interval=4', 'default_hooks.checkpoint.interval=4'),
    )
    assert (tmp_path / 'run/iter_4.pth').is_file()
    assert len(list((tmp_path / 'run').glob('best_*.pth'))) == 1


@pytest.fixture(scope='module')
def wrapped(tmp_path_factory, crops, other_crops):
    """A config whose validation and test data are wrapped."""
    path = tmp_path_factory.mktemp('wrapped') / 'wrapped.py'
    path.write_text(
        f"""
_base_ = ['{REPO / CONFIG}']
first = dict(
    type='FaceClipDataset',
    data_root='{crops}',
    ann_file='val.json',
    clip_len=8,
    pipeline={{{{_base_.val_pipeline}}}},
    test_mode=True,
)
second = dict(first, data_root='{other_crops}', ann_file='test.json')
both = dict(_delete_=True, type='ConcatDataset', datasets=[first, second])
twice = dict(type='RepeatDataset', times=2, dataset=first)
val_dataloader = dict(dataset=both)
test_dataloader = dict(dataset=dict(_delete_=True, **twice))
"""
    )
    return path


def test_targets_are_tested_whatever_the_config_wraps(
    wrapped, trained, crops, other_crops, tmp_path
):
    run(
        *('tools/test.py', wrapped, trained / 'iter_4.pth'),
        *('--work-dir', tmp_path / 'targets'),
        *('--target', f'own={crops}', f'other={other_crops}'),
        *('--cfg-options', *TINY),
    )
    report = json.loads((tmp_path / 'targets/cross_table.json').read_text())
    assert report['thresholds']['videos'] == 4 + 7
    rows = [(r['real_videos'], r['fake_videos']) for r in report['targets']]
    assert rows == [(3, 2), (3, 4)]


def test_a_wrapped_test_set_is_tested(wrapped, trained, tmp_path):
    run(
        *('tools/test.py', wrapped, trained / 'iter_4.pth'),
        *('--work-dir', tmp_path, '--cfg-options', *TINY),
    )
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert len(scores['videos']) == 4


def test_targets_need_a_data_set_that_reads_them(trained, crops, tmp_path):
    done = run(
        *(
            'tools/test.py',
            'configs/gml_xception-small_videos.py',
            trained / 'iter_4.pth',
            '--work-dir',
            tmp_path,
        ),
        *('--target', f'own={crops}', '--cfg-options', *TINY),
        check=False,
    )
    assert done.returncode == 1
    assert 'test_dataloader.dataset.type=' in done.stderr.splitlines()[-1]


@pytest.fixture(scope='module')
def videos(tmp_path_factory, talking_head):
    """Plain videos with MMAction2's lists."""
    pytest.importorskip('decord')
    root = tmp_path_factory.mktemp('videos')
    names = [f'talks/{i}.mp4' for i in range(4)]
    for name in names:
        talking_head(root / name)
    lines = [f'{name} {i % 2}' for i, name in enumerate(names)]
    for split in ('train', 'val', 'test'):
        (root / f'{split}.txt').write_text('\n'.join(lines))
    return root


PLAIN_VIDEOS = REPO / 'configs/gml_xception-small_videos.py'


@pytest.fixture(scope='module')
def trained_on_videos(videos, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('videos_run')
    run(
        *('tools/train.py', PLAIN_VIDEOS, '--data', videos),
        *('--work-dir', work_dir, '--cfg-options', *TINY),
        'train_dataloader.batch_size=2',
    )
    return work_dir


@pytest.mark.parametrize('workers', [0, 1])
def test_a_broken_plain_video_is_named(videos, tmp_path, workers):
    for path in videos.glob('*.txt'):
        (tmp_path / path.name).write_text('talks/0.mp4 0\nbroken.mp4 1\n')
    (tmp_path / 'talks').symlink_to(videos / 'talks')
    (tmp_path / 'broken.mp4').write_bytes(b'no video' * 200)
    done = run(
        *('tools/train.py', PLAIN_VIDEOS),
        *('--data', tmp_path, '--work-dir', tmp_path / 'run'),
        *('--cfg-options', *TINY, 'train_dataloader.batch_size=2'),
        f'train_dataloader.num_workers={workers}',
        f'train_dataloader.persistent_workers={workers > 0}',
        check=False,
    )
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    line = r'train\.py: .*/broken\.mp4 cannot be read by DecordInit .*ffmpeg.*'
    assert re.search(f'^{line}$', done.stderr, re.MULTILINE)


def test_plain_videos_are_trained_on_and_tested_by_mmaction2_s_decord(
    videos, trained_on_videos
):
    (best,) = trained_on_videos.glob('best_video_auc_*.pth')
    run(
        *('tools/test.py', PLAIN_VIDEOS, best),
        *('--data', videos, '--work-dir', trained_on_videos / 'test'),
        *('--cfg-options', *TINY),
    )
    test = trained_on_videos / 'test'
    assert 'video/auc' in json.loads((test / 'test_metrics.json').read_text())
    scores = json.loads((test / 'scores.json').read_text())
    assert [v['video_id'] for v in scores['videos']] == [
        str(videos / f'talks/{i}.mp4') for i in range(4)
    ]


def recognizer(config, checkpoint):
    from mmaction.apis import init_recognizer
    from mmengine.config import Config

    cfg = Config.fromfile(config)
    cfg.merge_from_dict(
        {key: float(value) for key, value in (o.split('=') for o in TINY[:1])}
    )
    cfg.model.cls_head.in_channels = 128
    cfg.model.cls_head.ad_head.in_channels = 46
    return init_recognizer(cfg, str(checkpoint), device='cpu')


def test_mmaction2_s_own_inference_scores_a_plain_video(
    videos, trained_on_videos
):
    from mmaction.apis import inference_recognizer

    model = recognizer(PLAIN_VIDEOS, trained_on_videos / 'iter_4.pth')
    sample = inference_recognizer(model, str(videos / 'talks/0.mp4'))
    assert sample.pred_score.shape == (2,)
    assert float(sample.pred_score.sum()) == pytest.approx(1)


def test_where_faces_must_be_found_mmaction2_s_inference_names_ours(
    videos, trained
):
    from mmaction.apis import inference_recognizer

    from gml_mmaction.errors import SettingError

    model = recognizer(REPO / CONFIG, trained / 'iter_4.pth')
    with pytest.raises(SettingError, match=r'apis\.ForgeryInferencer'):
        inference_recognizer(model, str(videos / 'talks/0.mp4'))


def test_without_decord_the_line_names_it(videos, tmp_path, run_warm):
    (tmp_path / 'decord.py').write_text("raise ImportError('not here')")
    done = run_warm(
        *(REPO / 'tools/train.py', PLAIN_VIDEOS, '--data', videos),
        *('--work-dir', tmp_path / 'run', '--cfg-options', *TINY),
        path=tmp_path,
    )
    assert done.returncode == 1
    assert 'Remedy: pip install decord' in done.stderr.splitlines()[-1]
    assert done.stdout == ''
