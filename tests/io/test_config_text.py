"""Configs are read from checkpoints as values, not run."""

import pytest
from mmengine.config import Config
from tiny import REPO

from gml_mmaction.io.config_text import ConfigTextError, parse_config

CONFIGS = sorted(
    path
    for path in (REPO / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_what_mmengine_writes_of_our_configs_is_read_alike(path):
    config = Config.fromfile(path)
    read = parse_config(config.pretty_text)
    assert read.to_dict() == config.to_dict()


def test_every_kind_of_value_is_read_as_mmengine_reads_it():
    text = (
        "a = dict(b=[1, -2.5, 1e-06], c=(1, ), d={'x y': None}, e='é')\n"
        'f = {1, 2}\ng = True\nh = -inf\n'
    )
    read = parse_config(text)
    values = {}
    exec(text.replace('-inf', "-float('inf')"), values)
    del values['__builtins__']
    expected = Config(values)
    assert read.to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    'value',
    [
        {'backbone.norm': dict(decay_mult=0.0)},
        [{'a.b': 1}, {'c': {'d e': {'f.g': (2, {'1': None})}}}],
        {'plain': {'in': 1, 'x.y': [{'z.': {}}]}},
        {},
    ],
    ids=str,
)
def test_keys_that_are_no_names_are_read_as_mmengine_writes_them(value):
    """Such as optim_wrapper.paramwise_cfg.custom_keys."""
    config = Config(dict(a=value, b=dict(c=value)))
    assert parse_config(config.pretty_text).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    'line',
    [
        'import os',
        "__import__('os').system('touch ran')",
        "a = open('ran', 'w')",
        'a = [x for x in (1, 2)]',
        'a = b',
        'a = dict(**c)',
        'a = dict({**c})',
        'a = dict([(1, 2)])',
        "a = dict({'b': 1}, c=2)",
        "a = f'{1}'",
        'a = "x" * 9999999999',
        'a = (lambda: 1)()',
        'a: int = 1',
        'a, b = 1, 2',
        'def a(): pass',
        'a = ' + '[' * 5000,
        'a = 1\x00',
    ],
    ids=lambda line: line[:24],
)
def test_anything_but_values_is_refused(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigTextError):
        parse_config(f'x = 1\n{line}\n')
    assert not (tmp_path / 'ran').exists()


def test_a_type_that_the_registries_would_import_is_refused():
    """mmengine.registry.Registry.get imports what has dots in its name."""
    text = "model = dict(parts=[dict(type='subprocess.Popen', args='ls')])"
    with pytest.raises(ConfigTextError, match=r'subprocess\.Popen'):
        parse_config(text)
