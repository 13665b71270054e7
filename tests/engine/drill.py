"""Trains, is killed, goes on, and ends as if it had not.

    PYTHONPATH=.:tests python tests/engine/drill.py FOLDER --kills 20

compares the weights, the optimiser, the schedule, the averaged weights (EMA)
and the best checkpoint of a training that was killed with those of one that
was not, and the files that they leave. First it goes on from all that a kill
can leave behind: from a copy of the run's folder as it was before each change
of a file in it. Then it kills at random moments, so many times.
"""

import argparse
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
import warm
from tiny import REPO, TINY, write_prepared

from gml_mmaction.host.safe_checkpoints import safe_loading

ITERATIONS = 24
OPTIONS = {
    **TINY,
    'model.backbone.middle_blocks': 0,
    'model.backbone.tap': 'block3',
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
    dict(type='ResumeHook'),
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
        *(warm.python(), str(REPO / 'tools/train.py'), str(config)),
        *('--data', str(data), '--work-dir', str(work_dir), '--seed', '3'),
        *('--resume', '--cfg-options', *settings, *options),
    ]


def start(arguments, python=None):
    """Begin a training in a process group of its own.

    Args:
        arguments: See :func:`command`.
        python: A fresh Python, where the process is asked for by its number.
    """
    return subprocess.Popen(
        [python or arguments[0], *arguments[1:]],
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def train_in_fork(arguments, log, before=lambda: None):
    """Train in a copy of this process, which has imported everything.

    Nothing may have been computed here: PyTorch's threads outlive no fork.
    """
    child = os.fork()
    if child == 0:
        with open(log, 'w') as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = arguments[1:]
        code = 1  # of any exception
        try:
            before()
            runpy.run_path(sys.argv[0], run_name='__main__')
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, Path(log).read_text()


class Copies:
    """Copies a folder as it is before each change of a file in it."""

    CHANGES = ('open', 'os.rename', 'os.remove', 'os.truncate')

    def __init__(self, folder, copies):
        self.folder = str(folder)
        self.copies = copies
        self.process = os.getpid()
        self.copying = False

    def __call__(self, event, arguments):
        """Be an audit hook of Python's."""
        if self.copying or os.getpid() != self.process:
            return
        if event in self.CHANGES and self._changes(event, *arguments):
            self.copying = True
            number = len(list(self.copies.iterdir()))
            shutil.copytree(self.folder, self.copies / f'{number:02d}')
            self.copying = False

    def _changes(self, event, path, *rest):
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        return (
            isinstance(path, str | Path)
            and Path(path).parent == Path(self.folder)
            and Path(path).suffix != '.py'
            and (event != 'open' or rest[1] & writes)
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
    with safe_loading(path):
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


def compare(whole, broken, iterations=ITERATIONS):
    """Names of what differs between the ends of two runs."""
    last = f'iter_{iterations}.pth'
    a, b = load(whole / last), load(broken / last)
    parts = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
    found = [d for p in parts for d in differences(a[p], b[p], p)]
    for key in ('best_score', 'best_ckpt'):
        x, y = (c['message_hub']['runtime_info'].get(key) for c in (a, b))
        if isinstance(x, str):
            x, y = Path(x).name, Path(y).name
        found += differences(x, y, key)
    files = [
        sorted(path.name for path in run.iterdir() if path.is_file())
        for run in (whole, broken)
    ]
    found += differences(*files, 'files')
    if not found:
        (best,) = (name for name in files[0] if name.startswith('best_'))
        found += differences(
            load(whole / best)['state_dict'],
            load(broken / best)['state_dict'],
            best,
        )
    return found


def drill_changes(folder, *options, iterations=6):
    """Go on from what a kill before each change of a file leaves.

    Returns:
        The number of such kills, and what differs at the ends.
    """
    data, config = prepare(folder)
    options = (
        f'train_cfg.max_iters={iterations}',
        'train_cfg.val_interval=3',  # once with a checkpoint, once without
        *options,
    )
    whole, run, copies = (folder / name for name in ('whole', 'run', 'copies'))
    run.mkdir()
    copies.mkdir()

    def watch():
        sys.addaudithook(Copies(run, copies))

    arguments = command(data, config, run, *options)
    train_in_fork(arguments, folder / 'whole.log', watch)
    run.rename(whole)
    found = []
    states = sorted(copies.iterdir())
    for state in states:
        left = sorted(path.name for path in state.iterdir() if path.is_file())
        state.rename(run)
        train_in_fork(arguments, folder / f'{state.name}.log')
        differ = compare(whole, run, iterations)
        print(f'{state.name}: {", ".join(left)}: {differ or "as unbroken"}')
        found += differ
        run.rename(state)
    return len(states), found


def drill_moments(folder, kills, seed=0, iterations=ITERATIONS):
    """Kill trainings at random moments until there were so many kills.

    Returns:
        The kills, and what differs at the ends.
    """
    rng = random.Random(seed)
    data, config = prepare(folder)
    option = f'train_cfg.max_iters={iterations}'
    began = time.perf_counter()
    train_to_the_end(command(data, config, folder / 'whole', option))
    longest = time.perf_counter() - began
    done, runs, differ = 0, 0, []
    while done < kills and not differ:
        work_dir = folder / f'broken{runs}'
        arguments = command(data, config, work_dir, option)
        # starting takes some of the time; a kill in it tells little
        while done < kills and killed(
            arguments, longest * rng.uniform(0.2, 0.95)
        ):
            done += 1
        train_to_the_end(arguments)
        differ = compare(folder / 'whole', work_dir, iterations)
        runs += 1
    return done, differ


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--iterations',
        type=int,
        default=ITERATIONS,
        help='of each training that is killed at a random moment',
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    warm.import_all()
    differ = []
    for kept in (2, 1):
        changes, more = drill_changes(
            args.folder / f'changes{kept}',
            f'default_hooks.checkpoint.max_keep_ckpts={kept}',
        )
        print(f'{changes} changes of files; differing: {more or "nothing"}')
        differ += more
    if args.kills:
        kills, more = drill_moments(
            *(args.folder / 'moments', args.kills, args.seed, args.iterations)
        )
        print(f'{kills} kills; differing: {more or "nothing"}')
        differ += more
    raise SystemExit(bool(differ))
