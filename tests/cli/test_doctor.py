import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import REPO

from gml_mmaction.cli import doctor

GOOD = {
    'torch': {'torch': '2.13.0+cpu'},
    'setuptools': {'setuptools': '81.0.0'},
    'mmengine': {'mmengine': '0.10.7'},
    'mmcv': {'mmcv-lite': '2.1.0'},
    'mmaction': {'mmaction2': '1.2.0'},
    'cv2': {'opencv-python-headless': '5.0.0.93'},
}


def install(folder, name, version, top_level, requires=()):
    """Write the metadata that installing a wheel leaves behind.

    As with dlib-bin, what top_level.txt says need not be all.
    """
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir(parents=True)
    lines = ['Metadata-Version: 2.1', f'Name: {name}', f'Version: {version}']
    lines += [f'Requires-Dist: {item}' for item in requires]
    (info / 'METADATA').write_text('\n'.join(lines) + '\n')
    (info / 'RECORD').write_text(f'{top_level}/__init__.py,,\n')
    (info / 'top_level.txt').write_text(f'_{top_level}\n')


def install_good(folder, **others):
    """Write the metadata of a good environment.

    ``others`` are the distributions of some import names instead.
    """
    for top_level, owners in (GOOD | others).items():
        for name, version in owners.items():
            install(folder, name, version, top_level)


def problems(**changes):
    needs = changes.pop('torchvision_needs', '')
    errors = changes.pop('import_errors', {})
    return doctor.diagnose(
        doctor.Facts({**GOOD, **changes}, needs, errors),
    )


def only_problem(**changes):
    found = problems(**changes)
    assert len(found) == 1, found
    return found[0]


def test_a_good_environment_has_no_problem():
    assert problems() == []


def test_metadata_is_read_from_installed_wheels(tmp_path):
    install(tmp_path, 'mmcv', '2.1.0', 'mmcv')
    install(tmp_path, 'mmcv-lite', '2.1.0', 'mmcv')
    install(tmp_path, 'Some.Thing_Else', '1', 'thing')
    facts = doctor.read_metadata([str(tmp_path)])
    assert facts.owners == {
        'mmcv': {'mmcv': '2.1.0', 'mmcv-lite': '2.1.0'},
        '_mmcv': {'mmcv': '2.1.0', 'mmcv-lite': '2.1.0'},
        'thing': {'some-thing-else': '1'},
        '_thing': {'some-thing-else': '1'},
    }


@pytest.mark.parametrize('requirement', ['torch==2.12.0', 'torch (==2.12.0)'])
def test_the_torch_that_torchvision_asks_for_is_read(tmp_path, requirement):
    install(
        tmp_path,
        'torchvision',
        '0.27.0',
        'torchvision',
        ['numpy', requirement],
    )
    assert doctor.read_metadata([str(tmp_path)]).torchvision_needs == '2.12.0'


def test_two_mmcv_over_each_other_are_found_in_installed_wheels(tmp_path):
    install(tmp_path, 'setuptools', '81.0.0', 'setuptools')
    install(tmp_path, 'mmcv', '2.1.0', 'mmcv')
    install(tmp_path, 'mmcv-lite', '2.1.0', 'mmcv')
    (problem,) = doctor.diagnose(doctor.read_metadata([str(tmp_path)]))
    assert 'mmcv 2.1.0 and mmcv-lite 2.1.0 own mmcv/' in problem.what
    assert 'pip uninstall -y mmcv mmcv-lite' in problem.remedy


@pytest.mark.parametrize(
    ('name', 'owners'),
    [
        ('dlib', {'dlib': '19.24.6', 'dlib-bin': '20.0.1'}),
        ('mmengine', {'mmengine': '0.10.7', 'onedl-mmengine': '0.10.12'}),
    ],
)
def test_two_owners_of_one_folder_are_a_problem(name, owners):
    problem = only_problem(**{name: owners})
    assert f'own {name}/' in problem.what


OTHERS = {
    'mmcv': {'mmcv': '2.1.0'},
    'dlib': {'dlib': '19.24.6'},
    'cv2': {
        'opencv-contrib-python': '4.11.0.86',
        'opencv-python': '4.11.0.86',
    },
}


@pytest.mark.parametrize(
    ('name', 'added', 'remedy'),
    [
        ('mmcv', {'mmcv-lite': '2.1.0'}, 'pip uninstall -y mmcv mmcv-lite'),
        ('dlib', {'dlib-bin': '20.0.1'}, 'pip uninstall -y dlib dlib-bin'),
        ('cv2', {'opencv-python-headless': '4.11.0.86'}, 'pip uninstall -y'),
        ('cv2', {'opencv-contrib-python': '5.0.0.93'}, 'pip uninstall -y'),
    ],
)
def test_what_a_stand_in_was_installed_over_is_a_problem(
    name, added, remedy, tmp_path
):
    """The full mmcv, a compiled dlib and both OpenCV wheels are fine alone."""
    install_good(tmp_path / 'good', **OTHERS)
    facts = doctor.read_metadata([str(tmp_path / 'good')])
    assert doctor.diagnose(facts) == []
    both = OTHERS | {name: OTHERS[name] | added}
    install_good(tmp_path / 'bad', **both)
    (problem,) = doctor.diagnose(doctor.read_metadata([str(tmp_path / 'bad')]))
    assert problem.remedy.startswith(remedy)
    assert all(one in problem.remedy for one in both[name])


@pytest.mark.slow(8)
def test_full_mmcv_compiled_dlib_and_both_opencv_wheels_are_fine(tmp_path):
    """The packages of this environment, under the names of those."""
    replaced = ('mmcv', 'dlib', 'opencv')
    for path in map(Path, sys.path):
        for item in path.glob('*') if path.name == 'site-packages' else ():
            named = item.name.startswith(replaced)
            if not (named and item.suffix == '.dist-info'):
                (tmp_path / item.name).symlink_to(item)
    for top_level, owners in OTHERS.items():
        for name, version in owners.items():
            install(tmp_path, name, version, top_level)
    done = subprocess.run(
        [sys.executable, '-S', '-m', 'gml_mmaction', 'doctor'],
        capture_output=True,
        text=True,
        cwd=REPO,
        env=os.environ | {'PYTHONPATH': str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Problems: none' in done.stdout
    for owners in OTHERS.values():
        said = ' and '.join(f'{name} {owners[name]}' for name in owners)
        assert f' {said}\n' in done.stdout


@pytest.mark.parametrize(
    'wheels',
    [
        {'opencv-python': '5.0.0.93', 'opencv-contrib-python': '4.11.0.86'},
        {'opencv-python': '4.11', 'opencv-python-headless': '4.11'},
        {'opencv-contrib-python': '5.0', 'opencv-python-headless': '5.0'},
    ],
)
def test_opencv_wheels_that_do_not_match_are_a_problem(wheels):
    problem = only_problem(cv2=wheels)
    assert all(name in problem.remedy for name in wheels)


@pytest.mark.parametrize(
    'wheels',
    [
        {'opencv-python': '4.11'},
        {'opencv-python': '4.11', 'opencv-contrib-python': '4.11'},
        {'opencv-python-headless': '4.11'},
        {
            'opencv-python-headless': '4.11',
            'opencv-contrib-python-headless': '4.11',
        },
    ],
)
def test_opencv_wheels_that_match_are_none(wheels):
    assert problems(cv2=wheels) == []


@pytest.mark.parametrize(
    ('name', 'owner', 'version', 'good'),
    [
        ('setuptools', 'setuptools', '82.0.0', False),
        ('setuptools', 'setuptools', '65.5.0', False),
        ('setuptools', 'setuptools', '81.9.9', True),
        ('mmcv', 'mmcv', '2.2.0', False),
        ('mmcv', 'mmcv-lite', '2.2.0rc1', False),
        ('mmcv', 'mmcv', '2.0.1', False),
        ('mmcv', 'mmcv', '2.1.0', True),
        ('mmengine', 'mmengine', '0.11.0rc3', True),
        ('mmengine', 'mmengine', '0.10.3', False),
        ('mmaction', 'mmaction2', '1.1.0', False),
        ('torch', 'torch', '2.5.1+cu121', False),
        ('torch', 'torch', '2.15.0+cu132', True),
    ],
)
def test_versions_out_of_range_are_a_problem(name, owner, version, good):
    found = problems(**{name: {owner: version}})
    assert (found == []) is good
    assert good or found[0].remedy.startswith(f'pip install "{owner}>=')


def test_missing_setuptools_is_a_problem():
    assert 'pip install "setuptools' in only_problem(setuptools={}).remedy


@pytest.mark.parametrize(
    ('torch', 'vision', 'needs', 'good'),
    [
        ('2.13.0+cpu', '0.28.0', '2.13.0', False),
        ('2.13.0+cpu', '0.28.0+cpu', '2.13.0', True),
        ('2.13.0', '0.28.0', '2.13.0', True),
        ('2.13.0', '0.27.0', '2.12.0', False),
        ('2.13.0', '0.28.0', '', True),
    ],
)
def test_torchvision_has_to_belong_to_torch(torch, vision, needs, good):
    found = problems(
        torch={'torch': torch},
        torchvision={'torchvision': vision},
        torchvision_needs=needs,
    )
    assert (found == []) is good


@pytest.mark.parametrize(
    ('name', 'error', 'remedy'),
    [
        ('dlib', "No module named 'dlib'", 'gml-mmaction[lite]'),
        ('mmcv', "No module named 'mmcv'", 'gml-mmaction[lite]'),
        ('mmaction', "No module named 'mmcv'", 'gml-mmaction[lite]'),
        ('decord', "No module named 'decord'", 'pip install decord'),
        ('mmcv', "No module named 'addict'", 'pip install addict'),
        ('mmaction', 'MMCV==2.2.0 is used but incompatible', 'mmcv>=2.1.0'),
        ('cv2', 'libGL.so.1: cannot open shared object file', 'libgl1'),
        ('mmcv', 'libgthread-2.0.so.0: cannot open shared', 'libglib2.0-0'),
    ],
)
def test_a_failed_import_comes_with_its_remedy(name, error, remedy):
    problem = only_problem(import_errors={name: error})
    assert name in problem.what
    assert remedy in problem.remedy


def test_one_missing_part_is_reported_once():
    error = "No module named 'mmcv'"
    only_problem(import_errors={'mmcv': error, 'mmaction': error})


def test_imports_are_tried_and_a_crash_is_survived(tmp_path, monkeypatch):
    (tmp_path / 'crashes_.py').write_text(
        'import os, signal; os.kill(os.getpid(), signal.SIGILL)'
    )
    (tmp_path / 'lacks_.py').write_text('import not_there_')
    monkeypatch.syspath_prepend(str(tmp_path))
    errors = doctor.try_imports(['json', 'crashes_', 'lacks_'])
    assert errors == {
        'crashes_': 'Python was killed by signal 4',
        'lacks_': "No module named 'not_there_'",
    }


def test_the_command_reports_versions_workarounds_and_problems(
    run_python, tmp_path
):
    """It runs where the package itself cannot be imported."""
    for name in ('mmcv', 'dlib'):
        (tmp_path / f'{name}.py').write_text(
            f'raise ModuleNotFoundError("No module named {name!r}")'
        )
    install(tmp_path, 'torchvision', '0.1', 'torchvision', ['torch==1.0'])
    done = run_python('-m', 'gml_mmaction', 'doctor', path=tmp_path)
    assert done.returncode == 1, done.stderr
    for fact in (
        'mmengine',
        'open-mmlab/mmaction2#2714',
        'import mmcv fails',
        'import dlib fails',
        'torchvision 0.1 does not belong',
    ):
        assert fact in done.stdout
    assert 'Traceback' not in done.stderr


def test_tf32_is_said_where_there_is_a_gpu_or_it_was_changed(monkeypatch):
    plain = doctor._float32()
    assert bool(plain) == torch.cuda.is_available()
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        assert doctor._float32() == [
            'float32 on GPUs',
            '  TF32 in convolutions, TF32 in matrix products (it was changed; '
            '--tf32 and --no-tf32 of gml train and gml test)',
        ]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    monkeypatch.setenv('NVIDIA_TF32_OVERRIDE', '0')
    assert 'NVIDIA_TF32_OVERRIDE=0 is set' in doctor._float32()[1]
