"""Find settings that a runner cannot be built from, and name their place.

There are two checks. :func:`check_config` reads a part of a config before
anything is built from it: names that no registry knows, keywords that a class
does not take, values of a wrong type. :func:`naming_settings` wraps the
building: an error of a constructor becomes one line with the dotted place of
the setting. The error's traceback shows which setting was being built, and
whether the setting is to blame: a constructor refused it, or the host's code
failed on it. Any other error is a bug of this project, or of the user's own
code, and keeps its traceback.

Importing this module needs nothing but the standard library.
"""

import collections.abc
import copy
import difflib
import dis
import importlib
import inspect
import math
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gml_mmaction.errors import GMLError, SettingError
from gml_mmaction.io.held import HeldOutput
from gml_mmaction.io.rules import OBJECT, Rule, list_of, one_of, whole
from gml_mmaction.io.text import one_line

from .settings import LOADERS

__all__ = [
    'FIRST',
    'PHASES',
    'change_settings',
    'check_config',
    'naming_settings',
    'read_settings',
]

# The parts of a config that a runner builds at once, and those that it builds
# when it trains, validates or tests.
FIRST = (
    'model',
    'data_preprocessor',
    'model_wrapper_cfg',
    'default_hooks',
    'custom_hooks',
    'visualizer',
    'log_processor',
    'auto_scale_lr',
    'randomness',
    'compile',
)
VALIDATION = ('val_cfg', 'val_dataloader', 'val_evaluator')
PHASES = {
    'train': (
        'train_cfg',
        'train_dataloader',
        'optim_wrapper',
        'param_scheduler',
        *VALIDATION,
    ),
    'val': VALIDATION,
    'test': ('test_cfg', 'test_dataloader', 'test_evaluator'),
}
# The registry for what is under a key, at the top level or deeper.
REGISTRIES = {
    'model': 'MODELS',
    'data_preprocessor': 'MODELS',
    'model_wrapper_cfg': 'MODEL_WRAPPERS',
    'default_hooks': 'HOOKS',
    'custom_hooks': 'HOOKS',
    'visualizer': 'VISUALIZERS',
    'vis_backends': 'VISBACKENDS',
    'log_processor': 'LOG_PROCESSORS',
    'train_cfg': 'LOOPS',
    'val_cfg': 'LOOPS',
    'test_cfg': 'LOOPS',
    'optim_wrapper': 'OPTIM_WRAPPERS',
    'optimizer': 'OPTIMIZERS',
    'param_scheduler': 'PARAM_SCHEDULERS',
    'val_evaluator': 'METRICS',
    'test_evaluator': 'METRICS',
    'dataset': 'DATASETS',
    'datasets': 'DATASETS',
    'pipeline': 'TRANSFORMS',
    'transforms': 'TRANSFORMS',
    'sampler': 'DATA_SAMPLERS',
    'batch_sampler': 'DATA_SAMPLERS',
    'collate_fn': 'FUNCTIONS',
    'worker_init_fn': 'FUNCTIONS',
    'init_cfg': 'WEIGHT_INITIALIZERS',
}
# Keywords that MMEngine reads itself, before it calls a class.
READ_BY_HOST = {
    'HOOKS': {'priority'},
    'LOOPS': {'by_epoch', 'runner', 'dataloader', 'evaluator'},
    'OPTIM_WRAPPERS': {'constructor', 'paramwise_cfg'},
    'PARAM_SCHEDULERS': {'convert_to_iter_based', 'epoch_length'},
    'LOADER': {'num_batch_per_epoch', 'disable_subprocess_warning'},
}
WITHOUT_TYPE = {
    'val_cfg': 'ValLoop',
    'test_cfg': 'TestLoop',
    'log_processor': 'LogProcessor',
    'optim_wrapper': 'OptimWrapper',
    'visualizer': 'Visualizer',
    'model_wrapper_cfg': 'MMDistributedDataParallel',
}
POSITIVE = Rule(
    'a number above 0', lambda value: type(value) in (int, float) and value > 0
)
FACTOR = Rule(
    'a number, 0 or more',
    lambda value: type(value) in (int, float) and 0 <= value < math.inf,
)
# What MMEngine's own constructor of optimisers reads of paramwise_cfg.
PARAMWISE = {
    'custom_keys': OBJECT,
    'bypass_duplicate': one_of(True, False),
    **dict.fromkeys(('bias_lr_mult', 'dcn_offset_lr_mult'), FACTOR),
    **dict.fromkeys(('bias_decay_mult', 'norm_decay_mult'), FACTOR),
    **dict.fromkeys(('flat_decay_mult', 'dwconv_decay_mult'), FACTOR),
}
# Of a schedule, read when it steps.
SCHEDULE = dict(
    step_size=whole(1),
    T_max=whole(1),
    total_steps=whole(1),
    milestones=list_of(whole(0)),
)
FACTORS = dict(lr_mult=FACTOR, decay_mult=FACTOR)
COUNTS = {
    'auto_scale_lr': {'base_batch_size': whole(1)},
    'randomness': {'seed': whole(0, 2**32 - 1)},
    'log_processor': {'window_size': whole(1), 'num_digits': whole(0)},
    'train_cfg': {
        'max_iters': whole(1),
        'max_epochs': whole(1),
        'val_interval': whole(1),
        'val_begin': whole(0),
    },
    **{
        name: dict(batch_size=whole(1), num_workers=whole(0))
        for name in LOADERS
    },
}
# Of any class: sizes, which are at least 1.
SIZES = (
    'in_channels',
    'num_classes',
    'num_segments',
    'base_channels',
    'clip_len',
    'frame_interval',
)
# Modules of the host that are imported only when they are used.
IMPORTS = {
    'TensorboardVisBackend': 'tensorboard',
    'WandbVisBackend': 'wandb',
    'MLflowVisBackend': 'mlflow',
    'ClearMLVisBackend': 'clearml',
    'NeptuneVisBackend': 'neptune',
    'DVCLiveVisBackend': 'dvclive',
    'AimVisBackend': 'aim',
    'DecordInit': 'decord',
    'DecordDecode': 'decord',
    'PyAVInit': 'av',
    'PyAVDecode': 'av',
    'PIMSInit': 'pims',
    'OpenCVInit': 'cv2',
}
OWN_CONSTRUCTOR = 'DefaultOptimWrapperConstructor'
BUILDER = 'mmengine.registry.build_functions'
REPAIRS = 'gml_mmaction.host'
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


def check_config(cfg: Any, keys: Sequence[str]) -> None:
    """Refuse wrong settings that can be found before anything is built.

    Args:
        cfg: ``mmengine.Config``.
        keys: The parts to check; missing ones are skipped.

    Raises:
        SettingError: Its message begins with the place of the setting.
    """
    from mmengine.registry import MODELS, DefaultScope

    if 'model' in keys and cfg.get('model') is None:
        raise SettingError(
            'model: the config has no model. Remedy: a config with a '
            'model, such as configs/gml_xception_ffpp.py'
        )
    scope = cfg.get('default_scope') or 'mmengine'
    with MODELS.switch_scope_and_registry(scope) as own:
        if own.scope != scope:
            raise SettingError(
                f'default_scope={scope!r}: no such scope. Remedy: mmaction'
            )
    with DefaultScope.overwrite_default_scope(scope):
        for key in keys:
            part = cfg.get(key)
            for name, rule in COUNTS.get(key, {}).items():
                _check_count(part, key, name, rule)
            if key in LOADERS:
                _check_loader(part, key)
            elif key == 'compile':
                _check_compile(part)
            elif key not in REGISTRIES:
                continue
            elif key == 'default_hooks' and isinstance(part, dict):
                for name, hook in part.items():
                    _check(hook, f'{key}.{name}', 'HOOKS')
            else:
                _check(part, key, REGISTRIES[key])


def read_settings(path: str | os.PathLike) -> Any:
    """The ``mmengine.Config`` of a file, which is run as a program.

    Raises:
        SettingError: It does not exist, or MMEngine cannot read it; the
            message names the file.
        OSError: The system does not allow reading it.
    """
    from mmengine.config import Config

    if not os.path.isfile(path):
        raise SettingError(
            f'{path}: no such config. Remedy: a file such as '
            'configs/gml_xception_ffpp.py'
        )
    try:
        return Config.fromfile(path)
    except (GMLError, OSError):
        raise
    except Exception as error:  # it is a program, which may raise anything
        what = f'{type(error).__name__}: {one_line(error)}'
        raise SettingError(
            f'{path} cannot be read ({what:.300}). Remedy: mend it; its '
            'lines run as Python'
        ) from error


def change_settings(cfg: Any, options: Sequence[str]) -> None:
    """Apply options of a command line, as MMEngine's tools read them.

    Args:
        cfg: ``mmengine.Config``; changed in place.
        options: ``KEY=VALUE`` each, with dotted keys.

    Raises:
        SettingError: One is not an option, or there is nothing to change.
    """
    values = {}
    for option in options:
        place, sign, text = option.partition('=')
        if not (sign and all(place.split('.'))):
            raise SettingError(
                f'--cfg-options {option}: give KEY=VALUE, as in '
                'train_dataloader.batch_size=8'
            )
        _check_first(place, cfg)
        _check_variable(place, cfg)
        values[place] = _parse_value(text, option)
    for place, value in values.items():
        _check_merge(copy.deepcopy(cfg), place, value)
    # All at once: one may set _delete_=True on what others then set.
    cfg.merge_from_dict(values)


def _check_variable(place: str, cfg: Any) -> None:
    """Refuse a variable of a config's file, used where the file was read."""
    from mmengine.runner import Runner

    name, _, rest = place.partition('.')
    read = {*inspect.signature(Runner).parameters, *REGISTRIES, *LOADERS}
    if name in read or name not in cfg:
        return
    used = [
        f'{at}.{rest}' if rest else at
        for key in read.intersection(cfg)
        for at, value in _within(cfg[key], key)
        if type(value) is type(cfg[name])
        and _equals(value, cfg[name])
        and (at.endswith(f'.{name}') or (value and not _is_number(value)))
    ]
    if used:
        data = '--data FOLDER, or ' if name == 'data_root' else ''
        raise SettingError(
            f'--cfg-options {place}: a variable of the config file; '
            'changing it now does not change the settings made from it. '
            f'Remedy: {data}{" and ".join(sorted(used))}'
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _within(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    """All values within a tree, with their places."""
    yield place, tree
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    for key, value in items:
        yield from _within(value, f'{place}.{key}')


def _check_merge(cfg: Any, place: str, value: Any) -> None:
    given = dict(_within({**cfg}, '')).get(f'.{place}')
    if isinstance(given, dict) and isinstance(value, str | int | float):
        raise SettingError(
            f'--cfg-options {place}={value!r:.60}: this place holds '
            f'several settings, not one value. Remedy: {place}.KEY=VALUE'
        )
    try:
        cfg.merge_from_dict({place: value})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingError(
            f'--cfg-options {place}={value!r:.60}: {one_line(error):.120}. '
            'Remedy: a place that the config has'
        ) from error


def _parse_value(text: str, option: str) -> Any:
    from mmengine.config import DictAction

    try:
        return DictAction._parse_iterable(text)
    except RecursionError as error:  # of what Python could read
        raise SettingError(
            f'--cfg-options {option:.100}: not a value. Remedy: a key for '
            'each part, as in model.backbone.width=0.5'
        ) from error
    except (AssertionError, ValueError) as error:
        raise SettingError(
            f'--cfg-options {option:.100}: {one_line(error):.200}'
        ) from error


def _check_first(place: str, cfg: Any) -> None:
    """Refuse a place whose first word is a misspelt setting."""
    known = {*cfg, *REGISTRIES, *LOADERS}
    first = place.split('.')[0]
    close = difflib.get_close_matches(first, known, 1, 0.75)
    if first not in known and close:
        raise SettingError(
            f'{place}: no such setting. Remedy: '
            f'{place.replace(first, close[0], 1)}'
        )


def _check_count(part: Any, place: str, name: str, rule: Rule) -> None:
    if isinstance(part, dict) and name in part:
        _check_value(part[name], f'{place}.{name}', rule)


def _check_compile(part: Any) -> None:
    """Check what only the first iteration would read."""
    if part is None or isinstance(part, bool):
        return
    _check_value(part, 'compile', Rule('True, False or a dict', OBJECT.holds))
    backend = part.get('backend')
    if isinstance(backend, str):
        import torch._dynamo

        known = torch._dynamo.list_backends(exclude_tags=())
        if backend not in known:
            raise SettingError(
                f'compile.backend={backend!r}: no such backend. Remedy: '
                f'{suggest(backend, known)}'
            )


def _check_loader(loader: Any, place: str) -> None:
    """Check what ``Runner.build_dataloader`` reads."""
    from torch.utils.data import DataLoader

    if not isinstance(loader, dict):
        return
    needed = ['dataset']
    needed += ['sampler'] if not loader.get('batch_sampler') else []
    for name in needed:
        if loader.get(name) is None:
            raise SettingError(f'{place}.{name} is missing. Remedy: give one')
    plain = {k: v for k, v in loader.items() if k not in REGISTRIES}
    _check_keywords(DataLoader, plain, place, READ_BY_HOST['LOADER'])
    for name in ('dataset', 'sampler', 'batch_sampler'):
        _check(loader.get(name), f'{place}.{name}', REGISTRIES[name])
    for name in ('collate_fn', 'worker_init_fn'):
        if isinstance(loader.get(name), dict):
            _find_class(loader[name], f'{place}.{name}', 'FUNCTIONS')


def _check(node: Any, place: str, registry: str) -> None:
    """Check a config, or a list of them, and everything in it."""
    if isinstance(node, list | tuple):
        for number, item in enumerate(node):
            _check(item, f'{place}.{number}', registry)
    elif (
        registry == 'METRICS'
        and isinstance(node, dict)
        and ('metrics' in node)
    ):
        _check(node['metrics'], f'{place}.metrics', registry)
    elif isinstance(node, dict):
        _check_one(node, place, registry)


def _check_one(node: dict, place: str, registry: str) -> None:
    # In a network, a part without a type is a plain argument.
    if 'type' in node or registry != 'MODELS' or place == 'model':
        built = _find_class(node, place, registry)
        if built is not None and not _is_read_otherwise(place, registry):
            others = READ_BY_HOST.get(registry, set())
            _check_keywords(built, node, place, others)
    for name, value in node.items():
        inner = REGISTRIES.get(name)
        if registry == 'MODELS' and inner != 'WEIGHT_INITIALIZERS':
            inner = registry
        if inner is not None:
            _check(value, f'{place}.{name}', inner)
    if registry == 'OPTIM_WRAPPERS':
        _check_optimising(node, place)
    if registry == 'PARAM_SCHEDULERS':
        for name, rule in SCHEDULE.items():
            _check_count(node, place, name, rule)
    if registry == 'LOG_PROCESSORS':
        _check_statistics(node.get('custom_cfg'), f'{place}.custom_cfg')


def _is_read_otherwise(place: str, registry: str) -> bool:
    """Whether special builders read it, as with ``norm_cfg``."""
    return registry == 'WEIGHT_INITIALIZERS' or (
        registry == 'MODELS' and place.endswith('_cfg')
    )


def _check_statistics(items: Any, place: str) -> None:
    """Check what only the first line of the log would read."""
    from mmengine.logging import HistoryBuffer

    HistoryBuffer()  # the first to be made fills the table
    known = HistoryBuffer._statistics_methods
    for number, item in enumerate(items if isinstance(items, list) else ()):
        name = item.get('method_name') if isinstance(item, dict) else None
        if name is not None and name not in known:
            raise SettingError(
                f'{place}.{number}.method_name={name!r}: no such statistic. '
                f'Remedy: {suggest(str(name), known)}'
            )


def _check_optimising(node: dict, place: str) -> None:
    """Check the constructor, and what only the first step would read."""
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_

    if isinstance(node.get('constructor'), str):
        _find_class(
            dict(type=node['constructor']),
            place,
            'OPTIM_WRAPPER_CONSTRUCTORS',
            '.constructor',
        )
    if node.get('constructor', OWN_CONSTRUCTOR) == OWN_CONSTRUCTOR:
        _check_paramwise(node.get('paramwise_cfg'), f'{place}.paramwise_cfg')
    clip, place = node.get('clip_grad'), f'{place}.clip_grad'
    if not isinstance(clip, dict):
        return

    kinds: dict[str, Callable] = dict(
        norm=clip_grad_norm_, value=clip_grad_value_
    )
    kind = clip.get('type', 'norm')
    if kind not in kinds:
        raise SettingError(f'{place}.type={kind!r}. Remedy: norm or value')
    _check_keywords(kinds[kind], clip, place, set())
    bound = dict(norm='max_norm', value='clip_value')[kind]
    if bound not in clip:
        raise SettingError(f'{place}.{bound} is missing. Remedy: give it')
    # with a bound below 0 the loss would rise
    _check_value(clip[bound], f'{place}.{bound}', POSITIVE)


def _check_paramwise(node: Any, place: str) -> None:
    """Check what is known only by its key; MMEngine ignores other keys."""
    if node is None:
        return
    _check_rules(node, place, PARAMWISE)
    for name, factors in (node.get('custom_keys') or {}).items():
        inner = f'{place}.custom_keys.{name}'
        _check_value(factors, inner, OBJECT)
        for key in factors:
            # others are the optimiser's own, as betas are
            close = difflib.get_close_matches(key, FACTORS, 1, 0.8)
            if key in FACTORS:
                _check_value(factors[key], f'{inner}.{key}', FACTOR)
            elif close:
                raise SettingError(
                    f'{inner}.{key}: no such setting. Remedy: {close[0]}'
                )


def _check_rules(node: Any, place: str, rules: dict[str, Rule]) -> None:
    _check_value(node, place, OBJECT)
    for name, value in node.items():
        if name not in rules:
            raise SettingError(
                f'{place}.{name}: no such setting. '
                f'Remedy: {suggest(name, rules)}'
            )
        _check_value(value, f'{place}.{name}', rules[name])


def _check_value(value: Any, place: str, rule: Rule) -> None:
    if value is not None and not rule.holds(value):
        raise SettingError(f'{place}={value!r:.60}. Remedy: {rule.words}')


def _find_class(
    node: dict, place: str, registry: str, key: str = '.type'
) -> Callable | None:
    """The class or function that builds a config; None if the host finds it.

    Raises:
        SettingError: It names none, or one that does not exist.
    """
    import mmengine.registry

    kind = node.get('type')
    if kind is None:
        kind = WITHOUT_TYPE.get(place)
        if place == 'train_cfg':
            by_epoch = node.get('by_epoch')
            kind = 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop'
            kind = None if by_epoch is None else kind
    if kind is None:
        raise SettingError(f'{place}.type is missing. Remedy: give it')
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    if registry in ('TRANSFORMS', 'VISBACKENDS') and kind in IMPORTS:
        _check_import(IMPORTS[kind], f'{place}.type={kind!r}')
    root = getattr(mmengine.registry, registry)
    scope = node.get('_scope_')
    if registry == 'FUNCTIONS':  # MMEngine asks its own alone
        found, names = _look_up(root, kind), set(root.module_dict)
    else:
        with root.switch_scope_and_registry(scope) as own:
            found, names = _look_up(own, kind), set()
            while own is not None:
                names.update(own.module_dict)
                own = own.parent
    if found is None:
        raise SettingError(
            f'{place}{key}={kind!r}: no such '
            f'{root.name.replace("_", " ")}. Remedy: {suggest(kind, names)}'
        )
    return found


def _check_import(name: str, place: str) -> None:
    try:
        importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise SettingError(
            f'{place} needs {name}, which cannot be imported '
            f'({one_line(error):.100}). Remedy: pip install {name}'
        ) from error


def _look_up(registry: Any, kind: str) -> Callable | None:
    try:
        found = registry.get(kind)
    except (RuntimeError, ValueError):  # MMEngine's, of a name with dots
        return None
    return found if callable(found) else None


def suggest(name: str, names: typing.Iterable[str]) -> str:
    """Up to three similar names, or all names."""
    plain = {one.lower(): one for one in sorted(names)}
    close = difflib.get_close_matches(name.lower(), plain, 3, 0.6)
    within = [one for one in plain if name.lower() in one]
    close = [*dict.fromkeys(close + within)]
    chosen = [plain[one] for one in close] or sorted(names, key=str.lower)
    rest = ', ...' if len(chosen) > 40 else ''
    return (
        ' or '.join(chosen[:3])
        if close
        else (f'one of {", ".join(chosen[:40])}{rest}')
    )


def _check_keywords(
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
            _check_kind(value, hints.get(name), f'{place}.{name}', ours)
        elif not is_open:
            raise SettingError(_unknown(f'{place}.{name}', built, names))


def _saves_checkpoints(built: Callable) -> typing.TypeGuard[type]:
    from mmengine.hooks import CheckpointHook

    return inspect.isclass(built) and issubclass(built, CheckpointHook)


def _names_of_saving(built: type) -> list[str]:
    """What a ``CheckpointHook`` takes; the rest goes to the runner."""
    from mmengine.runner import Runner

    functions = [Runner.save_checkpoint]
    functions += [vars(k)['__init__'] for k in built.__mro__ if _inits(k)]
    return _names_in(functions)


def _inits(kind: type) -> bool:
    return inspect.isfunction(vars(kind).get('__init__'))


def _names_in(functions: Sequence[Callable]) -> list[str]:
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
        f'{place}: {_name_of(built)} has no such setting. '
        f'Remedy: {suggest(place.split(".")[-1], names)}'
    )


def _hints_of(built: Callable) -> dict[str, Any]:
    function = built.__init__ if inspect.isclass(built) else built
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations may name what only a type checker imports
        return {}


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


def _check_kind(value: Any, hint: Any, place: str, ours: bool) -> None:
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
    except (GMLError, OSError):
        raise
    except BaseException as error:
        text = explain(error, cfg)
        if text is None:
            held.release()
            raise
        raise SettingError(text) from error


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
            or _explain_runner(error, trace, cfg)
        )
    start, node, built = nodes[-1]
    place = locate([node for _, node, _ in nodes], cfg)
    text = one_line(error)
    unknown = re.search(r"unexpected keyword argument '(\w+)'", text)
    if unknown and isinstance(error, TypeError):
        found = _places_of(unknown[1], node)
        if len(found) == 1:
            key, called = found[0], text.split('.')[0].split('(')[0]
            inner = trace[-1][0].f_globals.get(called)
            functions = [inner] if inspect.isclass(inner) else []
            if '.' not in key and inspect.isclass(built):
                functions += [*filter(_inits, built.__mro__)]
            names = _names_in([kind.__init__ for kind in functions])
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
    kind = f' ({_name_of(built)})' if built is not None else ''
    return f'{place}{kind}: {text}'


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
    leaves = [leaf for key in own for leaf in _leaves(cfg.get(key), key)]
    words = set(re.findall(r'[\w.+-]*\w', text))
    found = [
        f'{place}={value!r}'
        for place, value in leaves
        if place.split('.')[-1] in words or str(value) in words
    ]
    return f'{found[0] if len(found) == 1 else "the config"}: {text:.300}'


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f'{place}.{key}')
    elif isinstance(node, str | int | float):
        yield place, node


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


def _name_of(built: Any) -> str:
    return getattr(built, '__name__', str(built))


def locate(nodes: Sequence[dict], cfg: Any) -> str:
    """The dotted place of the last of several nested configs.

    Args:
        nodes: The configs as they were built, the outermost first: copies
            of a config's parts, to which arguments may have been added.
        cfg: The config.

    Returns:
        If there is no such part, or several that differ, the place of the
        part around it and the type.
    """
    from mmengine.runner import Runner

    keys = (*inspect.signature(Runner).parameters, 'model_wrapper_cfg')
    whole_config = {key: cfg[key] for key in keys if cfg.get(key) is not None}
    place, within = '', whole_config
    for node in nodes:
        found = _find(node, within, place) or _find(node, whole_config, '')
        kind = node.get('type')
        untyped = [
            key
            for key, name in WITHOUT_TYPE.items()
            if name == kind and 'type' not in whole_config.get(key, ('type',))
        ]
        if found:
            place, within = found
        elif untyped:
            place, within = untyped[0], whole_config[untyped[0]]
        else:
            place = f'{place} ({_name_of(kind)})' if kind else place
            within = {}
    return place.strip() or 'the config'


def _find(node: dict, tree: Any, place: str) -> tuple[str, Any] | None:
    """The part of a tree from which a config was copied."""
    parts = list(_parts(tree, place))
    for alike in (_equals, _is_within, _is_alike):
        found = [(at, part) for at, part in parts if alike(part, node)]
        if found and all(_equals(part, found[0][1]) for _, part in found):
            return found[0]
    return None


def _parts(tree: Any, place: str) -> Iterator[tuple[str, dict]]:
    """All dicts of a tree that are not empty, with their places."""
    for at, part in _within(tree, place):
        if isinstance(part, dict) and part and at:
            yield at.lstrip('.'), part


def _equals(part: Any, node: Any) -> bool:
    try:
        return bool(part == node)
    except Exception:  # tensors among the arguments
        return False


def _is_within(part: dict, node: dict) -> bool:
    """Whether a config contains all of a part, and maybe more."""
    return part.get('type') == node.get('type') and all(
        key in node and _equals(value, node[key])
        for key, value in part.items()
    )


def _is_alike(part: dict, node: dict) -> bool:
    """Whether both have one type, whatever was built from the rest."""
    return part.get('type') is not None and part['type'] == node.get('type')
