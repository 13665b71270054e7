"""How a network was initialised: from which file, or at random.

``--weights FOLDER`` names a folder of public weights. Its file for the network
is found by name and checked before anything is trained; a hook loads it. What
a checkpoint says of its start is not taken from settings: the network's values
are compared with those of the file (:func:`.weights.held_tensors`).
"""

import importlib.util
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeGuard

import torch
from mmaction.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from msgspec import Meta

from gml_mmaction.errors import CheckpointError, SettingError
from gml_mmaction.host.weights import (
    held_tensors,
    load_half,
    read_weights,
    unwrapped_names,
)
from gml_mmaction.io.files import file_sha256
from gml_mmaction.io.records import UNSET, Count, Record, UnsetType
from gml_mmaction.io.rules import or_null, text
from gml_mmaction.io.text import printable

from .public_weights import (
    PUBLIC_WEIGHTS,
    public_file,
    weights_of,
)

__all__ = [
    'Initial',
    'InitialFile',
    'InitialWeightsHook',
    'StartHook',
    'check_named_file',
    'describe_start',
    'find_weights',
    'missing_weights',
    'start_from',
    'starts',
    'unwrapped',
]

DIGITS = re.compile(r'-([0-9a-f]{8,64})\.\w+$')  # of SHA-256, in a file's name
BACKBONE = 'model.backbone'


class InitialFile(Record, frozen=True, kw_only=True):
    """A file that a part of a network started from.

    Attributes:
        part: Such as ``'backbone'``; ``''`` is the whole network.
        file: Its name.
        sha256: In hexadecimal; None if the file was not on the disk.
        tensors: How many of the part's tensors had values of the file.
        of: Number of its tensors, without those of a single value.
    """

    part: Annotated[str, text(200)]
    file: Annotated[str, text(1000)]
    sha256: Annotated[str | None, or_null(text(64))] = None
    tensors: Count
    of: Count

    @property
    def words(self) -> str:
        """One line."""
        digest = f'sha256 {self.sha256[:12]}' if self.sha256 else 'not hashed'
        of = self.part or 'the network'
        return printable(
            f'{self.file} ({digest}; {self.tensors} of {self.of} tensors of '
            f'{of})'
        )


class Initial(Record, frozen=True, kw_only=True):
    """How a network was initialised.

    Attributes:
        files: What it started from; without one, from random values.
        seed: Of the random values.
        whitened: The convolution that
            :class:`~.random_starts.WhitenedStartHook` started.
        mimetic: How many tensors
            :class:`~.random_starts.MimeticStartHook` started.
        difference: The convolution that
            :class:`~.random_starts.DifferenceStartHook` started.
    """

    files: list[InitialFile] = []
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    whitened: Annotated[str, text(200)] | UnsetType = UNSET
    mimetic: Count | UnsetType = UNSET
    difference: Annotated[str, text(200)] | UnsetType = UNSET

    @property
    def words(self) -> str:
        """One line that says it."""
        seed = '' if self.seed is None else f' (seed {self.seed})'
        named = ' and '.join(file.words for file in self.files)
        if self.whitened is not UNSET:
            seed += printable(
                f', {self.whitened} whitened by patches of the training data'
            )
        if self.mimetic is not UNSET:
            seed += f', {self.mimetic} tensors of attention as learned ones'
        if self.difference is not UNSET:
            seed += printable(f', {self.difference} as a difference of frames')
        return f'{named}, all else random{seed}' if named else f'random{seed}'


def start_from(cfg: Any, folder: str | os.PathLike) -> None:
    """Let a training start from the file for its network in a folder.

    Motion blocks then start as the convolutions that they replace, unless the
    config gives their ``temporal_init`` and ``expand_init``: so the network
    starts as the one that the file is of.

    Args:
        cfg: ``mmengine.Config``; changed in place.
        folder: Holds public weights under their names.

    Raises:
        CheckpointError: See :func:`find_weights`.
        SettingError: ``load_from`` names weights too.
    """
    if cfg.get('load_from') and not cfg.get('resume'):
        raise SettingError(
            f'load_from={cfg.load_from!r} and --weights {folder}: a network '
            'has one start. Remedy: leave one of them out'
        )
    path = find_weights(cfg, folder)
    backbone = _backbone(cfg)
    if isinstance(backbone.get('pretrained'), str):
        backbone.pretrained = None
    if _initialises(backbone.get('init_cfg')):
        backbone.pop('init_cfg')
    block = backbone.get('motion_block')
    if block:
        block.setdefault('temporal_init', 'identity')
        if block.get('type') != 'CSTM':
            block.setdefault('expand_init', 'zero')
    hook = dict(type=InitialWeightsHook.__name__, file=str(path))
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]


def find_weights(cfg: Any, folder: str | os.PathLike) -> Path:
    """Find the file that a network starts from, and check it.

    That is the file that the backbone's ``init_cfg`` or ``pretrained`` names,
    else the public one for this network; in the folder, else in an installed
    package.

    Raises:
        CheckpointError: No file is known for this network, it is not there,
            or it has another hash.
    """
    folder = Path(folder)
    backbone = _backbone(cfg)
    named = _named(backbone)
    if named:
        names = [Path(named).name]
    else:
        names = [one.file for one in weights_of(cfg.model)]
    if not names:
        known = ', '.join(one.file for one in PUBLIC_WEIGHTS)
        raise CheckpointError(
            f'--weights {folder}: no public weights are known for '
            f'{BACKBONE}.type={backbone.get("type")!r} and its '
            f"preprocessor's mean; the list has {known}. Remedy: name a file "
            f'of the folder by {BACKBONE}.init_cfg, or leave out --weights'
        )
    there = [folder / name for name in names if (folder / name).is_file()]
    there += [*filter(None, map(_installed, names))]
    if not there:
        raise CheckpointError(_missing(folder / names[0], cfg.model))
    _check_hash(there[0])
    return there[0]


def missing_weights(
    configs: Iterable[Any], folder: str | os.PathLike
) -> list[str]:
    """Say of several configs what is missing or wrong, a line each."""
    lines = []
    for cfg in configs:
        try:
            find_weights(cfg, folder)
        except CheckpointError as error:
            lines.append(str(error))
    return list(dict.fromkeys(lines))


def check_named_file(cfg: Any) -> None:
    """Refuse a config whose backbone names a file that is not there.

    Raises:
        CheckpointError: The message says where a public one is; or the file
            is one of torchvision's, which is not installed.
    """
    model = cfg.get('model') or {}
    named = _named(model.get('backbone'))
    torchvision = importlib.util.find_spec('torchvision')
    if named and named.startswith('torchvision://') and not torchvision:
        raise CheckpointError(
            f'{named}: only torchvision, which is not installed, knows where '
            f'that is. Remedy: model.backbone.pretrained=FILE.pth, or '
            f'{_other_start(model)}'
        )
    if named and '://' not in named and not Path(named).is_file():
        raise CheckpointError(_missing(Path(named), model))


def _other_start(model: Any) -> str:
    """How to start if the file that a backbone names cannot be had."""
    if weights_of(model):
        return '--weights FOLDER'
    if not isinstance(model['backbone'].get('pretrained'), str):
        return 'model.backbone.init_cfg=None'
    found = [
        inspect.signature(kind.__init__).parameters.get('pretrained2d')
        for kind in MODELS.get(model['backbone']['type']).__mro__
    ]
    defaults = [one.default for one in found if one is not None]
    flat = defaults and model['backbone'].get('pretrained2d', defaults[0])
    more = ' model.backbone.pretrained2d=False' if flat else ''
    return f'model.backbone.pretrained=None{more}'


class StartHook(Hook):
    """What sets values of a network before it learns, if none are loaded.

    Attributes:
        loaded: Whether the run goes on from a checkpoint.
        said: What it did, as fields of :class:`Initial`.
    """

    priority = 'VERY_HIGH'  # ProvenanceHook describes the result
    loaded = False

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember that the run goes on from a checkpoint."""
        self.loaded = True


@HOOKS.register_module()
class InitialWeightsHook(StartHook):
    """Start the backbone from a file, before the first iteration.

    A run that was resumed goes on with its own weights.

    Args:
        file: Its tensors are renamed if it is one of ``PUBLIC_WEIGHTS``, and
            a 2-D kernel is inflated: repeated over time and divided.

    Raises:
        CheckpointError: The file is not safe or damaged, has another hash, or
            does not fit: half of the backbone must be in it, and of a public
            file all tensors but its classifier's must be in the backbone.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = Path(file)

    def before_train(self, runner: Runner) -> None:
        """Load the file."""
        if not self.loaded:
            load_file(unwrapped(runner.model).backbone, self.file)


def load_file(backbone: Any, file: Path) -> None:
    """Load a file into a backbone; see :class:`InitialWeightsHook`."""
    _check_hash(file)
    load_tensors(backbone, read_weights(file), file)


def load_tensors(backbone: Any, state: Any, file: Path) -> None:
    """Load what a file holds into a backbone; ``file`` gives its names."""
    state = unwrapped_names(state, file)
    public = public_file(file.name)
    if public:
        state = {
            name: value
            for name, value in public.rename(state).items()
            if not name.startswith(public.unused)
        }
    state = _shifted(backbone, _inflated(backbone, state))
    fit = load_half(backbone, state, file)
    if public and (fit.unexpected or fit.misshapen):
        raise CheckpointError(
            f'{file}: it is not of {type(backbone).__name__} with the '
            f"config's settings: {fit.flaws}. Remedy: the published network, "
            'or no --weights'
        )


def _inflated(module: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of images, as those of a network over time has them."""
    own, inflated = module.state_dict(), dict(state)
    for name, value in state.items():
        if name in own and own[name].dim() == 5 and value.dim() == 4:
            length = own[name].shape[2]
            repeated = value.unsqueeze(2).expand(-1, -1, length, -1, -1)
            inflated[name] = repeated / length
    return inflated


def _shifted(module: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under the names of MMAction2's networks that shift.

    Its ``TemporalShift`` holds the convolution that it wraps as ``net``.
    """
    own = {name.replace('.net.', '.'): name for name in module.state_dict()}
    return {own.get(name, name): value for name, value in state.items()}


def describe_start(runner: Runner, seed: int | None) -> Initial:
    """Say how a runner's network was initialised, by comparing its values.

    Raises:
        CheckpointError: A file is named, and the network has none of its
            values.
    """
    model = unwrapped(runner.model)
    files = []
    for part, file in starts(runner):
        state = unwrapped_names(read_weights(file), file)
        module = model.get_submodule(part)
        tensors, of = held_tensors(module, state)
        if not tensors:
            raise CheckpointError(
                f'{file}: of its values none is in model.{part or "*"} '
                f'({type(module).__name__}) at the start. Remedy: give '
                'weights of this network, or none'
            )
        files.append(
            InitialFile(
                part=part,
                file=Path(file).name,
                sha256=file_sha256(_on_disk(file)),
                tensors=tensors,
                of=of,
            )
        )
    said: dict[str, Any] = {}
    for hook in runner.hooks:
        if isinstance(hook, StartHook):
            said |= hook.said
    return Initial(files=files, seed=seed, **said)


def starts(runner: Runner) -> Iterator[tuple[str, str]]:
    """The parts of a network and the files that they should start from."""
    load_from = runner.cfg.get('load_from')
    if load_from:
        yield '', str(load_from)
        return
    hooks = [h for h in runner.hooks if isinstance(h, InitialWeightsHook)]
    for hook in hooks:
        yield 'backbone', str(hook.file)
    for part, settings in (runner.cfg.get('model') or {}).items():
        file = _named(settings)
        if file and not (hooks and part == 'backbone'):
            yield part, file


def _backbone(cfg: Any) -> Any:
    backbone = (cfg.get('model') or {}).get('backbone')
    if not isinstance(backbone, dict):
        raise SettingError(
            f'{BACKBONE} is not in the config, and --weights is to start it. '
            'Remedy: give the setting, or leave out --weights'
        )
    return backbone


def _named(settings: Any) -> str | None:
    """The file or address that a part's settings name."""
    if not isinstance(settings, dict):
        return None
    pretrained = settings.get('pretrained')
    if isinstance(pretrained, str):
        return pretrained
    init = settings.get('init_cfg')
    ones = init if isinstance(init, (list, tuple)) else [init]
    return next((str(i['checkpoint']) for i in ones if _initialises(i)), None)


def _initialises(init: Any) -> TypeGuard[dict[str, Any]]:
    """True if it is the setting of MMEngine that names a file."""
    return (
        isinstance(init, dict)
        and init.get('type') == 'Pretrained'
        and 'checkpoint' in init
    )


def _installed(name: str) -> Path | None:
    public = public_file(name)
    return public.installed if public else None


def _missing(path: Path, model: Any) -> str:
    public = public_file(path.name)
    if public is None:
        other = _other_start(model)
        return (
            f'{path}: no such file. Remedy: put the weights there, or {other}'
        )
    return (
        f'{path}: no such file. Remedy: {public.how} '
        f'({public.trained_on}; {public.licence}), and name its folder by '
        '--weights'
    )


def _check_hash(path: Path) -> None:
    public = public_file(path.name)
    digits = DIGITS.search(path.name)
    wanted = public.sha256 if public else digits and digits[1]
    found = file_sha256(path)
    if wanted and found and not found.startswith(wanted):
        where = f' from {public.address}' if public else ''
        raise CheckpointError(
            f'{path}: its SHA-256 begins with {found[: len(wanted)]:.16}, '
            f'not {wanted:.16}: it is cut short, or another file. Remedy: '
            f'download it anew{where}'
        )


def _on_disk(file: str) -> str:
    """Where an address that was loaded is kept."""
    if '://' not in file:
        return os.path.expanduser(file)
    return os.path.join(torch.hub.get_dir(), 'checkpoints', Path(file).name)


def unwrapped(model: Any) -> Any:
    """The network, without what wraps it for several processes."""
    return getattr(model, 'module', model)
