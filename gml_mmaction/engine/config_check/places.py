"""Places in a config: its parts, and where one of them is."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .names import WITHOUT_TYPE, name_of


def within(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    """All values within a tree, with their places."""
    yield place, tree
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    for key, value in items:
        yield from within(value, f'{place}.{key}')


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
            place = f'{place} ({name_of(kind)})' if kind else place
            within = {}
    return place.strip() or 'the config'


def _find(node: dict, tree: Any, place: str) -> tuple[str, Any] | None:
    """The part of a tree from which a config was copied."""
    parts = list(_parts(tree, place))
    for alike in (equals, _is_within, _is_alike):
        found = [(at, part) for at, part in parts if alike(part, node)]
        if found and all(equals(part, found[0][1]) for _, part in found):
            return found[0]
    return None


def _parts(tree: Any, place: str) -> Iterator[tuple[str, dict]]:
    """All dicts of a tree that are not empty, with their places."""
    for at, part in within(tree, place):
        if isinstance(part, dict) and part and at:
            yield at.lstrip('.'), part


def equals(part: Any, node: Any) -> bool:
    """Whether two values are equal; False where they cannot be compared."""
    try:
        return bool(part == node)
    except Exception:  # tensors among the arguments
        return False


def _is_within(part: dict, node: dict) -> bool:
    """Whether a config contains all of a part, and maybe more."""
    return part.get('type') == node.get('type') and all(
        key in node and equals(value, node[key]) for key, value in part.items()
    )


def _is_alike(part: dict, node: dict) -> bool:
    """Whether both have one type, whatever was built from the rest."""
    return part.get('type') is not None and part['type'] == node.get('type')
