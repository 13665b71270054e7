"""What tests share: the host's scope, and videos with a face."""

import os

# Numbers must not depend on a kernel that someone has built; tests/kernels
# builds one, to train, test and predict with it and without.
os.environ['GML_NATIVE'] = '0'
# Nor on a GPU: what is for one is in tests/gpu. MMEngine looks for one when it
# is imported.
if os.environ.get('GML_GPU_TESTS_ON') != 'cuda':
    os.environ['CUDA_VISIBLE_DEVICES'] = ''

import collections
import contextlib
import gc
import importlib
import json
import logging
import multiprocessing
import random
import re
import subprocess
import sys
import zlib
from multiprocessing import forkserver
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import warm
from cpu_time import CpuTime
from mmengine.registry import init_default_scope
from torch.multiprocessing import start_processes

import gml_mmaction  # noqa: F401
from gml_mmaction import cli
from gml_mmaction.io.pool import run_in_processes
from gml_mmaction.video.distortions import format_distortions

REPO = Path(__file__).parents[1]
SLOW = 2  # seconds of CPU of a slow test whose mark says nothing
STARTS_PROCESSES = {
    *('run_group', 'run_python', 'run_warm', 'start_cluster', 'start_server')
}


def pytest_addoption(parser):
    parser.addoption(
        '--cpu',
        type=int,
        metavar='N',
        help='show the CPU time of the N slowest files and tests',
    )


def pytest_configure(config):
    config.pluginmanager.register(CpuTime())


@pytest.hookimpl(tryfirst=True)  # before fixtures
def pytest_runtest_setup(item):
    """Let random numbers be those of the test, whatever ran before it."""
    seed = zlib.crc32(item.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    """Mark what starts processes; put the dearest files first.

    So quick files are left for the end of a run, where one worker waits for
    the other. What a slow test costs may stand in its mark.
    """
    for item in items:
        if STARTS_PROCESSES.intersection(item.fixturenames):
            item.add_marker('slow')
    costs = collections.Counter()
    for item in items:
        mark = item.get_closest_marker('slow')
        if mark is not None:
            costs[item.path] += mark.args[0] if mark.args else SLOW
    items.sort(key=lambda item: -costs[item.path])


def pytest_collection_finish():
    """Let no collection look through all that is imported by now.

    MMEngine collects for each data set that it builds.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope='session')
def _pools_of_tests():
    """Let pools of processes fork from one that has imported the package.

    A pool asks for the module of its own function; the server is of the first
    pool, and the processes of all others would import theirs, each by itself.
    """
    multiprocessing.set_forkserver_preload(['gml_mmaction.apis'])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkserver, 'set_forkserver_preload', lambda names: None)
        yield


@pytest.fixture(autouse=True, scope='module')
def _scope_of_fixtures():
    """Names in configs mean MMAction2's registries, whatever ran before."""
    init_default_scope('mmaction')


@pytest.fixture(autouse=True)
def _scope(_scope_of_fixtures):
    """The same for each test: one before may have changed it."""
    init_default_scope('mmaction')


@pytest.fixture(scope='session')
def load_tool():
    """Import the module of a command, ``'prepare'``."""
    return lambda name: importlib.import_module(f'gml_mmaction.cli.{name}')


@pytest.fixture(scope='session')
def run_command():
    """Run a command in this process as ``gml`` does; returns its exit code."""

    def run(name, words):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', [f'gml {name}', *words])
            with pytest.raises(SystemExit) as end:
                cli.run(name)
        return end.value.code

    return run


@pytest.fixture(scope='session')
def draw_faces():
    """Draw a portrait at each (left, top, size) of a plain RGB frame.

    A portrait may hang over the border. Its face is some 0.37 * size wide.
    """
    data = pytest.importorskip('skimage.data')
    portrait = data.astronaut()[:260, 90:350]

    def draw(*places, width=200, height=160, shade=90):
        margin = 200
        frame = np.full(
            (height + 2 * margin, width + 2 * margin, 3), shade, np.uint8
        )
        for left, top, size in places:
            x, y = left + margin, top + margin
            frame[y : y + size, x : x + size] = cv2.resize(
                portrait, (size, size), interpolation=cv2.INTER_AREA
            )
        return frame[margin:-margin, margin:-margin].copy()

    return draw


@pytest.fixture(scope='session')
def write_video():
    """Write RGB frames of one size as an mp4 file; return its path."""

    def write(path, frames, fps=25):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = list(frames)
        height, width = frames[0].shape[:2]
        code = cv2.VideoWriter_fourcc(*'mp4v')
        writer = cv2.VideoWriter(str(path), code, fps, (width, height))
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path

    return write


@pytest.fixture(scope='session')
def talking_head(draw_faces, write_video):
    """Write a video of a moving portrait, another one for each name."""

    def make(path, num_frames=20):
        # pytest numbers its folders; the same test gets the same video
        name = Path(path).as_posix()
        name = re.sub(r'.*/pytest-\d+/(popen-\w+/)?', '', name)
        name = re.sub(r'^([^/]*?)\d+/', r'\g<1>0/', name)
        seed = zlib.crc32(name.encode())
        rng = np.random.default_rng(seed)
        x, y = np.cumsum(rng.integers(-2, 3, (2, num_frames)), axis=1)
        shade = int(rng.integers(40, 160))
        return write_video(
            path,
            (
                draw_faces((30 + dx, 20 + dy, 120), shade=shade)
                for dx, dy in zip(x, y, strict=True)
            ),
        )

    return make


@pytest.fixture(scope='session')
def make_ffpp(talking_head):
    """Write a FaceForensics++ tree: one pair each to train, val and test."""

    def make(root, methods=('Deepfakes', 'FaceSwap'), num_frames=20):
        pairs = {'train': '071 054', 'val': '720 672', 'test': '953 974'}
        (root / 'splits').mkdir(parents=True)
        for split, pair in pairs.items():
            a, b = pair.split()
            (root / f'splits/{split}.json').write_text(json.dumps([[a, b]]))
            for name in (a, b):
                folder = root / 'original_sequences/youtube/c23/videos'
                talking_head(folder / f'{name}.mp4', num_frames)
            for method in methods:
                folder = root / f'manipulated_sequences/{method}/c23/videos'
                for name in (f'{a}_{b}', f'{b}_{a}'):
                    talking_head(folder / f'{name}.mp4', num_frames)
        return root

    return make


@pytest.fixture(scope='session')
def ffpp_tree(make_ffpp, tmp_path_factory):
    """Return a tree of 6 real and 12 fake videos; do not change it."""
    return make_ffpp(tmp_path_factory.mktemp('ffpp') / 'root')


@pytest.fixture(scope='session')
def real_people():
    """Return videos of real people; skip where they are not at hand.

    They are the .mkv and .mp4 files of the folder GML_TEST_VIDEOS.
    """
    folder = os.environ.get('GML_TEST_VIDEOS', '')
    found = Path(folder).glob('*') if folder else ()
    paths = sorted(path for path in found if path.suffix in ('.mkv', '.mp4'))
    if not paths:
        pytest.skip(f'no videos of real people in GML_TEST_VIDEOS={folder}')
    return paths


@pytest.fixture(scope='session')
def run_python():
    """Run a fresh Python that finds ``path`` and the package first."""

    def run(*arguments, path='', timeout=500, python=sys.executable):
        paths = filter(None, [str(path), str(REPO), *sys.path])
        return subprocess.run(
            [python, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
        )

    return run


@pytest.fixture(scope='session')
def run_warm(run_python):
    """Do the same with a Python that has imported the package."""
    return lambda *words, **more: run_python(
        *words, python=warm.python(), **more
    )


@pytest.fixture(scope='session')
def run_group():
    """Run ``function(rank, *arguments)`` in several processes at once.

    They are forked from one that has imported the package.
    """
    return lambda function, *arguments, processes=2: start_processes(
        *(function, arguments, processes), start_method='forkserver'
    )


@pytest.fixture(scope='session')
def start_cluster():
    """Start a Dask cluster of processes.

    Its workers are forked from a process that has imported the package, which
    takes seconds; and the first death of a worker is held against the jobs
    that it had, not the fourth.
    """
    distributed = pytest.importorskip('distributed')
    import dask

    made = run_in_processes(
        format_distortions, [[]], workers=1, on_crash=print
    )
    assert list(made) == ['']  # the server of processes has the package now
    settings = {
        'distributed.worker.multiprocessing-method': 'forkserver',
        'distributed.scheduler.allowed-failures': 0,
    }
    with contextlib.ExitStack() as stack:

        def start(workers=2, threads=1):
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=threads,
                dashboard_address=':0',
                silence_logs=logging.CRITICAL,
            )
            return stack.enter_context(cluster)

        with dask.config.set(settings):
            yield start


@pytest.fixture(scope='session')
def cluster(start_cluster):
    """Return a Dask cluster of two worker processes."""
    return start_cluster()
