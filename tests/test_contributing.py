"""CONTRIBUTING.md is followed: its files put in place, its commands run."""

import re
import shlex
import shutil

import numpy as np
import pytest
import warm
import yaml
from tiny import REPO

from gml_mmaction.io.files import read_json
from gml_mmaction.video import open_video

TEXT = (REPO / 'CONTRIBUTING.md').read_text(encoding='utf-8')
WALKS = ('A new data set', 'A new detector', 'A new distortion')
STOP = ['num_workers=0', 'persistent_workers=False']


def section(title):
    return TEXT.split(f'\n## {title}\n')[1].split('\n## ')[0]


def files(title):
    """The files that a section shows whole: path and text of each."""
    return re.findall(
        r'\n`(\S+)`:\n\n```python\n(.*?)```', section(title), re.S
    )


def brightness(path):
    """Of each frame."""
    with open_video(path) as video:
        return np.array([frame.mean() for frame in video.frames()])


def commands(title):
    blocks = re.findall(r'```bash\n(.*?)```', section(title), re.S)
    return ''.join(blocks).splitlines()


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A copy of the project to which the files are added."""
    root = tmp_path_factory.mktemp('copy') / 'gml'
    for folder in ('gml_mmaction', 'configs'):
        shutil.copytree(
            REPO / folder,
            root / folder,
            ignore=shutil.ignore_patterns('__pycache__'),
        )
    for path, text in (file for title in WALKS for file in files(title)):
        assert not (root / path).exists(), f'{path} is there already'
        (root / path).write_text(text, encoding='utf-8')
    return root


@pytest.fixture(scope='module')
def desk(project, talking_head):
    """The copy with a raw data set of six videos, a pair for each split."""
    rows = ['file,method,person,split']
    for split, person in zip(('train', 'val', 'test'), 'abc'):
        for number, method in enumerate(('real', 'swap')):
            name = f'videos/{person}{number}.mp4'
            talking_head(project / 'raw/studio' / name, num_frames=20)
            rows.append(f'{name},{method},{person},{split}')
    (project / 'raw/studio/videos.csv').write_text('\n'.join(rows) + '\n')
    return project


@pytest.fixture
def follow(desk, run_python, monkeypatch):
    """Run a section's commands in the copy; return what they print."""
    monkeypatch.chdir(desk)
    python = warm.python(desk)

    def run(title):
        printed = ''
        for line in commands(title):
            gml, name, *arguments = shlex.split(line)
            assert gml == 'gml'
            if name == 'train':
                arguments += [
                    f'{split}_dataloader.{setting}'
                    for split in ('train', 'val')
                    for setting in STOP
                ]
            done = run_python(
                '-m',
                'gml_mmaction',
                name,
                *arguments,
                path=desk,
                python=python,
            )
            printed += done.stdout
            # a check says 1 where something is to be known
            assert done.returncode == 0 or name == 'check', done.stderr
        return printed

    return run


@pytest.mark.slow
def test_a_data_set_and_a_detector_are_one_file_each(desk, follow):
    pytest.importorskip('dlib')
    assert [len(files(title)) for title in WALKS] == [1, 1, 1]
    printed = follow('A new data set')
    assert 'an example, no real set' in printed
    report = read_json(desk / 'data/studio/report.json')
    assert report['total']['prepared'] == 6
    listed = read_json(desk / 'data/studio/train.json')['data_list']
    assert sorted(entry['method'] for entry in listed) == ['real', 'swap']

    printed = follow('A new detector')
    assert re.search(r'c1\.mp4: (not )?suspicious: video score 0\.\d', printed)
    (prediction,) = desk.glob('predictions/*/prediction.json')
    detector = read_json(prediction)['detector']
    assert detector['network'] == 'ResNet3dSlowOnly, I3DHead'


@pytest.mark.slow
def test_a_distortion_is_one_file(desk, follow):
    follow('A new distortion')
    meta = (desk / 'flickering/meta.txt').read_text().splitlines()
    assert len(meta) == 6
    assert all(line.endswith(' FL:5') for line in meta)
    clean, dark = (
        brightness(path)
        for path in (
            desk / 'raw/studio/videos/a0.mp4',
            next((desk / 'flickering').rglob('a0.mp4')),
        )
    )
    kept = dark / clean
    assert len(kept) == 20
    assert 0.55 < kept.min() < 0.75 < kept.max() < 1.01
    assert np.abs(np.diff(kept)).min() > 0, 'each frame has its own'


@pytest.mark.parametrize('title', WALKS)
def test_the_shown_files_are_in_the_style_of_the_project(title):
    ((path, text),) = files(title)
    assert max(map(len, text.splitlines())) < 80
    compile(text, path, 'exec')


def test_every_folder_of_the_package_has_a_line():
    shown = set(re.findall(r'^\| `(\w+)/` \|', TEXT, re.M))
    shown |= set(re.findall(r'are `(\w+)/`.*?\sand `(\w+)/`', TEXT, re.S)[0])
    folders = (REPO / 'gml_mmaction').glob('*/__init__.py')
    assert shown == {path.parent.name for path in folders}


def test_every_file_that_answers_a_question_is_there():
    named = re.findall(
        r'`(gml_mmaction/[\w/]+\.py)`', section('Where things live')
    )
    assert len(named) >= 4
    for name in named:
        assert (REPO / name).is_file(), name
    motion = (REPO / 'gml_mmaction/models/motion.py').read_text()
    assert 'Eq. 2' in motion.split('class MCM(')[1].split('\nclass ')[0]


def test_two_files_alone_use_dlib():
    """Others may ask for its version."""
    users = {
        path.relative_to(REPO).as_posix()
        for path in (REPO / 'gml_mmaction').rglob('*.py')
        if re.search(
            r"(import|from) dlib|require\('dlib'\)(?!\.__version__)",
            path.read_text(),
        )
    }
    faces = 'gml_mmaction/faces'
    assert users == {f'{faces}/detect.py', f'{faces}/pyramid.py'}


def test_a_forge_runs_the_targets_that_a_developer_runs():
    folder = REPO / '.github'
    flow = yaml.safe_load((folder / 'workflows/check.yml').read_text())
    targets = [
        step['run'].removeprefix('make ')
        for job in flow['jobs'].values()
        for step in job['steps']
        if 'run' in step
    ]
    assert targets == ['check', 'docs', 'triton', 'test']
    makefile = (REPO / 'Makefile').read_text()
    for target in targets:
        assert re.search(rf'^{target}: .*## ', makefile, re.M), target
    pythons = flow['jobs']['test']['strategy']['matrix']['python']
    assert pythons == ['3.10', '3.11', '3.12', '3.13']
    for form in (folder / 'ISSUE_TEMPLATE').glob('*.yml'):
        assert yaml.safe_load(form.read_text()), form.name


def test_pre_commit_runs_what_make_lint_runs():
    hooks = yaml.safe_load((REPO / '.pre-commit-config.yaml').read_text())
    (repo,) = hooks['repos']
    assert repo['repo'] == 'local', 'nothing is fetched'
    entries = [hook['entry'] for hook in repo['hooks']]
    lint = (REPO / 'Makefile').read_text().split('\nlint:')[1]
    for command in ('ruff check', 'ruff format'):
        assert f'$(BIN)/{command}' in lint
        assert any(
            entry.startswith(f'.venv/bin/{command}') for entry in entries
        )
    assert 'make --no-print-directory lint' in entries


@pytest.mark.slow
def test_the_shown_data_set_keeps_the_rules_of_all_sources(
    project, run_python, monkeypatch
):
    for name in ('tests', 'pyproject.toml'):
        (project / name).symlink_to(REPO / name)
    monkeypatch.chdir(project)
    done = run_python(
        *('-m', 'pytest', '-q', '-p', 'no:cacheprovider'),
        *('tests/sources/test_sources.py', '-k', 'studio'),
        path=project,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r'\b[3-9] passed', done.stdout), done.stdout
