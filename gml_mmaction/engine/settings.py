"""Checks and changes of a config before a runner is built.

Importing this module needs nothing but the standard library.
"""

from collections.abc import Iterator
from typing import Any

from gml_mmaction.errors import SettingError

# Data sets that read what preparation has written.
PREPARED = frozenset(('FaceClipDataset', 'GenuineClipDataset'))
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
