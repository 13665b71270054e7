"""What holds for every source that is registered."""

import inspect
import re
import sys

import pytest

from gml_mmaction.sources import get_entry, get_source, known_sources

NAMES = (
    'cdf cdf1 cdfpp deepfake_eval df40 dfd dfdc dfdcp dfo fakeavceleb ffiw '
    'ffpp folder forgerynet uadfv wilddeepfake'
)


def test_the_registry_knows_every_source():
    assert set(NAMES.split()) <= set(known_sources())


@pytest.mark.parametrize('name', known_sources())
def test_every_option_is_by_keyword_and_documented(name):
    source = get_source(name)
    first, *options = inspect.signature(source).parameters.values()
    text = inspect.getdoc(source) + '\n\n'  # without its indentation
    section = re.search(r'\nArgs:\n(.*?)\n\n', text, re.DOTALL)
    told = re.findall(r'^ {4}(\w+): \S', section[1], re.MULTILINE)
    assert first.name == 'root'
    assert told == ['root', *(option.name for option in options)]
    for option in options:
        assert option.kind is option.KEYWORD_ONLY


@pytest.mark.parametrize('name', known_sources())
def test_every_module_opens_with_its_tree_and_says_where_it_is_from(name):
    module = sys.modules[get_source(name).__module__]
    headline, blank, tree, *_ = module.__doc__.split('\n')
    assert headline.endswith('.')
    assert not blank
    assert re.match(r'    ROOT/\S', tree)
    assert module.__all__
    if name != 'folder':  # one's own
        assert re.search(r'\w\.(com|co|ai)\b|request', module.__doc__)


@pytest.mark.parametrize('name', known_sources())
def test_a_source_refuses_a_root_that_is_not_there(name, tmp_path):
    source = get_source(name)
    required = {
        parameter.name: tmp_path
        for parameter in inspect.signature(source).parameters.values()
        if parameter.default is parameter.empty and parameter.name != 'root'
    }
    with pytest.raises(ValueError, match='/nowhere'):
        source(tmp_path / 'nowhere', **required)


@pytest.mark.parametrize('name', known_sources())
def test_counts_are_of_splits_and_methods(name):
    counts = get_entry(name).counts
    counts = {} if callable(counts) else counts
    assert {split for split, _ in counts} <= {'train', 'val', 'test'}
    assert all(count > 0 for count in counts.values())
