"""``gml train --weights`` in processes of its own, on tiny data."""

import hashlib
import json
import os
import pickle
import subprocess
from pathlib import Path

import pytest
import torch
import warm
from mmaction.registry import MODELS
from networks import randomise
from tiny import TINY, write_prepared

from gml_mmaction.apis import load_detector

REPO = Path(__file__).parents[2]
SMALL = 'configs/gml_xception-small_demo.py'
IMAGENET = 'configs/gml_xception_imagenet_ffpp.py'
XCEPTION = 'xception-43020ad28.pth'
OPTIONS = [
    *(f'{key}={value}' for key, value in TINY.items()),
    'train_dataloader.batch_size=2',
    'train_cfg.max_iters=1',
    'train_cfg.val_interval=1',
    *(
        f'{split}_dataloader.{key}'
        for split in ('train', 'val', 'test')
        for key in ('num_workers=0', 'persistent_workers=False')
    ),
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    splits = {
        split: [
            (f'{split}/{i}', ('real', 'fake')[i], [split], 1) for i in (0, 1)
        ]
        for split in ('train', 'val', 'test')
    }
    folder = tmp_path_factory.mktemp('prepared') / 'made'
    return write_prepared(folder, splits)


def gml(*command):
    done = subprocess.run(
        [warm.python(), '-m', 'gml_mmaction', *map(str, command)],
        cwd=REPO,
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def train(folder, data, *, name=None, config=SMALL, weights=None):
    named = 'model.backbone.init_cfg.type=Pretrained'
    options = [named, f'model.backbone.init_cfg.checkpoint={name}']
    return gml(
        *('train', config, '--work-dir', folder / 'run', '--seed', 5),
        *('--data', data, '--weights', weights or folder / 'weights'),
        *('--cfg-options', *OPTIONS, *(options if name else ())),
    )


def refusal(result):
    """The one line with which a run ended, before any training."""
    code, _, errors = result
    assert code == 1, errors
    (line,) = errors.splitlines()
    return line


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A file of random weights with the public names and a hash in its own."""
    folder = tmp_path_factory.mktemp('published')
    plain = MODELS.build(dict(type='Xception', width=1 / 16, middle_blocks=2))
    state = randomise(plain).state_dict() | {'fc.weight': torch.ones(2, 2)}
    torch.save(state, folder / 'x.pth')
    digest = hashlib.sha256((folder / 'x.pth').read_bytes()).hexdigest()
    return (folder / 'x.pth').rename(folder / f'xception-{digest[:9]}.pth')


@pytest.mark.slow
def test_a_right_file_is_where_training_starts_and_all_reports_say_so(
    tmp_path, data, published
):
    code, out, errors = train(
        tmp_path, data, name=published.name, weights=published.parent
    )
    assert code == 0, errors[-2000:]
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    said = f'{published.name} (sha256 {digest[:12]}; '
    assert f'started from     {said}' in out
    best = next((tmp_path / 'run').glob('best_*.pth'))
    detector = load_detector(best)
    (file,) = detector.facts['initial']['files']
    assert (file['file'], file['sha256']) == (published.name, digest)
    assert detector.facts['initial']['seed'] == 5
    assert any(f'Started from: {said}' in x for x in detector.words)
    block = detector.cfg.model.backbone.motion_block
    assert (block.temporal_init, block.expand_init) == ('identity', 'zero')

    test = tmp_path / 'test'
    code, _, errors = gml(
        *('test', SMALL, best, '--work-dir', test, '--data', data),
        *('--target', f'made={data}', '--cfg-options', *OPTIONS),
    )
    assert code == 0, errors[-2000:]
    report = json.loads((test / 'cross_table.json').read_text())
    metrics = json.loads((test / 'made/test_metrics.json').read_text())
    assert report['initial'] == metrics['initial'] == detector.facts['initial']
    assert f'- started from: {said}' in (test / 'cross_table.md').read_text()


def test_a_missing_file_is_named_with_its_address(tmp_path, data):
    line = refusal(train(tmp_path, data, config=IMAGENET))
    assert f'{tmp_path}/weights/{XCEPTION}: no such file. Remedy: ' in line
    assert 'https://github.com/rwightman/pytorch-image-models/' in line
    assert not list(tmp_path.rglob('*.pth'))  # nothing was downloaded


@pytest.mark.slow
def test_a_file_of_another_hash_is_refused(tmp_path, data, published):
    weights = tmp_path / 'weights'
    weights.mkdir()
    (weights / XCEPTION).write_bytes(published.read_bytes())
    line = refusal(train(tmp_path, data, config=IMAGENET))
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert f'begins with {digest[:9]}, not 43020ad28: ' in line


@pytest.mark.slow
def test_a_file_that_is_cut_short_is_refused(tmp_path, data, published):
    weights = tmp_path / 'weights'
    weights.mkdir()
    for name, said in {
        published.name: 'it is cut short, or another file. Remedy: ',
        'named.pth': 'not a checkpoint, or a broken one ',
    }.items():
        whole = published.read_bytes()
        (weights / name).write_bytes(whole[: len(whole) // 2])
        assert said in refusal(train(tmp_path, data, name=name))
    assert not list((tmp_path / 'run').glob('*.pth'))


class Payload:
    """Runs a command if it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.slow
def test_a_file_that_carries_code_is_refused_and_none_of_it_runs(
    tmp_path, data
):
    weights = tmp_path / 'weights'
    weights.mkdir()
    payload = Payload(f'touch {tmp_path}/ran')
    (weights / 'named.pth').write_bytes(pickle.dumps(payload, protocol=2))
    line = refusal(train(tmp_path, data, name='named.pth'))
    assert 'named.pth was not loaded: ' in line
    assert not (tmp_path / 'ran').exists()
