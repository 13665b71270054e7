"""The parts of a config, checked before anything is built from them."""

from collections.abc import Sequence
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.io.rules import OBJECT, Rule, list_of, whole

from ..settings import LOADERS
from .clips import check_clips
from .keywords import check_keywords
from .names import REGISTRIES, find_class, name_of, suggest
from .optimiser import check_optimising
from .schedules import check_schedules
from .values import check_value

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
# Keywords that MMEngine reads itself, before it calls a class.
READ_BY_HOST = {
    'HOOKS': {'priority'},
    'LOOPS': {'by_epoch', 'runner', 'dataloader', 'evaluator'},
    'OPTIM_WRAPPERS': {'constructor', 'paramwise_cfg'},
    'PARAM_SCHEDULERS': {'convert_to_iter_based', 'epoch_length'},
    'LOADER': {'num_batch_per_epoch', 'disable_subprocess_warning'},
}
# Of a schedule, read when it steps.
SCHEDULE = dict(
    step_size=whole(1),
    T_max=whole(1),
    total_steps=whole(1),
    milestones=list_of(whole(0)),
)
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
            _check_part(part, key)
            if key in LOADERS:
                check_clips(cfg, key)
            if key == 'param_scheduler':
                check_schedules(cfg)


def _check_part(part: Any, key: str) -> None:
    if key in LOADERS:
        _check_loader(part, key)
    elif key == 'compile':
        _check_compile(part)
    elif key == 'default_hooks' and isinstance(part, dict):
        for name, hook in part.items():
            _check(hook, f'{key}.{name}', 'HOOKS')
    elif key in REGISTRIES:
        _check(part, key, REGISTRIES[key])


def _check_count(part: Any, place: str, name: str, rule: Rule) -> None:
    if isinstance(part, dict) and name in part:
        check_value(part[name], f'{place}.{name}', rule)


def _check_compile(part: Any) -> None:
    """Check what only the first iteration would read."""
    if part is None or isinstance(part, bool):
        return
    check_value(part, 'compile', Rule('True, False or a dict', OBJECT.holds))
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
    check_keywords(DataLoader, plain, place, READ_BY_HOST['LOADER'])
    for name in ('dataset', 'sampler', 'batch_sampler'):
        _check(loader.get(name), f'{place}.{name}', REGISTRIES[name])
    _check_end(loader.get('sampler'), place)
    for name in ('collate_fn', 'worker_init_fn'):
        if isinstance(loader.get(name), dict):
            find_class(loader[name], f'{place}.{name}', 'FUNCTIONS')
    _check_groups(loader, place)


def _check_end(sampler: Any, place: str) -> None:
    """Refuse a validation or a test that would never end."""
    from mmengine.dataset import InfiniteSampler

    if place == 'train_dataloader' or not isinstance(sampler, dict):
        return
    kind = find_class(sampler, f'{place}.sampler', REGISTRIES['sampler'])
    if isinstance(kind, type) and issubclass(kind, InfiniteSampler):
        raise SettingError(
            f'{place}.sampler.type={name_of(kind)!r}: it draws without end. '
            'Remedy: DefaultSampler'
        )


def _check_groups(loader: dict, place: str) -> None:
    """Refuse batches that would tear a real from its fakes."""
    sampler, size = loader.get('sampler'), loader.get('batch_size', 1)
    if isinstance(sampler, dict) and sampler.get('type') == 'PairSampler':
        group = 1 + max(1, sampler.get('fakes', 1))
        if size % group:
            raise SettingError(
                f'{place}.batch_size={size}: PairSampler draws groups of '
                f'{group}. Remedy: a multiple of {group}'
            )


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
        built = find_class(node, place, registry)
        if built is not None and not _is_read_otherwise(place, registry):
            others = READ_BY_HOST.get(registry, set())
            check_keywords(built, node, place, others)
    for name, value in node.items():
        inner = REGISTRIES.get(name)
        if registry == 'MODELS' and inner != 'WEIGHT_INITIALIZERS':
            inner = registry
        if inner is not None:
            _check(value, f'{place}.{name}', inner)
    if registry == 'OPTIM_WRAPPERS':
        check_optimising(node, place)
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
