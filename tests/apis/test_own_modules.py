"""``--import``: the user's file is run, it alone, and what it registers."""

import multiprocessing
import sys
from importlib.util import find_spec

import pytest
from mmaction.registry import MODELS
from torch import nn

from gml_mmaction.apis import own_modules
from gml_mmaction.apis.allowed import check_model, import_own
from gml_mmaction.errors import SettingError

NETWORK = """
from mmaction.registry import MODELS
from torch import nn


@MODELS.register_module()
class {name}(nn.Module):
    pass
"""
OURS = 'TALL is already registered in model at gml_mmaction.models.tall'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder; what is imported in a test is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(own_modules, 'ASKED', set())
    monkeypatch.setattr(own_modules, 'GAINED', set())
    for registry in (MODELS, MODELS.parent):
        own = dict(registry.module_dict)
        monkeypatch.setattr(registry, '_module_dict', own)
    yield tmp_path
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, '__file__', '')).startswith(str(tmp_path)):
            del sys.modules[name]


def write(place, text):
    place.parent.mkdir(exist_ok=True)
    place.write_text(text)
    return place


def refusal(module):
    with pytest.raises(SettingError) as error:
        import_own(str(module))
    text = str(error.value)
    assert text.startswith('--import ')
    assert '. Remedy: ' in text
    assert '\n' not in text
    return text


def is_allowed(name):
    said = ''
    try:
        check_model(dict(type='Recognizer3D', backbone=dict(type=name)))
    except ValueError as error:
        said = str(error)
    assert not said or f"the type '{name}' is not one" in said
    return not said


def test_a_network_in_a_file_beside_is_allowed_as_well(folder):
    write(folder / 'blocks.py', NETWORK.format(name='Blocks'))
    net = 'import blocks\n' + NETWORK.format(name='Net')
    write(folder / 'net.py', net)
    assert not is_allowed('Blocks')
    import_own('net.py')
    assert is_allowed('Blocks')
    assert is_allowed('Net')


def test_what_others_registered_is_not_allowed_by_an_import(folder):
    MODELS.register_module('Before', module=type('Before', (nn.Module,), {}))
    import_own(str(write(folder / 'net.py', NETWORK.format(name='Net'))))
    MODELS.register_module('After', module=type('After', (nn.Module,), {}))
    assert is_allowed('Net')
    assert not is_allowed('Before')
    assert not is_allowed('After')
    assert not is_allowed('UniFormer')


def test_a_network_in_a_registry_of_mmengine_is_allowed(folder):
    text = NETWORK.format(name='Net').replace('mmaction', 'mmengine')
    import_own(str(write(folder / 'net.py', text)))
    assert is_allowed('Net')


def test_a_name_of_mmaction2_is_not_taken_over_in_mmengine(folder):
    text = NETWORK.format(name='UniFormer').replace('mmaction', 'mmengine')
    import_own(str(write(folder / 'net.py', text)))
    assert not is_allowed('UniFormer')


def test_a_module_by_its_name_allows_what_is_in_it_alone():
    import_own('mmaction.registry')
    assert not is_allowed('UniFormer')
    import_own('mmaction.models')
    assert is_allowed('UniFormer')


@pytest.mark.parametrize('name', ['random', 'torch', 'sys', 'gml_mmaction'])
def test_a_file_of_the_name_of_another_module_is_refused_unrun(folder, name):
    path = write(folder / f'z/{name}.py', 'open("run", "w")')
    text = refusal(path)
    assert f'Python knows another module by the name of {path} (' in text
    assert text.endswith('Remedy: another name for it')
    assert not (folder / 'run').exists()
    assert not own_modules.ASKED


def test_two_files_of_one_name_are_not_taken_for_each_other(folder):
    one, two = (folder / f'{name}/net.py' for name in ('one', 'two'))
    write(one, '')
    import_own(str(one))
    assert f'the name of {two} ({one})' in refusal(write(two, ''))


def test_a_file_beside_of_the_name_of_another_module_is_refused(folder):
    write(folder / 'one/blocks.py', NETWORK.format(name='One'))
    import_own(str(write(folder / 'one/net.py', 'import blocks')))
    other = write(folder / 'two/blocks.py', NETWORK.format(name='Two'))
    write(folder / 'two/parts.py', 'from blocks import Two')
    two = write(folder / 'two/more.py', 'import parts')
    assert f'the name of {other} (' in refusal(two)
    write(folder / 'three/random.py', '')
    harmless = write(folder / 'three/third.py', 'import os')
    import_own(str(harmless))
    assert 'random.py' in refusal(
        write(folder / 'three/fourth.py', 'import random')
    )


def test_a_file_is_run_once_however_it_is_named(folder):
    text = NETWORK.format(name='Net')  # which registers no second time
    path = write(folder / 'net.py', text)
    for name in ('net.py', './net.py', str(path)):
        import_own(name)


def test_a_package_beside_is_imported(folder):
    write(folder / 'parts/__init__.py', NETWORK.format(name='Part'))
    import_own(str(write(folder / 'net.py', 'import parts')))
    assert is_allowed('Part')


def test_other_processes_find_the_file_and_its_folder_hides_nothing(folder):
    write(folder / 'wave.py', '')  # of the standard library, imported later
    write(folder / 'blocks.py', 'FACTOR = 3')
    text = 'from blocks import FACTOR\ndef times(x): return FACTOR * x\n'
    import_own(str(write(folder / 'net.py', text)))
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        assert pool.apply(sys.modules['net'].times, (2,)) == 6
    assert find_spec('wave').origin != str(folder / 'wave.py')


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'x = 1\ndef f(:\n', 'SyntaxError: invalid syntax (net.py, line 2)'),
        (b'x = 1\0', 'null bytes'),
        (b'x = 1\ny = "\xff"', "'utf-8' codec can't decode byte 0xff"),
        (
            b'\nimport nosuchpackage_',
            "No module named 'nosuchpackage_' ({folder}/net.py, line 2). "
            'Remedy: install nosuchpackage_, ',
        ),
        (
            b'x = 1\nx / 0',
            'ZeroDivisionError: division by zero ({folder}/net.py, line 2)',
        ),
        (b'raise SystemExit(3)', 'SystemExit: 3 ({folder}/net.py, line 1)'),
        (b'raise ValueError("a\\nb")', 'ValueError: a b ('),
        (
            NETWORK.format(name='TALL').encode(),
            f'{OURS} ({{folder}}/net.py, line 6). Remedy: another name for it',
        ),
        (
            b'import blocks',
            "name 'no' is not defined ({folder}/blocks.py, line 2)",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line(folder, content, said):
    write(folder / 'blocks.py', '\nno')
    (folder / 'net.py').write_bytes(content)
    text = refusal('net.py')
    assert text.startswith('--import net.py: cannot be imported: ')
    assert said.format(folder=folder) in text
    assert not own_modules.ASKED


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('', "--import '': neither a file nor the name of a module"),
        ('.x', "--import '.x': neither"),
        ('../x', "--import '../x': neither"),
        ('net.', "--import 'net.': neither"),
        ('a.txt', '--import a.txt: there is no such module'),
        ('json.absent', '--import json.absent: there is no such module'),
        ('absent.py', '--import absent.py: there is no such module'),
        ('a.b.py', '--import a.b.py: a dot in its name'),
    ],
)
def test_what_is_no_module_is_one_line(folder, name, said):
    for there in ('a.txt', 'a.b.py'):
        write(folder / there, '')
    assert said in refusal(name)
