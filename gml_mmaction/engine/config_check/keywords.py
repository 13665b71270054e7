"""Keywords in a config: what a class takes, and of which kind."""

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.io.rules import whole

from .names import name_of, suggest
from .values import check_kind

# Of any class: sizes, which are at least 1.
SIZES = (
    'in_channels',
    'num_classes',
    'num_segments',
    'base_channels',
    'clip_len',
    'frame_interval',
)


def check_keywords(
    built: Callable, node: dict, place: str, others: set[str]
) -> None:
    """Compare the keywords in a config with those that a class takes."""
    try:
        parameters = inspect.signature(built).parameters
    except (TypeError, ValueError):
        return
    hints = _hints_of(built)
    is_open = any(
        parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters.values()
    )
    names = [
        name
        for name, parameter in parameters.items()
        if parameter.kind
        in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if is_open and _saves_checkpoints(built):
        is_open, names = False, _names_of_saving(built)
        for kind in built.__mro__:
            hints = {**_hints_of(kind), **hints}
    ours = str(built.__module__).startswith('gml_mmaction.')
    for name, value in node.items():
        if name in ('type', '_scope_', *others):
            continue
        size = name in SIZES and isinstance(value, int)
        if size and not whole(1).holds(value):
            raise SettingError(
                f'{place}.{name}={value!r}. Remedy: {whole(1).words}'
            )
        if name in names:
            check_kind(value, hints.get(name), f'{place}.{name}', ours)
        elif not is_open:
            raise SettingError(_unknown(f'{place}.{name}', built, names))


def _saves_checkpoints(built: Callable) -> typing.TypeGuard[type]:
    from mmengine.hooks import CheckpointHook

    return inspect.isclass(built) and issubclass(built, CheckpointHook)


def _names_of_saving(built: type) -> list[str]:
    """What a ``CheckpointHook`` takes; the rest goes to the runner."""
    from mmengine.runner import Runner

    functions = [Runner.save_checkpoint]
    functions += [vars(k)['__init__'] for k in built.__mro__ if inits(k)]
    return names_in(functions)


def inits(kind: type) -> bool:
    """Whether a class has a constructor of its own."""
    return inspect.isfunction(vars(kind).get('__init__'))


def names_in(functions: Sequence[Callable]) -> list[str]:
    """The keywords that several functions take together."""
    return [
        name
        for function in functions
        for name, parameter in inspect.signature(function).parameters.items()
        if name != 'self'
        and parameter.kind
        not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


def _unknown(place: str, built: Callable, names: Sequence[str]) -> str:
    return (
        f'{place}: {name_of(built)} has no such setting. '
        f'Remedy: {suggest(place.split(".")[-1], names)}'
    )


def _hints_of(built: Callable) -> dict[str, Any]:
    function = built.__init__ if inspect.isclass(built) else built
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations may name what only a type checker imports
        return {}
