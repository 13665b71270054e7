"""Values in a config: their kinds and bounds."""

import collections.abc
import math
import types
import typing
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.io.rules import OBJECT, Rule

from .names import suggest

POSITIVE = Rule(
    'a number above 0', lambda value: type(value) in (int, float) and value > 0
)
FACTOR = Rule(
    'a number, 0 or more',
    lambda value: type(value) in (int, float) and 0 <= value < math.inf,
)
SCALARS = {
    int: 'a whole number',
    float: 'a number',
    bool: 'True or False',
    str: 'text',
    type(None): 'None',
}
CONTAINERS = {
    list: 'a list',
    tuple: 'a tuple',
    dict: 'a dict',
    collections.abc.Sequence: 'a list',
    collections.abc.Iterable: 'a list',
    collections.abc.Mapping: 'a dict',
}


def check_rules(node: Any, place: str, rules: dict[str, Rule]) -> None:
    """Check a dict by the rules of its keys; it must have no others."""
    check_value(node, place, OBJECT)
    for name, value in node.items():
        if name not in rules:
            raise SettingError(
                f'{place}.{name}: no such setting. '
                f'Remedy: {suggest(name, rules)}'
            )
        check_value(value, f'{place}.{name}', rules[name])


def check_value(value: Any, place: str, rule: Rule) -> None:
    """Check one value by its rule; None is a default."""
    if value is not None and not rule.holds(value):
        raise SettingError(f'{place}={value!r:.60}. Remedy: {rule.words}')


def check_kind(value: Any, hint: Any, place: str, ours: bool) -> None:
    """Refuse a value that does not have the annotated type.

    The host's annotations are taken loosely: a number may be given where a
    tuple is annotated.
    """
    kinds = _kinds_of(hint)
    if not kinds or value is None:
        return
    plain = isinstance(value, str | int | float | list | tuple | dict)
    sure = ours or isinstance(value, str) or kinds <= SCALARS.keys()
    if plain and sure and not any(_fits(value, kind) for kind in kinds):
        words = [(SCALARS | CONTAINERS)[k] for k in kinds if k in SCALARS]
        words += [CONTAINERS[k] for k in kinds if k in CONTAINERS]
        raise SettingError(
            f'{place}={value!r:.60}. Remedy: '
            f'{" or ".join(dict.fromkeys(words))}'
        )


def _kinds_of(hint: Any) -> set[type]:
    """The plain types of an annotation; empty if it has any other."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_kinds_of(part) for part in typing.get_args(hint)]
        return set().union(*parts) if all(parts) else set()
    kind = origin or hint
    known = isinstance(kind, type) and (
        kind in SCALARS | CONTAINERS or kind.__name__ == 'Tensor'
    )
    return {kind} if known else set()


def _fits(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float)
    if kind is int:
        return isinstance(value, int) or (
            isinstance(value, float) and value.is_integer()
        )
    if kind is bool:
        return isinstance(value, int)
    if kind in (list, tuple, collections.abc.Sequence):
        return isinstance(value, list | tuple)
    if kind is collections.abc.Iterable:
        return isinstance(value, list | tuple | dict)
    return isinstance(value, kind)
