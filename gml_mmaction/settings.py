"""What a config may say, and what is made of it before a runner is built.

Importing this module needs nothing but the standard library.
"""

from typing import Any

from .errors import SettingError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def settle_workers(cfg: Any) -> None:
    """Take out of loaders without workers what PyTorch refuses there.

    Args:
        cfg: ``mmengine.Config``; changed in place.
    """
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            loader.pop('persistent_workers', None)
            loader.pop('prefetch_factor', None)


def inner_datasets(dataset: Any) -> list[Any]:
    """The data sets within MMEngine's wrappers, in their order.

    Args:
        dataset: A config or a data set; ``ConcatDataset``,
            ``RepeatDataset``, ``ClassBalancedDataset`` may lie within each
            other.
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
    """Refuse a head of the host's that cannot read what the backbone gives.

    Args:
        model: A recognizer, maybe within a wrapper for several processes.

    Raises:
        SettingError: It would read one map and gets two.
    """
    model = getattr(model, 'module', model)
    head = type(getattr(model, 'cls_head', None))
    backbone = getattr(model, 'backbone', None)
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
