import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from gml_mmaction import sources
from gml_mmaction.sources.options import (
    add_source_options,
    chosen_options,
    parse_with_source,
    source_counts,
    source_notes,
)


def _list_videos(
    root: str | Path,
    *,
    lists: str | Path,
    names: Sequence[str] | None = None,
    way: Literal['one', 'other'] = 'one',
    whole: bool = True,
    limit: int | None = None,
    prefix: str = '',
) -> list:
    """List nothing.

    Args:
        root: Where it lies.
        lists: Folder of ``lists``; at 50 % of
            the usual: size.
        way: One or :func:`other`.

    Returns:
        Nothing.
    """
    return []


@pytest.fixture
def toy(monkeypatch):
    """Register a source that lists nothing, for the test's duration."""
    monkeypatch.setattr(sources, '_SOURCES', dict(sources._SOURCES))
    sources.register_source(
        'toy',
        counts=lambda *, way: {('test', 'real'): 2 if way == 'one' else 1},
        notes=lambda videos, *, lists, limit: [f'{lists} {limit}'],
    )(_list_videos)
    return 'toy'


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    parser.add_argument('source')
    parser.add_argument('root', type=Path)
    return parser


def test_only_what_is_given_is_chosen(toy, parser):
    args = parse_with_source(parser, [toy, 'root', '--lists', 'a'])
    assert chosen_options(args, toy) == {'lists': Path('a')}
    assert args.root == Path('root')


def test_annotations_are_the_types_of_flags(toy, parser):
    flags = '--lists a --names b c --way other --no-whole --limit 3'
    args = parse_with_source(
        parser, [toy, 'root', *flags.split(), '--prefix', 'd']
    )
    assert chosen_options(args, toy) == {
        'lists': Path('a'),
        'names': ['b', 'c'],
        'way': 'other',
        'whole': False,
        'limit': 3,
        'prefix': 'd',
    }


def test_help_is_the_docstring_without_its_markup(toy, parser):
    add_source_options(parser, toy)
    text = ' '.join(parser.format_help().split())
    assert 'Folder of lists; at 50 % of the usual: size.' in text
    assert 'One or other.' in text
    assert 'Where it lies' not in text


def test_a_flag_without_default_is_required(toy, parser, capsys):
    with pytest.raises(SystemExit):
        parse_with_source(parser, [toy, 'root'])
    assert 'required: --lists' in capsys.readouterr().err


def test_help_alone_lists_the_sources(parser, capsys):
    with pytest.raises(SystemExit):
        parse_with_source(parser, ['--help'])
    assert 'ffpp' in capsys.readouterr().out.split('sources:')[1]


def test_an_unknown_source_is_answered_by_the_known(parser, capsys):
    with pytest.raises(SystemExit):
        parse_with_source(parser, ['ffp', 'root'])
    assert "unknown source 'ffp'. Remedy: one of " in capsys.readouterr().err


def test_notes_and_counts_get_the_options_they_ask_for(toy):
    options = {'lists': 'here', 'names': ['a']}
    assert source_notes(toy, [], options) == ['here None']
    assert source_counts(toy, options) == {('test', 'real'): 2}
    options['way'] = 'other'
    assert source_counts(toy, options) == {('test', 'real'): 1}


@pytest.mark.parametrize('name', sources.known_sources())
def test_every_option_of_every_source_says_what_it_is(name, parser):
    add_source_options(parser, name)
    for action in parser._actions:
        if action.option_strings:
            assert action.help, f'{name} {action.option_strings}'


def test_numbers_and_truths_that_may_be_absent_have_their_types(
    monkeypatch, parser
):
    def list_numbers(
        root: str | Path,
        *,
        ids: Sequence[int] = (),
        rates: tuple[float, ...] | None = None,
        flag: bool | None = None,
    ) -> list:
        return []

    monkeypatch.setattr(sources, '_SOURCES', {})
    sources.register_source('numbers')(list_numbers)
    words = ['numbers', '.', '--ids', '1', '2', '--rates', '0.5', '--no-flag']
    args = parse_with_source(parser, words)
    assert chosen_options(args, 'numbers') == {
        'ids': [1, 2],
        'rates': [0.5],
        'flag': False,
    }


def test_an_option_of_another_type_is_refused(monkeypatch, parser):
    def list_odd(root: str | Path, *, odd: dict[str, int]) -> list:
        return []

    monkeypatch.setattr(sources, '_SOURCES', {})
    sources.register_source('odd')(list_odd)
    with pytest.raises(ValueError, match='cannot be given on a command line'):
        add_source_options(parser, 'odd')
