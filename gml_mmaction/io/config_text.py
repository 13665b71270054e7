"""A config read from a checkpoint, without running what it says.

MMEngine saves a config as text, which its own ``Config.fromstring`` runs as a
Python program. The text that MMEngine writes needs no program: it consists of
``name = value`` lines of literals and ``dict(...)``. Only these are read here.
"""

import ast
from typing import Any

from mmengine.config import Config

from gml_mmaction.errors import GMLError

__all__ = ['ConfigTextError', 'parse_config']

NAMES = {'inf': float('inf'), 'nan': float('nan')}  # as repr writes them


class ConfigTextError(GMLError, ValueError):
    """A config that holds more than plain values."""


def parse_config(text: str) -> Config:
    """Read the text of a config that MMEngine wrote.

    Raises:
        ConfigTextError: It is not Python, or has anything but assignments of
            numbers, strings, None, True, False, lists, tuples, sets and
            dicts; or a ``type`` that names a place in a Python package, which
            MMEngine's registries would import.
    """
    try:
        if not isinstance(text, str):
            raise ConfigTextError(f'not a config: a {type(text).__name__}')
        tree = ast.parse(text)
        values = dict(_assignment(node) for node in tree.body)
    except ConfigTextError:
        raise
    except (
        *(SyntaxError, RecursionError, MemoryError, ValueError),
        TypeError,  # a list as a key
    ) as error:
        raise ConfigTextError(f'not a config: {error}') from None
    _check_types(values)
    try:
        return Config(values)
    except KeyError as error:  # names that MMEngine keeps for itself
        raise ConfigTextError(f'not a config: {error.args[0]}') from None


def _assignment(node: ast.stmt) -> tuple[str, Any]:
    if (
        not isinstance(node, ast.Assign)
        or len(node.targets) != 1
        or not isinstance(node.targets[0], ast.Name)
    ):
        raise _refusal(node)
    return node.targets[0].id, _value(node.value)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in NAMES:
            return NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand)
            if isinstance(value, (int, float)):
                return -value
        case ast.List() | ast.Tuple() | ast.Set():
            kind = dict(List=list, Tuple=tuple, Set=set)[type(node).__name__]
            return kind(_value(item) for item in node.elts)
        case ast.Dict() | ast.Call(func=ast.Name(id='dict')):
            return _dict(node)
    raise _refusal(node)


def _dict(node: ast.expr) -> dict[Any, Any]:
    match node:
        case ast.Dict(keys=keys, values=values):
            plain = [key for key in keys if key is not None]
            if len(plain) == len(keys):
                pairs = zip(plain, values, strict=True)
                return {_value(key): _value(value) for key, value in pairs}
        case ast.Call(args=[], keywords=given):
            if all(item.arg for item in given):
                return {item.arg: _value(item.value) for item in given}
        # as MMEngine writes keys that are no names, such as 'backbone.norm'
        case ast.Call(args=[ast.Dict() as inner], keywords=[]):
            return _dict(inner)
    raise _refusal(node)


def _check_types(value: Any) -> None:
    if isinstance(value, dict):
        kind = value.get('type')
        if isinstance(kind, str) and '.' in kind:
            raise ConfigTextError(
                f'its type {kind!r} names a place in a Python package, which '
                'would be imported'
            )
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_types(item)


def _refusal(node: ast.AST) -> ConfigTextError:
    code = ast.unparse(node).splitlines()[0][:60]
    return ConfigTextError(
        f'line {getattr(node, "lineno", "?")} is not a plain value: {code}'
    )
