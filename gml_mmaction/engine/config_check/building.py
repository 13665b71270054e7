"""Errors of building a config's parts, as one line that names the setting."""

import dis
import inspect
import re
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gml_mmaction.errors import GMLError, SettingError
from gml_mmaction.io.held import HeldOutput
from gml_mmaction.io.text import one_line

from ..settings import leaves
from .keywords import inits, names_in
from .names import name_of, suggest
from .parts import check_config
from .places import locate

BUILDER = 'mmengine.registry.build_functions'
REPAIRS = 'gml_mmaction.host'
RECOGNIZERS = 'mmaction.models.recognizers'
OWN = ('gml_mmaction.models', 'gml_mmaction.kernels')
HOST = ('mmengine', 'mmaction', 'mmcv', 'torch', 'numpy')
REFUSALS = (
    ValueError,
    TypeError,
    KeyError,
    AssertionError,
    NotImplementedError,
    AttributeError,
    IndexError,
    RuntimeError,
)


@contextmanager
def naming_settings(
    cfg: Any, keys: Sequence[str], held: HeldOutput
) -> Iterator[None]:
    """Check parts of a config; let errors of building name the setting.

    Args:
        cfg: ``mmengine.Config``.
        keys: See :func:`check_config`.
        held: Released if an error is not one that a user can mend.

    Raises:
        SettingError: In place of what a constructor raises.
    """
    try:
        check_config(cfg, keys)
        yield
    except (GMLError, OSError) as error:
        text = _with_place(error, cfg)
        if text is None:
            raise
        raise SettingError(text) from error
    except BaseException as error:
        text = explain(error, cfg)
        if text is None:
            held.release()
            raise
        raise SettingError(text) from error


def _with_place(error: BaseException, cfg: Any) -> str | None:
    """What a constructor of ours refused, with the place of the setting."""
    placed = re.match(r'\w+(\.\w+)+', str(error))
    built = any(_node_of(frame)[0] is not None for frame, _ in _walk(error))
    if isinstance(error, SettingError) and built and not placed:
        return explain(error, cfg)
    return None


def explain(error: BaseException, cfg: Any) -> str | None:
    """The place of the setting that caused an error, and the error's text.

    Args:
        error: What was raised while a runner was built, or later.
        cfg: What it was built from.

    Returns:
        One line, or None if no setting is to blame.
    """
    if not isinstance(error, REFUSALS):
        return None
    trace = list(_walk(error))
    nodes = [(i, *_node_of(frame)) for i, (frame, _) in enumerate(trace)]
    nodes = [(i, node, built) for i, node, built in nodes if node is not None]
    if not nodes:
        return (
            _explain_pixels(error, trace)
            or _explain_shapes(error, trace, cfg)
            or _explain_clips(error, trace)
            or _explain_runner(error, trace, cfg)
        )
    start, node, built = nodes[-1]
    place = locate([node for _, node, _ in nodes], cfg)
    text = one_line(error) if str(error) else _condition(error)
    unknown = re.search(r"unexpected keyword argument '(\w+)'", text)
    if unknown and isinstance(error, TypeError):
        found = _places_of(unknown[1], node)
        if len(found) == 1:
            key, called = found[0], text.split('.')[0].split('(')[0]
            inner = trace[-1][0].f_globals.get(called)
            functions = [inner] if inspect.isclass(inner) else []
            if '.' not in key and inspect.isclass(built):
                functions += [*filter(inits, built.__mro__)]
            names = names_in([kind.__init__ for kind in functions])
            remedy = f'. Remedy: {suggest(unknown[1], names)}' if names else ''
            return f'{place}.{key}: {called} has no such setting{remedy}'
    below = trace[start + 1 :]
    if not below and isinstance(error, TypeError):
        return f'{place}: {text}'  # the call itself: something is missing
    named = _named(node, text)
    own = [frame for frame, _ in below if not _is_host(frame)]
    if own and not _refuses(error, below[-1], named):
        return None
    if len(named) == 1:
        return f'{place}.{named[0]}: {text}'.replace(
            f': {named[0].split(".")[-1]}=', '='
        )
    kind = f' ({name_of(built)})' if built is not None else ''
    return f'{place}{kind}: {text}'


def _condition(error: BaseException) -> str:
    """What an ``assert`` without words asks for."""
    (*_, last) = traceback.extract_tb(error.__traceback__)
    condition = (last.line or '').removeprefix('assert ')
    condition = condition.replace('self.', '')
    return (
        f'{type(error).__name__}: not so: {condition:.200}. Remedy: settings '
        'with which it is'
    )


def _explain_runner(
    error: BaseException, trace: list[tuple[types.FrameType, int]], cfg: Any
) -> str | None:
    """What MMEngine's runner says of the settings that it reads itself."""
    inside = [
        number
        for number, (frame, _) in enumerate(trace)
        if frame.f_globals.get('__name__') == 'mmengine.runner.runner'
        and re.match(
            r'(__init__|_?build_|from_cfg|scale_lr)', frame.f_code.co_name
        )
    ]
    if not inside or not all(
        _is_host(frame) for frame, _ in trace[inside[0] :]
    ):
        return None
    text = one_line(error).split(', but got')[0]
    own = ('log_level', 'env_cfg', 'randomness', 'auto_scale_lr')
    values = [leaf for key in own for leaf in leaves(cfg.get(key), key)]
    words = set(re.findall(r'[\w.+-]*\w', text))
    found = [
        f'{place}={value!r}'
        for place, value in values
        if isinstance(value, str | int | float)
        and (place.split('.')[-1] in words or str(value) in words)
    ]
    return f'{found[0] if len(found) == 1 else "the config"}: {text:.300}'


def _explain_pixels(
    error: BaseException, trace: list[tuple[types.FrameType, int]]
) -> str | None:
    """Name a mean or a format that does not fit the images."""
    values = trace[-1][0].f_locals
    step, images = values.get('self'), values.get('batch_inputs')
    mean = getattr(step, 'mean', None)
    if (
        not isinstance(error, RuntimeError)
        or step is None
        or not hasattr(step, 'format_shape')
        or mean is None
        or images is None
    ):
        return None
    sizes = dict(mean=mean.numel(), std=step.std.numel())
    inner = tuple(images.shape)[2:-2]  # channels, and frames of a clip
    odd = [name for name, size in sizes.items() if size not in inner]
    key, what = 'format_shape', step.format_shape
    if odd:
        key, what = odd[0], f'{sizes[odd[0]]} numbers'
    return (
        f'model.data_preprocessor.{key}: {what} do not fit images of shape '
        f'{tuple(images.shape)}. Remedy: a number for each channel, and the '
        'format of the pipeline'
    )


def _explain_shapes(
    error: BaseException, trace: list[tuple[types.FrameType, int]], cfg: Any
) -> str | None:
    """Name a head that was built for other features than it gets."""
    frame, _ = trace[-1]
    layer, given = frame.f_locals.get('self'), frame.f_locals.get('input')
    head = (cfg.get('model') or {}).get('cls_head') or {}
    wanted = getattr(layer, 'in_features', None)
    if (
        not isinstance(error, RuntimeError)
        or wanted is None
        or wanted != head.get('in_channels')
        or given is None
        or given.shape[-1] == wanted
    ):
        return None
    return (
        f'model.cls_head.in_channels={wanted}: the features have '
        f'{given.shape[-1]} channels. Remedy: {given.shape[-1]}'
    )


def _explain_clips(
    error: BaseException, trace: list[tuple[types.FrameType, int]]
) -> str | None:
    """Name clips that one of the host's networks, or of ours, cannot read.

    A network of the user's own keeps its traceback.
    """
    frames = [frame for frame, _ in trace]
    begun = [
        number
        for number, frame in enumerate(frames)
        if str(frame.f_globals.get('__name__')).startswith(RECOGNIZERS)
        and frame.f_code.co_name == 'extract_feat'
    ]
    if not begun or not all(
        _is_host(frame) or str(frame.f_globals.get('__name__')).startswith(OWN)
        for frame in frames[begun[-1] :]
    ):
        return None
    model = frames[begun[-1]].f_locals.get('self')
    backbone = getattr(model, 'backbone', None)
    given = [
        next(iter(frame.f_locals['args']), None)
        for frame in frames[begun[-1] :]
        if frame.f_code.co_name == '_call_impl'
        and frame.f_locals.get('self') is backbone
    ]
    shape = getattr(given[0], 'shape', None) if given else None
    if shape is None:
        return None
    return (
        f'model.backbone ({type(backbone).__name__}): cannot read clips '
        f'of shape {tuple(shape)}: {one_line(error):.200}. Remedy: clips '
        '(clip_len) and crops (FaceCrop.size) that it can read, or its '
        'settings'
    )


def _walk(
    error: BaseException,
) -> Iterator[tuple[types.FrameType, int]]:
    """Frames from the outermost to the raising one, each with its position."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lasti
        trace = trace.tb_next


def _node_of(frame: types.FrameType) -> tuple[Any, Any]:
    """The config from which one of MMEngine's frames is building."""
    name, values = frame.f_code.co_name, frame.f_locals
    module = frame.f_globals.get('__name__')
    if (module, name) == (BUILDER, 'build_from_cfg'):
        return values.get('cfg'), values.get('obj_cls')
    if (module, name) == ('mmengine.runner.runner', 'build_dataloader'):
        return values.get('dataloader'), None
    return None, None


def _is_host(frame: types.FrameType) -> bool:
    name = str(frame.f_globals.get('__name__'))
    module = name.split('.')[0]
    return (
        module in HOST
        or module in sys.stdlib_module_names
        or name.startswith(REPAIRS)  # wraps the host's own functions
    )


def _refuses(
    error: BaseException,
    where: tuple[types.FrameType, int],
    named: Sequence[str],
) -> bool:
    """Whether a value was refused on purpose, by code that is not the host's.

    By our own rule that is a ``ValueError`` from a ``raise``. What the host
    raises below our code may be our fault: it must name an argument.
    """
    if not _is_raised(where):
        return False
    if _is_host(where[0]):
        return len(named) == 1
    return isinstance(error, ValueError)


def _is_raised(where: tuple[types.FrameType, int]) -> bool:
    """Whether an error comes from a ``raise``, not from an operation."""
    frame, last = where
    return dis.opname[frame.f_code.co_code[last]] == 'RAISE_VARARGS'


def _named(node: dict, text: str) -> list[str]:
    """The arguments that an error speaks of, by name or else by value."""
    begun = re.match(r'(\w+)=', text)  # as our own constructors begin
    if begun:
        return _places_of(begun[1], node)
    words = set(re.findall(r'[\w.+-]*\w', text))
    given = {
        key: value
        for key, value in node.items()
        if key != 'type' and isinstance(value, str | int | float)
    }
    words |= {word.lstrip('_') for word in words}
    return [key for key in node if key in words and key != 'type'] or [
        key for key, value in given.items() if str(value) in words
    ]


def _places_of(key: str, node: Any) -> list[str]:
    """Dotted places of a key in a config's own plain arguments."""
    found = []
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                found.append(name)
            elif not isinstance(value, dict) or 'type' not in value:
                found += [f'{name}.{one}' for one in _places_of(key, value)]
    return found
