"""The wheel, installed: what a user has from an empty folder.

Its environment sees the packages of this one, so that PyTorch is not
installed again, and no source tree.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from tiny import REPO, TINY, write_detector, write_prepared

from gml_mmaction.version import __version__

pytestmark = pytest.mark.slow

SOURCES = (
    *('gml_mmaction', 'configs', 'tools', 'setup.py', 'pyproject.toml'),
    *('MANIFEST.in', 'README.md', 'LICENSE', 'model-index.yml'),
)
# The ends that meet with what this environment has already.
MIM = ('openmim==0.3.9', 'colorama', 'tabulate', 'pandas', 'requests')
MIM += ('charset-normalizer', 'idna', 'urllib3', 'certifi')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
SMALL = TINY | {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2}
SMALL |= {f'{name}.num_workers': 0 for name in LOADERS}
SMALL |= {f'{name}.persistent_workers': False for name in LOADERS}
MINE = "_base_ = 'gml_mmaction::gml_xception-small_demo.py'"


def pip(*words):
    return subprocess.run(
        [sys.executable, '-m', 'pip', '--disable-pip-version-check', *words],
        capture_output=True,
        text=True,
    )


def make_environment(folder, *seen):
    """An environment without pip that sees some folders of packages."""
    venv.create(folder)
    path = sysconfig.get_path('purelib', 'venv', vars={'base': str(folder)})
    Path(path, 'seen.pth').write_text('\n'.join(map(str, seen)))
    return Path(path)


def install(folder, *words):
    python = Path(folder, 'bin', 'python')
    return pip('--python', str(python), 'install', '--no-deps', *words)


@pytest.fixture(scope='session')
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        copy = shutil.copytree if (REPO / name).is_dir() else shutil.copy
        copy(REPO / name, source / name)
    options = ('--no-deps', '--no-build-isolation', '--no-index')
    done = pip('wheel', *options, '-w', str(source / 'dist'), str(source))
    assert done.returncode == 0, done.stderr
    (path,) = source.glob('dist/*.whl')
    return path


@pytest.fixture(scope='session')
def packages(wheel, tmp_path_factory):
    """Where the wheel is installed."""
    folder = tmp_path_factory.mktemp('environment')
    packages = make_environment(folder, sysconfig.get_path('purelib'))
    done = install(folder, '--no-index', str(wheel))
    assert done.returncode == 0, done.stderr
    return packages


@pytest.fixture(scope='session')
def run(packages, tmp_path_factory):
    """Run a program of the environment in a folder that was empty."""
    folder = tmp_path_factory.mktemp('empty')
    hidden = ('PYTHONPATH', 'GML_NATIVE')
    env = {k: v for k, v in os.environ.items() if k not in hidden}

    def run(program, *words, programs=packages.parents[2] / 'bin', code=0):
        done = subprocess.run(
            [programs / program, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=folder,
            env=env,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    run.folder = folder
    return run


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    splits = {
        split: [
            (f'{split}-{method}', method, ['a'], 1)
            for method in ('real', 'Deepfakes')
        ]
        for split in ('train', 'val', 'test')
    }
    return write_prepared(tmp_path_factory.mktemp('data') / 'data', splits)


def options(data, work_dir):
    words = [f'{key}={value}' for key, value in SMALL.items()]
    return ['--data', data, '--work-dir', work_dir, '--cfg-options', *words]


def test_the_wheel_has_the_configs_and_tools_of_the_clone(wheel):
    """At the place where OpenMMLab's packages have theirs."""
    names = {
        path.relative_to(REPO).as_posix()
        for folder in ('configs', 'tools')
        for path in (REPO / folder).rglob('*.*')
        if '__pycache__' not in path.parts
    }
    names = {f'.mim/{name}' for name in names | {'model-index.yml'}}
    with zipfile.ZipFile(wheel) as archive:
        entries = [*archive.namelist()]
    held = {name.removeprefix('gml_mmaction/') for name in entries}
    assert {name for name in held if name.startswith('.mim/')} == names
    assert {'py.typed', 'kernels/build.py'} <= held
    assert {
        f'kernels/{path.name}'
        for path in (REPO / 'gml_mmaction/kernels').glob('*.c')
    } <= held
    tops = {name.split('/')[0] for name in entries}
    assert tops == {'gml_mmaction', f'gml_mmaction-{__version__}.dist-info'}


def test_the_command_is_the_wheels_in_its_two_forms(run, packages):
    assert run('gml', '--version') == f'{__version__}\n'
    assert run('gml', '--help') == run('python', '-m', 'gml_mmaction')
    code = 'import gml_mmaction.version as v; print(v.__file__)'
    assert Path(run('python', '-c', code).strip()).is_relative_to(packages)


@pytest.mark.slow(8)
def test_the_doctor_finds_nothing_wrong(run):
    out = run('gml', 'doctor')
    assert out.endswith('Problems: none\n')


def test_a_config_of_ones_own_inherits_the_wheels_and_is_trained(run, data):
    (run.folder / 'mine.py').write_text(MINE)
    out = run('gml', 'train', 'mine.py', *options(data, 'mine'))
    assert 'best checkpoint  ' in out
    assert (run.folder / 'mine/iter_2.pth').is_file()


def test_a_video_gets_its_verdict(run, talking_head):
    checkpoint = write_detector(run.folder / 'tiny.pth')
    video = talking_head(run.folder / 'talking.mp4')
    words = ('--checkpoint', checkpoint, '--out', 'verdicts', '--no-overlay')
    run('gml', 'predict', *words, video.name)
    found = json.loads(
        (run.folder / 'verdicts/talking/prediction.json').read_text()
    )
    assert 0 <= found['score'] <= 1


@pytest.mark.slow(11)
def test_openmim_trains_a_config_of_the_wheel(
    run, data, packages, tmp_path_factory
):
    """In an environment of its own, for it pins old setuptools and rich."""
    folder = tmp_path_factory.mktemp('mim')
    make_environment(folder, packages, sysconfig.get_path('purelib'))
    done = install(folder, *MIM)
    if done.returncode:
        pytest.skip(f'openmim cannot be had: {done.stderr[-200:]}')
    words = ('train', 'gml_mmaction', 'gml_xception-small_demo.py')
    out = run(*('mim', *words, *options(data, 'mim')), programs=folder / 'bin')
    assert f'{packages}/gml_mmaction/.mim/tools/train.py' in out
    assert f'{packages}/gml_mmaction/.mim/configs/{words[-1]}' in out
    assert (run.folder / 'mim/iter_2.pth').is_file()


@pytest.mark.slow(15)
def test_the_demo_runs_from_an_empty_folder(run, talking_head):
    """On four short videos; those that it draws take minutes."""
    rows = ['file,person']
    for index, person in enumerate('aabc'):
        talking_head(run.folder / f'people/{index}.mp4', num_frames=40)
        rows.append(f'{index}.mp4,{person}')
    (run.folder / 'people/people.csv').write_text('\n'.join(rows))
    words = ('--videos', 'people', '--iters', '2', '--work-dir', 'demo')
    out = run('gml', 'demo', *words)
    summary = json.loads((run.folder / 'demo/summary.json').read_text())
    assert summary['versions']['gml-mmaction'] == __version__
    assert 0 <= summary['video/auc'] <= 1
    assert 'people never seen' in out
