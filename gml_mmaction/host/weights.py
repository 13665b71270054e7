"""Load weights from a file, and check that they fit a network."""

import warnings
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gml_mmaction.errors import CheckpointError
from gml_mmaction.io.text import printable

__all__ = [
    'Fit',
    'check_weights',
    'held_tensors',
    'load_half',
    'load_weights',
    'read_weights',
    'unwrapped_names',
]

WRAPPERS = ('module.', '_orig_mod.')  # DistributedDataParallel, compile
AVERAGED = ('steps', 'n_averaged')  # of averaged weights, beside 'module.'
COUNTER = 'num_batches_tracked'  # files older than it lack it
SHOWN = 3
# How a backbone's tensors are called in files of whole networks.
PARTS = ('', 'backbone.', 'model.', 'model.backbone.')


@dataclass(frozen=True)
class Fit:
    """Differences between the tensors of a file and of a network.

    Attributes:
        missing: Names that the file lacks.
        unexpected: Names that the network lacks.
        misshapen: Tensors of another shape, in PyTorch's words, or whose
            numbers are not floating-point.
    """

    missing: Sequence[str]
    unexpected: Sequence[str]
    misshapen: Sequence[str]

    @property
    def flaws(self) -> str:
        """What does not fit, with the first few names; '' if all fit."""
        return '; '.join(
            f'{len(names)} {what} ({_first(names)})'
            for what, names in (
                ('missing', self.missing),
                ('unexpected', self.unexpected),
                ('of another shape or type', self.misshapen),
            )
            if names
        )


def check_weights(model: Any, state: Any, file: Any) -> None:
    """Load all weights of a network, or refuse them.

    Args:
        model: ``nn.Module``; on the meta device only names and shapes are
            compared.
        state: The file's ``state_dict``.
        file: Named in the error.

    Raises:
        CheckpointError: Names or shapes differ, or a number is not finite.
    """
    flaws = load_weights(model, unwrapped_names(state, file)).flaws
    if flaws:
        raise CheckpointError(
            f'{file}: its weights do not fit the network: {flaws}. Remedy: '
            'give the config that they were trained with'
        )
    broken = [n for n, x in model.state_dict().items() if not _is_finite(x)]
    if broken:
        raise CheckpointError(
            f'{file}: its weights are not finite ({_first(broken)}). Remedy: '
            'give a checkpoint from before the training diverged'
        )


def _is_finite(tensor: Any) -> bool:
    return tensor.is_meta or bool(tensor.isfinite().all())


def unwrapped_names(state: Any, file: Any) -> dict[str, Any]:
    """A file's tensors, their names without the prefixes of wrappers.

    Raises:
        CheckpointError: It is not a table of tensors.
    """
    import torch

    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor)
        for name, value in state.items()
    ):
        raise CheckpointError(
            f'{file}: its state_dict does not hold tensors by their names. '
            'Remedy: give a .pth file of gml train'
        )
    state = dict(state)
    counted = [name for name in state if name not in AVERAGED]
    if len(counted) < len(state) and _all_begin(counted, 'module.'):
        state = {name: state[name] for name in counted}
    prefix = next((p for p in WRAPPERS if _all_begin(state, p)), None)
    while prefix:
        state = {name[len(prefix) :]: x for name, x in state.items()}
        prefix = next((p for p in WRAPPERS if _all_begin(state, p)), None)
    return state


def load_weights(model: Any, state: Mapping[str, Any]) -> Fit:
    """Load what fits, as PyTorch does without ``strict``; return the rest.

    PyTorch names no missing tensor if a shape differs.
    """
    given, state = state, OrderedDict(state)
    missing: list[str] = []
    unexpected: list[str] = []
    misshapen: list[str] = []
    lists = (missing, unexpected, misshapen)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*to a meta parameter')
        for name, module in model.named_modules():
            prefix = f'{name}.' if name else ''
            module._load_from_state_dict(state, prefix, {}, True, *lists)
    missing = [name for name in missing if COUNTER not in name]
    for name, own in model.state_dict().items():
        # as in the file: a network may compute with what it loads
        kind = given.get(name, state.get(name, own)).dtype
        if own.is_floating_point() and not kind.is_floating_point:
            misshapen.append(f'{name} of {kind}')  # PyTorch rounds silently
    return Fit(missing, unexpected, misshapen)


def load_half(
    module: Any, state: Any, file: Any, prefix: str | None = None
) -> Fit:
    """Start a part of a network from a file that holds at least half of it.

    Args:
        module: ``nn.Module``; its method ``added_names``, if it has one,
            names tensors that no published file holds; they may be missing.
        state: The file's ``state_dict``, of the part or of a whole network.
        file: Named in the error.
        prefix: Prefix of the part's names in the file; by default the one of
            ``PARTS`` that most names have.

    Returns:
        What of the part's tensors is missing, save the added ones, and what
        is in the file besides.

    Raises:
        CheckpointError: Less than half of its tensors are in the file.
    """
    state = unwrapped_names(state, file)
    added: Collection[str] = getattr(module, 'added_names', frozenset)()
    names = [
        name
        for name in module.state_dict()
        if COUNTER not in name and name not in added
    ]
    if prefix is None:
        prefix = _prefix_of(names, state)
    elif not prefix.endswith('.'):
        prefix += '.'
    size = len(prefix)
    part = {n[size:]: x for n, x in state.items() if n.startswith(prefix)}
    fit = load_weights(module, part)
    missing = [name for name in fit.missing if name not in added]
    fit = replace(fit, missing=missing)
    matched = len(names) - len(missing) - len(fit.misshapen)
    if 2 * matched < len(names):
        raise CheckpointError(
            f'{file}: it has {max(matched, 0)} of the {len(names)} tensors '
            f'of {type(module).__name__}: {fit.flaws}. Remedy: give '
            'weights of this network, or leave them out'
        )
    return fit


def _prefix_of(names: Sequence[str], state: Mapping[str, Any]) -> str:
    """The prefix with which most names are in the file.

    If none is, as for a network that loads another's file by a hook of its
    own: the longest with which most names of the file begin.
    """
    counts = {p: sum(p + name in state for name in names) for p in PARTS}
    best = max(PARTS, key=counts.__getitem__)
    if counts[best]:
        return best
    common = [p for p in PARTS if 2 * _beginning(state, p) > len(state)]
    return max(common, key=len, default='')


def _beginning(names: Collection[str], prefix: str) -> int:
    return sum(name.startswith(prefix) for name in names)


def read_weights(file: Any) -> Any:
    """Read the ``state_dict`` of a file or of an address that MMEngine knows.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it asks for
            more than the safe loader gives.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    loaded = CheckpointLoader.load_checkpoint(str(file), 'cpu')
    for key in ('state_dict', 'model'):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    return loaded


def held_tensors(module: Any, state: Mapping[str, Any]) -> tuple[int, int]:
    """Count the tensors of a network that have the values of a file's.

    Names do not matter, so that it holds for every way of loading. A kernel
    that was inflated over time counts too. Tensors of one value, such as those
    of a new batch norm, prove nothing and are left out.

    Returns:
        How many have them, of how many.
    """
    given: dict[int, list[Any]] = {}
    for tensor in state.values():
        given.setdefault(tensor.numel(), []).append(tensor.flatten())
    own = [x.cpu() for x in module.state_dict().values() if _varies(x)]
    return sum(_is_held(tensor, given) for tensor in own), len(own)


def _is_held(own: Any, given: Mapping[int, list[Any]]) -> bool:
    if any(_same(own, other) for other in given.get(own.numel(), ())):
        return True
    if own.dim() != 5:
        return False
    length, slices = own.shape[2], own.unbind(2)
    same = all(part.equal(slices[0]) for part in slices)
    others = given.get(slices[0].numel(), ())
    return same and any(_same(slices[0], x / length) for x in others)


def _same(own: Any, flat: Any) -> bool:
    return own.flatten().equal(flat.to(own.dtype))


def _varies(tensor: Any) -> bool:
    flat = tensor.flatten()
    return len(flat) > 1 and bool((flat != flat[0]).any())


def _all_begin(names: Collection[str], prefix: str) -> bool:
    return bool(names) and all(name.startswith(prefix) for name in names)


def _first(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > SHOWN else ''
    return printable(f'{", ".join(names[:SHOWN]):.300}') + more
