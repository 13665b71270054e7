"""Names in a config: which class they mean, and the nearest known name."""

import difflib
import importlib
import typing
from collections.abc import Callable
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.io.text import one_line

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
    'families': 'TRANSFORMS',
    'sampler': 'DATA_SAMPLERS',
    'batch_sampler': 'DATA_SAMPLERS',
    'collate_fn': 'FUNCTIONS',
    'worker_init_fn': 'FUNCTIONS',
    'init_cfg': 'WEIGHT_INITIALIZERS',
}
WITHOUT_TYPE = {
    'val_cfg': 'ValLoop',
    'test_cfg': 'TestLoop',
    'log_processor': 'LogProcessor',
    'optim_wrapper': 'OptimWrapper',
    'visualizer': 'Visualizer',
    'model_wrapper_cfg': 'MMDistributedDataParallel',
}
LISTED = 40  # names in a line, at most
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


def find_class(
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
            f'{root.name.replace("_", " ")}. Remedy: '
            f'{_suggest_class(kind, names)}'
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
    """Up to three similar names, or all names; in words if there are none."""
    names = sorted(names, key=str.lower)
    if not names:
        return 'leave it out'
    close = _similar(name, names)
    if close:
        return ' or '.join(close)
    rest = ', ...' if len(names) > LISTED else ''
    return f'one of {", ".join(names[:LISTED])}{rest}'


def _similar(name: str, names: typing.Iterable[str]) -> list[str]:
    """Up to three names."""
    plain = {one.lower(): one for one in sorted(names)}
    close = difflib.get_close_matches(name.lower(), plain, 3, 0.6)
    within = [one for one in plain if name.lower() in one]
    return [plain[one] for one in dict.fromkeys(close + within)][:3]


def _suggest_class(kind: str, names: set[str]) -> str:
    """Similar names, or all if they fit; and how to add one's own."""
    listed = len(names) <= LISTED or _similar(kind, names)
    known = f'{suggest(kind, names)}, or ' if listed else ''
    return f'{known}--import FILE.py if it is one of your own'


def name_of(built: Any) -> str:
    """The name of a class or function, for a message."""
    return getattr(built, '__name__', str(built))
