"""Rules: what a value from someone else must be before it is used.

They are in the annotations of records (:mod:`gml_mmaction.io.records`), and
for the names of settings in configs and checkpoints, which are not files of
ours. If a value breaks a rule, one line says so.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = [
    'LABEL',
    'NUMBER',
    'OBJECT',
    'PLACE',
    'RELATIVE',
    'TEXT',
    'Rule',
    'check_fields',
    'check_value',
    'is_place',
    'line',
    'list_of',
    'one_of',
    'or_null',
    'text',
    'whole',
]


class Rule(NamedTuple):
    """What a value must be.

    Attributes:
        words: For the message: 'expected ...'.
        holds: Whether a value is that.
    """

    words: str
    holds: Callable[[Any], bool]


def is_place(name: Any) -> bool:
    """Whether a string is a path that stays below the folder it is joined to.

    It is relative, without ``..``, has printable characters only, and leaves
    room for a suffix within the 255 bytes of a name, for the folder within
    the 4096 of a path.
    """
    return (
        isinstance(name, str)
        and name.isprintable()
        and not name.startswith('/')
        and not {'', '.'}.issuperset(parts := name.split('/'))
        and '..' not in parts
        and all(len(part.encode()) <= 240 for part in parts)
        and len(name.encode()) <= 2000
    )


def _is_relative(value: Any) -> bool:
    return (
        TEXT.holds(value)
        and not value.startswith('/')
        and all(len(part.encode()) <= 255 for part in value.split('/'))
    )


def whole(low: int, high: int = 2**31 - 1) -> Rule:
    """A whole number from ``low`` to ``high``."""
    return Rule(
        f'a whole number from {low} to {high}',
        lambda value: type(value) is int and low <= value <= high,
    )


def one_of(*values: Any) -> Rule:
    """One of some values, of the same type."""
    return Rule(
        ' or '.join(map(repr, values)),
        lambda value: any(
            type(value) is type(one) and value == one for one in values
        ),
    )


def or_null(rule: Rule) -> Rule:
    """A value that follows a rule, or None."""
    return Rule(
        f'{rule.words}, or null',
        lambda value: value is None or rule.holds(value),
    )


def text(most: int) -> Rule:
    """Text of any characters, up to a length; it is shown escaped."""
    return Rule(
        f'text of at most {most} characters',
        lambda value: isinstance(value, str) and len(value) <= most,
    )


def line(most: int) -> Rule:
    """Text without control characters, up to a length."""
    return Rule(
        f'text in a line of at most {most} characters',
        lambda value: text(most).holds(value) and value.isprintable(),
    )


def list_of(rule: Rule, count: int | None = None) -> Rule:
    """A list, of ``count`` items if that is given."""
    number = '' if count is None else f'{count} in '
    return Rule(
        f'{number}a list, each {rule.words}',
        lambda value: (
            isinstance(value, list)
            and count in (None, len(value))
            and all(map(rule.holds, value))
        ),
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and (
        abs(value) <= 2**63 and math.isfinite(value)
    )


TEXT = line(4096)  # as long as a path
PLACE = Rule('a path within its folder', is_place)
NUMBER = Rule('a number', _is_number)
LABEL = Rule(
    '0 (real) or 1 (fake)',
    lambda value: isinstance(value, int) and value in (0, 1),
)
RELATIVE = Rule('a relative path', _is_relative)
OBJECT = Rule('an object', lambda value: isinstance(value, dict))


def check_fields(
    row: Any,
    needed: Mapping[str, Rule],
    optional: Mapping[str, Rule] | None = None,
) -> None:
    """Check that an object has the fields needed; it may have others.

    Raises:
        ValueError: One line says what is wrong.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f'it is {row!r:.60}, expected an object')
    for name, rule in {**needed, **(optional or {})}.items():
        if name not in row:
            if name in needed:
                raise ValueError(f'{name!r} is missing')
        else:
            check_value(name, row[name], rule)


def check_value(name: str, value: Any, rule: Rule) -> None:
    """Check one value by its rule.

    Raises:
        ValueError: One line says what it is, and what was expected.
    """
    if not rule.holds(value):
        raise ValueError(f'{name!r} is {value!r:.60}, expected {rule.words}')
