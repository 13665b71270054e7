"""What a config may say, and what is made of it before a runner is built.

Importing this module needs nothing but the standard library.
"""

from typing import Any

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
