"""Trains, is killed at random moments, goes on, and ends as if it had not.

    PYTHONPATH=.:tests python tests/engine/drill.py FOLDER --kills 20

compares the weights, the optimiser, the schedule, the averaged weights (EMA)
and the best checkpoint of a training that was killed with those of one that
was not. A killed run may leave nothing that is half-written.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from tiny import REPO, TINY, write_prepared

from gml_mmaction import host

ITERATIONS = 40
OPTIONS = {
    **TINY,
    'train_cfg.max_iters': ITERATIONS,
    'train_cfg.val_interval': 4,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 2,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'default_hooks.checkpoint.interval': 2,
}
EMA = """
_base_ = ['{base}']
custom_hooks = [
    dict(type='UnbrokenHook'),
    dict(type='FiniteHook'),
    dict(type='ProvenanceHook'),
    dict(type='PreemptionHook'),
    dict(type='EMAHook', momentum=0.1),
]
"""


def prepare(folder):
    """Write data and a config with averaged weights and dropout."""
    videos = [
        (f'{name}{i}', 'real' if name == 'r' else 'fake', [f'{i}'], 1)
        for i in range(3)
        for name in 'rf'
    ]
    others = [('r9', 'real', ['9'], 1), ('f9', 'fake', ['9'], 1)]
    data = write_prepared(
        folder / 'data', dict(train=videos, val=others, test=[]), frames=24
    )
    config = folder / 'drill.py'
    base = REPO / 'configs/gml_xception-small_demo.py'
    config.write_text(EMA.format(base=base))
    return data, config


def command(data, config, work_dir, *options):
    """The training as a command."""
    settings = [f'{key}={value}' for key, value in OPTIONS.items()]
    return [
        *(sys.executable, str(REPO / 'tools/train.py'), str(config)),
        *('--data', str(data), '--work-dir', str(work_dir), '--seed', '3'),
        *('--resume', '--cfg-options', *settings, *options),
    ]


def start(arguments):
    """Begin a training in a process group of its own."""
    return subprocess.Popen(
        arguments,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def train_to_the_end(arguments):
    process = start(arguments)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def killed(arguments, moment):
    """Kill the training after ``moment`` seconds; False if it had ended."""
    process = start(arguments)
    time.sleep(moment)
    ended = process.poll() is not None
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    assert not ended or process.returncode == 0, output
    return not ended


def load(path):
    with host.safe_loading(path):
        return torch.load(path, map_location='cpu')


def differences(a, b, name=''):
    """Names of what differs in two trees of dicts, lists and tensors."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [name]
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [f'{name}: keys']
        return [d for k in a for d in differences(a[k], b[k], f'{name}/{k}')]
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return [f'{name}: lengths']
        pairs = zip(a, b, strict=True)
        return [
            d
            for i, (x, y) in enumerate(pairs)
            for d in differences(x, y, f'{name}/{i}')
        ]
    return [] if a == b else [f'{name}: {a} and {b}']


def compare(whole, broken):
    """Names of what differs between the ends of two runs."""
    last = f'iter_{ITERATIONS}.pth'
    a, b = load(whole / last), load(broken / last)
    parts = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
    found = [d for p in parts for d in differences(a[p], b[p], p)]
    for key in ('best_score', 'best_ckpt'):
        x, y = (c['message_hub']['runtime_info'].get(key) for c in (a, b))
        if isinstance(x, str):
            x, y = Path(x).name, Path(y).name
        found += differences(x, y, key)
    bests = [
        sorted(p.name for p in run.glob('best_*')) for run in (whole, broken)
    ]
    found += differences(*bests, 'best checkpoints')
    if not found:
        best = bests[0][0]
        found += differences(
            load(whole / best)['state_dict'],
            load(broken / best)['state_dict'],
            best,
        )
    return found


def drill(folder, kills, seed=0):
    """Kill trainings at random moments until there were so many kills.

    Returns:
        The kills, and what differs at the ends.
    """
    rng = random.Random(seed)
    data, config = prepare(folder)
    began = time.perf_counter()
    train_to_the_end(command(data, config, folder / 'whole'))
    longest = time.perf_counter() - began
    done, runs = 0, 0
    while done < kills:
        work_dir = folder / f'broken{runs}'
        arguments = command(data, config, work_dir)
        # starting takes about half of the time; a kill in it tells little
        while done < kills and killed(
            arguments, longest * rng.uniform(0.4, 0.95)
        ):
            done += 1
        train_to_the_end(arguments)
        differ = compare(folder / 'whole', work_dir)
        if differ:
            return done, differ
        runs += 1
    return done, []


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    done, differ = drill(args.folder, args.kills, args.seed)
    print(f'{done} kills; differing: {differ or "nothing"}')
    raise SystemExit(bool(differ))
