"""Records: what a JSON file from elsewhere holds, checked while it is read.

Lists, manifests and score files may have been written by anybody. A record
(:class:`Record`) describes such a file, or a part of it, once: names, types
and bounds. Reading gives a record, with attributes, or an error of one line.
Files are written from the same records, fields in their order.

msgspec reads them: it is strict (a bool or a text is not a number), needs
no other package, and is faster than ``json`` without any checks. What a type
cannot say is a :class:`~gml_mmaction.io.rules.Rule` in the annotation::

    class Track(Record, kw_only=True):
        frame_dir: Place
        stop: Count | UnsetType = UNSET     # older files do not say it
"""

import functools
import os
import re
from collections.abc import Sequence
from typing import (
    Annotated,
    Any,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gml_mmaction.errors import GMLError

from .files import FileError, read_text
from .rules import LABEL, NUMBER, PLACE, RELATIVE, TEXT, Rule, check_value

__all__ = [
    'UNSET',
    'Count',
    'Label',
    'Number',
    'Place',
    'Record',
    'Relative',
    'Share',
    'Text',
    'UnsetType',
    'as_json',
    'decode',
    'read_record',
    'to_record',
]

Text = Annotated[str, TEXT]
Place = Annotated[str, PLACE]
Relative = Annotated[str, RELATIVE]
Label = Annotated[int, LABEL]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Number = Annotated[int | float, NUMBER]
Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)]

KINDS = dict(
    int='a whole number',
    float='a number',
    str='text',
    bool='true or false',
    array='a list',
    object='an object',
    null='null',
)

T = TypeVar('T')


class Record(msgspec.Struct, frozen=True):
    """A part of a JSON file, or all of it; other fields are ignored.

    A field with the default ``UNSET`` may be missing; it is then not written.
    Every record is checked, whether it is read or made by us.

    Raises:
        ValueError: A field breaks the rule in its annotation.
    """

    def __post_init__(self) -> None:
        for name, rule in _rules(type(self)):
            value = getattr(self, name)
            if value is not UNSET:
                check_value(name, value, rule)


@functools.cache
def _rules(kind: type[Record]) -> list[tuple[str, Rule]]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        (name, rule)
        for name in kind.__struct_fields__
        if (rule := _rule(hints[name])) is not None
    ]


def _rule(hint: Any) -> Rule | None:
    """The rule of an annotation, of each item where it is a container."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        own = [item for item in inner[1:] if isinstance(item, Rule)]
        return own[0] if own else _rule(inner[0])
    rules = [_rule(one) for one in inner]
    rule = next((one for one in rules if one is not None), None)
    if rule is None:
        return None
    holds = rule.holds
    if kind is list:
        return Rule(f'a list, each {rule.words}', lambda v: all(map(holds, v)))
    if kind is dict:
        return Rule(
            f'an object, each {rule.words}',
            lambda v: all(map(holds, v.values())),
        )
    if type(None) in inner:
        return Rule(f'{rule.words}, or null', lambda v: v is None or holds(v))
    return rule


def decode(text: str | bytes, kind: type[T]) -> T:
    """Make a record from JSON.

    Raises:
        ValueError: It is not JSON or not such a record; one line says which
            field is what, and what was expected.
    """
    try:
        return msgspec.json.decode(text, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(str(error), kind)) from None
    except msgspec.DecodeError as error:
        raise ValueError(f'not JSON: {error}') from None
    except RecursionError:
        raise ValueError('not JSON: nested too deeply') from None


def read_record(
    path: str | os.PathLike[str],
    kind: type[T],
    *,
    what: str,
    remedy: str,
    error: type[GMLError] = FileError,
) -> T:
    """Read a JSON file in UTF-8 that holds a record.

    Args:
        path: The file.
        kind: A :class:`Record`.
        what: What the file should be: 'manifest', without an article.
        remedy: What to do if the file is something else.
        error: The error to raise then.

    Raises:
        OSError: The file cannot be read.
        GMLError: ``error``: it is not UTF-8, JSON or such a record.
    """
    try:
        return decode(read_text(os.fspath(path)), kind)
    except ValueError as problem:
        words = str(problem).removeprefix(f'{path}: ')
        raise error(
            f'{path} is not a valid {what} ({words}). Remedy: {remedy}'
        ) from None


def to_record(content: Any, kind: type[T]) -> T:
    """Make a record from a dict of a checkpoint or a caller.

    Raises:
        ValueError: As :func:`decode`.
    """
    try:
        return msgspec.convert(content, kind, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(str(error), kind)) from None


def as_json(record: Any) -> Any:
    """A record, or a list of them, as dicts and lists, fit for JSON."""
    return msgspec.to_builtins(record)


def _in_words(message: str, kind: Any) -> str:
    """Say in our words what msgspec found.

    ``Expected `int`, got `str` - at `$.videos[3].label``` becomes ``videos[3]:
    'label' is text, expected 0 (real) or 1 (fake)``.
    """
    what, _, place = message.partition(' - at `')
    parts = re.findall(r'[^$.`\[\]]+|\[[^\]]*\]', place)
    if missing := re.fullmatch('Object missing required field `(.+)`', what):
        what = f'{missing[1]!r} is missing'
    elif other := re.fullmatch(
        'Object contains unknown field `(.*)`', what, re.DOTALL
    ):
        what = f'{other[1]!r:.60} is not one of its fields'
    elif re.match('Expected|Invalid|Number|Integer', what):
        what = _expectation(what, _rule(_hint_at(kind, parts)))
        while parts and parts[-1].startswith('['):  # an item of a field
            parts.pop()
        what = f'{parts.pop()!r} {what}' if parts else f'it {what}'
    place = re.sub(r'\.(?=\[)', '', '.'.join(parts))
    return f'{place}: {what}' if place else what


def _expectation(what: str, rule: Rule | None) -> str:
    found = re.fullmatch(r'Expected `(.+?)`(.*?)(?:, got `(.+)`)?', what)
    if found is None:
        return f'cannot be used: {what[0].lower()}{what[1:]}'
    kinds = found[1].replace('int | float', 'float').split(' | ')
    words = ' or '.join(KINDS.get(one, one) for one in kinds) + found[2]
    words = rule.words if rule else words
    if found[3]:
        return f'is {KINDS.get(found[3], found[3])}, expected {words}'
    return f'is out of bounds, expected {words}'


def _hint_at(kind: Any, parts: Sequence[str]) -> Any:
    """The annotation at a place in a record."""
    for part in parts:
        while get_origin(kind) not in (None, list, dict):
            known = [one for one in get_args(kind) if one is not type(None)]
            kind = known[0]  # of Annotated, or of a union
        if part.startswith('['):
            kind = get_args(kind)[-1]
        else:
            kind = get_type_hints(kind, include_extras=True)[part]
    return kind
