"""Clips of the length and the size that a network was built for."""

import inspect
from collections.abc import Iterator
from typing import Any

from gml_mmaction.errors import SettingError

from ..settings import FRAMES, clip_lengths, crop_sides
from .names import find_class

SIDE = 'img_size'  # as networks of the host call it


def check_clips(cfg: Any, loader: str) -> None:
    """Compare a loader's clips with what the network has to know of them.

    Args:
        cfg: ``mmengine.Config``, whose names are all known.
        loader: Such as ``train_dataloader``.

    Raises:
        SettingError: The network counts on another number of frames, or on
            crops of another side.
    """
    frames, sides = clip_lengths(cfg, loader), crop_sides(cfg, loader)
    for place, node, defaults in _networks(cfg.get('model'), 'model'):
        for name in FRAMES:
            wanted = node.get(name, defaults.get(name))
            if odd := _others(wanted, frames):
                raise SettingError(
                    f'{place}.{name}={wanted}: clips of {loader} have '
                    f'{odd} frames. Remedy: --cfg-options clip_len='
                    f'{odd}, which sets all that are named, or the same '
                    'number in both'
                )
        if odd := _others(node.get(SIDE), sides):
            raise SettingError(
                f'{place}.{SIDE}={node[SIDE]}: crops of {loader} have '
                f'{odd}x{odd} pixels. Remedy: the same number in both; '
                "FaceCrop.size is the pipeline's"
            )


def _others(wanted: Any, given: set[int]) -> int:
    """One that is given and not wanted; 0 if there is none."""
    return min(given - {wanted}, default=0) if type(wanted) is int else 0


def _networks(node: Any, place: str) -> Iterator[tuple[str, dict, dict]]:
    """The host's networks and ours in a model: place, settings, defaults."""
    if not isinstance(node, dict):
        return
    if isinstance(node.get('type'), str):
        kind = find_class(node, place, 'MODELS')
        module = str(getattr(kind, '__module__', ''))
        if module.partition('.')[0] in ('mmaction', 'gml_mmaction'):
            defaults = {}
            if kind is not None and module.startswith('mmaction.'):
                # ours check it themselves, where they need it
                given = inspect.signature(kind).parameters
                defaults = {key: one.default for key, one in given.items()}
            yield place, node, defaults
    for name, part in node.items():
        if not name.endswith('_cfg'):
            yield from _networks(part, f'{place}.{name}')
