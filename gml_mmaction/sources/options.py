"""A source's options on the command line, from its function's signature.

Each keyword-only parameter of the function that lists a source's videos is a
flag; its annotation is the flag's type, its line in the docstring's ``Args``
the help. A new source needs no change here.
"""

import argparse
import inspect
import re
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path

from gml_mmaction.video.folders import noted

from . import Video, get_entry, get_source, known_sources

__all__ = [
    'add_source_options',
    'chosen_options',
    'list_with_notes',
    'parse_with_source',
    'source_counts',
    'source_notes',
]


_MANY = (Sequence, list, tuple)


def add_source_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Add one ``--flag`` for each option of the source ``name``.

    What is not given on the command line does not appear in the namespace.

    Raises:
        ValueError: No such source.
    """
    source = get_source(name)
    hints = {
        name: _plain(hint)
        for name, hint in typing.get_type_hints(source).items()
    }
    helps = _argument_docs(inspect.getdoc(source) or '')
    group = parser.add_argument_group(f'options of {name}')
    for parameter in _options(source):
        group.add_argument(
            '--' + parameter.name.replace('_', '-'),
            default=argparse.SUPPRESS,
            required=parameter.default is parameter.empty,
            help=helps.get(parameter.name, '').replace('%', '%%'),
            **_flag_type(hints.get(parameter.name, str)),
        )


def chosen_options(args: argparse.Namespace, name: str) -> dict:
    """Return the options of source ``name`` that the command line gave."""
    return {
        parameter.name: getattr(args, parameter.name)
        for parameter in _options(get_source(name))
        if hasattr(args, parameter.name)
    }


def parse_with_source(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> argparse.Namespace:
    """Parse a command line whose first argument names a source.

    Args:
        parser: Of a tool whose first positional argument is ``source``.
        argv: Its arguments; by default those of this process.

    Returns:
        The arguments, with the options of that source. As in argparse, a
        wrong command line ends the process with a line on stderr.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and not argv[0].startswith('-'):
        try:
            add_source_options(parser, argv[0])
        except ValueError as error:
            parser.error(str(error))
    else:
        parser.epilog = (
            f'sources: {", ".join(known_sources())}; '
            '"SOURCE --help" shows the options of one'
        )
    return parser.parse_args(argv)


def list_with_notes(
    name: str, root: str | Path, options: dict
) -> tuple[list[Video], list[str]]:
    """List a source's videos, and say in lines what a user must know.

    Args:
        name: Of the source.
        root: The data set's folder.
        options: See :func:`chosen_options`.

    Returns:
        The videos; the source's notes and what it left out in the tree.

    Raises:
        ValueError: No such source, or it cannot list its videos.
    """
    with noted(root) as left_out:
        videos = get_source(name)(root, **options)
    return videos, [*source_notes(name, videos, options), *left_out]


def source_notes(
    name: str, videos: Sequence[Video], options: dict
) -> list[str]:
    """Return the source's remarks on ``videos``, one line each.

    A source's function of notes may have keyword-only parameters named as
    the source's options; it gets their values.

    Args:
        name: Of the source.
        videos: As listed with ``options``.
        options: See :func:`chosen_options`.

    Raises:
        ValueError: No such source.
    """
    notes = get_entry(name).notes
    return notes(videos, **_values(name, options, notes))


def source_counts(name: str, options: dict) -> dict[tuple[str, str], int]:
    """Return the published numbers of videos by (split, method).

    They are a mapping, or a function as that of the notes where they depend
    on the options.

    Args:
        name: Of the source.
        options: See :func:`chosen_options`.

    Raises:
        ValueError: No such source, or an unknown option.
    """
    counts = get_entry(name).counts
    if callable(counts):
        counts = counts(**_values(name, options, counts))
    return dict(counts)


def _values(
    name: str, options: dict, function: typing.Callable
) -> dict[str, object]:
    """Options of the source, chosen or by default, that it asks for."""
    values = {p.name: p.default for p in _options(get_source(name))}
    values.update(options)
    return {p.name: values[p.name] for p in _options(function)}


def _options(function: typing.Callable) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind is p.KEYWORD_ONLY]


def _flag_type(hint: object) -> dict:
    if typing.get_origin(hint) is typing.Literal:
        return {'choices': typing.get_args(hint)}
    if hint is bool:
        return {'action': argparse.BooleanOptionalAction}
    if typing.get_origin(hint) in _MANY:
        items = [k for k in typing.get_args(hint) if k is not Ellipsis]
        if len(items) == 1:
            return {'nargs': '+', **_one_type(items[0])}
    return _one_type(hint)


def _one_type(hint: object) -> dict:
    if hint not in (str, Path, int, float):
        raise ValueError(
            f'{hint} cannot be given on a command line; use str, int, float, '
            'bool, Path, a Literal, or a Sequence of the first three'
        )
    return {} if hint is str else {'type': hint}


def _plain(hint: object) -> object:
    """Take ``None`` off a union; a path or a text is a path."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    kinds = {k for k in typing.get_args(hint) if k is not types.NoneType}
    if kinds == {str, Path}:
        return Path
    return kinds.pop() if len(kinds) == 1 else hint


def _argument_docs(docstring: str) -> dict[str, str]:
    """Help by argument of a Google docstring, each on one line, unmarked."""
    section = re.search(r'^Args:\n((?: {4}.*\n|\n)+)', docstring + '\n', re.M)
    if not section:
        return {}
    entries = re.split(r'^ {4}(\w+): ', section[1], flags=re.M)[1:]
    return {
        name: ' '.join(re.sub(r'``|:\w+:|`', '', text).split())
        for name, text in zip(entries[::2], entries[1::2])
    }
