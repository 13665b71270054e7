"""Checks and changes of a config before a runner is built.

Importing this module needs nothing but the standard library.
"""

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

from gml_mmaction.errors import SettingError

# Data sets that read what preparation has written.
PREPARED = frozenset(('FaceClipDataset', 'GenuineClipDataset'))
# What networks of the host and of ours call the frames of a clip.
FRAMES = ('num_segments', 'num_frames')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# What preparation writes into an annotation besides its classes.
METAINFO = (
    'origin',
    'source',
    'store',
    'size',
    'stride',
    'filename_tmpl',
    'manifest',
    'root',
    'rates',
)


def leaves(node: Any, place: str = '') -> Iterator[tuple[str, Any]]:
    """The values of a setting, each with its place: ``('a.0.b', 8)``.

    Args:
        node: A setting, or a config as a dict.
        place: Its own, before those inside it.
    """
    start = f'{place}.' if place else ''
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f'{start}{key}')
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from leaves(value, f'{start}{number}')
    else:
        yield place, node


def settle_workers(cfg: Any) -> None:
    """Remove options that PyTorch refuses in loaders without workers.

    Args:
        cfg: ``mmengine.Config``; changed in place.
    """
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            loader.pop('persistent_workers', None)
            loader.pop('prefetch_factor', None)


# The hooks that MMEngine has without a config; of these None means none.
HOST_HOOKS = (
    *('runtime_info', 'timer', 'sampler_seed', 'logger'),
    *('param_scheduler', 'checkpoint'),
)


def settle_hooks(cfg: Any) -> None:
    """Remove hooks that are None, as MMEngine does for its own alone.

    Of others it asserts that they are something.

    Args:
        cfg: ``mmengine.Config``; changed in place.
    """
    hooks = cfg.get('default_hooks') or {}
    for name in [*hooks]:
        if hooks[name] is None and name not in HOST_HOOKS:
            hooks.pop(name)


def set_metric(cfg: Any, **settings: object) -> bool:
    """Set arguments of the test evaluator's ForgeryMetric, in place.

    Returns:
        False if the config has none.
    """
    metric = forgery_metric(cfg)
    if metric is None:
        return False
    metric.update(settings)
    return True


def forgery_metric(cfg: Any) -> dict[str, Any] | None:
    """The settings of the test evaluator's ForgeryMetric, if it has one."""
    evaluators = cfg.get('test_evaluator') or []
    for item in evaluators if isinstance(evaluators, list) else [evaluators]:
        if item.get('type') == 'ForgeryMetric':
            return item
    return None


def set_clip_len(cfg: Any, frames: int) -> None:
    """Let clips have so many frames: in every loader, and in the network.

    Data sets say it as ``clip_len``, as MMAction2's ``SampleFrames`` does;
    networks that must know it as ``num_segments`` or ``num_frames``, where
    this is the former number, and FTCN's head by half of it.

    Args:
        cfg: ``mmengine.Config``; changed in place.
        frames: Of a clip, 1 or more.

    Raises:
        SettingError: It is no such number; no data set has clips.
    """
    if type(frames) is not int or frames < 1:
        raise SettingError(
            f'clip_len={frames!r:.60}. Remedy: a whole number from 1'
        )
    former = [*map(_set_frames, _with_clips(cfg), repeat(frames))]
    if not former:
        raise SettingError(
            f'clip_len={frames}: no data set of the config has clips. '
            'Remedy: the settings of its own data sets'
        )
    _set_network(cfg.get('model'), {*former}, frames)


def clip_lengths(cfg: Any, loader: str) -> set[int]:
    """The frames of a loader's clips, of each of its prepared data sets."""
    return {
        dataset.get('clip_len', 8)
        for dataset in _sets_of(cfg, loader)
        if dataset.get('type') in PREPARED
    }


def crop_sides(cfg: Any, loader: str) -> set[int]:
    """The sides of a loader's crops, as far as FaceCrop alone sets them."""
    sides = set()
    for dataset in _sets_of(cfg, loader):
        steps = [
            step
            for step in dataset.get('pipeline') or ()
            if isinstance(step, dict)
            and str(step.get('type')).endswith(('Crop', 'Resize'))
        ]
        if [step['type'] for step in steps] == ['FaceCrop']:
            sides.add(steps[0].get('size'))
    return {side for side in sides if type(side) is int}


def _sets_of(cfg: Any, loader: str) -> list[Any]:
    dataset = _dataset_of(cfg, loader)
    return [] if dataset is None else inner_datasets(dataset)


def _with_clips(cfg: Any) -> list[Any]:
    """Data sets of clips, and steps of pipelines that sample them."""
    datasets = [one for name in LOADERS for one in _sets_of(cfg, name)]
    steps = [
        step
        for dataset in datasets
        for step in dataset.get('pipeline') or ()
        if isinstance(step, dict) and 'clip_len' in step
    ]
    return [d for d in datasets if d.get('type') in PREPARED] + steps


def _set_frames(part: Any, frames: int) -> int:
    former = part.get('clip_len', 8)
    part['clip_len'] = frames
    return former


def _set_network(node: Any, former: set[int], frames: int) -> None:
    if not isinstance(node, dict):
        return
    for name in FRAMES:
        if node.get(name) in former:
            node[name] = frames
    if node.get('type') == 'TimeTransformerHead':
        node['num_tokens'] = frames // 2
    for part in node.values():
        _set_network(part, former, frames)


def inner_datasets(dataset: Any) -> list[Any]:
    """The data sets in MMEngine's wrappers, in their order.

    Args:
        dataset: A config or a data set; ``ConcatDataset``,
            ``RepeatDataset`` and ``ClassBalancedDataset`` may be nested.
    """
    if isinstance(dataset, dict):
        inside, parts = dataset.get('dataset'), dataset.get('datasets')
    else:
        inside = getattr(dataset, 'dataset', None)
        parts = getattr(dataset, 'datasets', None)
    if inside is None and parts is None:
        return [dataset]
    parts = [inside] if parts is None else parts
    return [inner for part in parts for inner in inner_datasets(part)]


def tested_set(cfg: Any) -> Any:
    """The test set's settings, else the validation set's.

    If there are several sets, the first's, as all have the same network.
    """
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    return inner_datasets(loader.get('dataset') or {})[0]


def crop_side(cfg: Any) -> int:
    """Side of the crops, by the test pipeline.

    Raises:
        SettingError: It does not cut faces.
    """
    for step in tested_set(cfg).get('pipeline') or ():
        if step.get('type') == 'FaceCrop':
            return int(step['size'])
    raise SettingError(
        'the config has no test pipeline that cuts faces by FaceCrop. '
        "Remedy: one of this project's configs"
    )


def check_tap(model: Any) -> None:
    """Refuse one of the host's heads if it cannot read the backbone's output.

    Args:
        model: A recognizer, maybe in a wrapper for several processes.

    Raises:
        SettingError: The head reads one map and gets two.
    """
    model = getattr(model, 'module', model)
    head = type(getattr(model, 'cls_head', None))
    backbone: Any = getattr(model, 'backbone', None)
    if (
        type(backbone).__name__ == 'Xception'
        and backbone.tap is not None
        and type(model).__name__ == 'Recognizer3D'
        and head.__module__.startswith('mmaction.')
    ):
        raise SettingError(
            f'model.backbone.tap={backbone.tap!r}: {head.__name__} reads the '
            'last features alone. Remedy: model.backbone.tap=None'
        )


def check_start(model: Any) -> None:
    """Refuse one of the host's backbones that would start from no file.

    By default TSM's and some others load weights of images even if no file is
    named; ``ResNet3d`` does not.

    Raises:
        SettingError: It has ``pretrained2d`` without ``pretrained``.
    """
    model = getattr(model, 'module', model)
    backbone = getattr(model, 'backbone', None)
    kinds = [kind.__name__ for kind in type(backbone).__mro__]
    if (
        getattr(backbone, 'pretrained2d', False)
        and not getattr(backbone, 'pretrained', None)
        and 'ResNet3d' not in kinds
    ):
        raise SettingError(
            f'model.backbone.pretrained2d=True, the default of {kinds[0]}, '
            'needs weights of images. Remedy: '
            'model.backbone.pretrained2d=False, or '
            'model.backbone.pretrained=FILE.pth'
        )


def settle_metainfo(cfg: Any) -> None:
    """Let prepared data sets be joined even if their metainfo differ.

    MMEngine's ``ConcatDataset`` wants all metainfo to be equal.

    Args:
        cfg: ``mmengine.Config``; changed in place.
    """
    for name in LOADERS:
        for dataset in wrappers(_dataset_of(cfg, name)):
            kinds = {one.get('type') for one in inner_datasets(dataset)}
            if 'datasets' in dataset and kinds <= PREPARED:
                dataset.setdefault('ignore_keys', [*METAINFO])


def _dataset_of(cfg: Any, loader: str) -> Any:
    return (cfg.get(loader) or {}).get('dataset')


def wrappers(dataset: Any) -> Iterator[Any]:
    """The configs of MMEngine's wrappers, the outermost first."""
    if isinstance(dataset, dict):
        parts = [dataset.get('dataset'), *(dataset.get('datasets') or ())]
        parts = [part for part in parts if part is not None]
        if parts:
            yield dataset
        for part in parts:
            yield from wrappers(part)


def network_of(cfg: Any) -> Any:
    """A config of another's network alone, without the files to start from."""
    from mmengine.config import Config

    model = without_files(cfg.get('model'))
    return Config(dict(model=model, default_scope='mmaction'))


def without_files(model: Any) -> Any:
    """Copy the settings of a network without the files to start from.

    ``pretrained`` stays, as None: some of the host's networks want it.
    """
    if isinstance(model, Mapping):
        return {
            key: None if key == 'pretrained' else without_files(value)
            for key, value in model.items()
            if key != 'init_cfg'
        }
    if isinstance(model, (list, tuple)):
        return type(model)(map(without_files, model))
    return model
