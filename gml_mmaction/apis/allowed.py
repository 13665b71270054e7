"""What the config in a checkpoint may ask for: a closed list, and bounds.

The config in a checkpoint is as untrusted as the checkpoint. Only types in
the lists below are built from it, nothing is imported by name, and numbers
have bounds, so that no network is built that could not have been trained.
Types of the user's own are added only where the user names their module
(:func:`import_own`).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmaction.registry import MODELS, TRANSFORMS

from gml_mmaction.io.text import printable

from .own_modules import entries, import_own, is_own

__all__ = [
    'check_clips',
    'check_model',
    'check_pipeline',
    'import_own',
    'whole_number',
]

PACKAGE = __name__.partition('.')[0]
HOSTS_MODELS = (
    *('ActionDataPreprocessor', 'MixupBlending', 'CutmixBlending'),
    *('Recognizer2D', 'Recognizer3D'),
    *('C3D', 'ResNet', 'ResNet3d', 'ResNet3dSlowOnly'),
    *('MobileNetV2', 'MobileNetV2TSM'),
    *('ResNet2Plus1d', 'ResNet3dCSN', 'ResNetTSM', 'X3D'),
    *('SwinTransformer3D', 'TimeSformer', 'VisionTransformer'),
    *('AvgConsensus', 'I3DHead', 'TSNHead'),
    *('TimeSformerHead', 'TSMHead', 'X3DHead'),
    *('BCELossWithLogits', 'CrossEntropyLoss'),
    *('Conv1d', 'Conv2d', 'Conv2plus1d', 'Conv3d'),
    *('BN', 'BN1d', 'BN2d', 'BN3d', 'LN', 'SyncBN'),
    *('LeakyReLU', 'ReLU', 'Sigmoid'),
)
HOSTS_STEPS = ('CenterCrop', 'FormatShape', 'PackActionInputs', 'Resize')
FILES = ('backend_args', 'file_client_args', 'io_backend')
DISK = (None, 'disk', 'local', {'backend': 'local'}, {'io_backend': 'disk'})
# Keys that load files to initialise a network; a checkpoint needs none.
INITIAL = ('init_cfg', 'pretrained')
LAYERS = 256
WIDTH = 16
PIXELS = 4096
MOST_FRAMES = 512  # of a clip
SIDES = ('size', 'scale', 'crop_size')
NUMBER = 10**6
CLIP_PIXELS = 64 * 512**2
BOUNDS = {
    **dict.fromkeys(('width', 'widen_factor', 'arch', 'scale'), WIDTH),
    **dict.fromkeys(('gamma_w', 'gamma_b', 'gamma_d'), WIDTH),
    **dict.fromkeys(('depths', 'num_transformer_layers'), LAYERS),
    **dict.fromkeys(('heads', 'num_heads', 'num_tokens'), LAYERS),
    **dict.fromkeys(('rows', 'windows', 'window_size', 'places'), LAYERS),
    **dict.fromkeys(
        ('depth', 'middle_blocks', 'block_config', 'branch_depth', 'sigmas'),
        LAYERS,
    ),
    **dict.fromkeys(('num_stages', 'stage_blocks', 'num_segments'), LAYERS),
    **dict.fromkeys(('num_maps', 'num_classes'), LAYERS),
    **dict.fromkeys(('size', 'kernel_size'), PIXELS // 2),
}


def check_model(model: Any) -> None:
    """Check the settings of a network.

    Raises:
        ValueError: A type is not on the list, or a number is out of bounds.
    """
    _check(model, 'model', _registered(MODELS, HOSTS_MODELS), BOUNDS, NUMBER)


def check_pipeline(pipeline: Any) -> None:
    """Check the steps of a test pipeline; raises as :func:`check_model`."""
    types = _registered(TRANSFORMS, HOSTS_STEPS)
    _check(pipeline, 'pipeline', types, {}, PIXELS)


def check_clips(pipeline: Any, clip_len: int) -> None:
    """Check how large the clips of a test pipeline become.

    Raises:
        ValueError: One has more pixels than a network was trained on.
    """
    side = max(
        (
            abs(value)
            for key, value in _leaves(pipeline, 'pipeline')
            if key in SIDES and isinstance(value, (int, float))
        ),
        default=0,
    )
    if clip_len * side**2 > CLIP_PIXELS:
        raise ValueError(
            f'clips of {clip_len} frames of {side}x{side} are out of bounds '
            f'({CLIP_PIXELS // 10**6} million pixels)'
        )


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """Return ``value`` if it is a whole number from ``low`` to ``high``.

    Raises:
        ValueError: It is not.
    """
    if type(value) is not int or not low <= value <= high:
        raise ValueError(
            f'{name} is {_shown(value)}; it must be a whole number, {low} to '
            f'{high}'
        )
    return value


def _registered(registry: Any, hosts: tuple[str, ...]) -> frozenset[str]:
    ours = {
        name
        for name, item in entries(registry).items()
        if item.__module__.startswith(f'{PACKAGE}.') or is_own(name, item)
    }
    return frozenset(ours.union(hosts))


def _check(
    settings: Any,
    place: str,
    types: frozenset[str],
    bounds: Mapping[str, int],
    bound: int,
) -> None:
    for key, value in _leaves(settings, place):
        if key == '_scope_':
            raise ValueError(f'a _scope_ ({_shown(value)}) is not allowed')
        if key == 'type' and (type(value) is not str or value not in types):
            raise ValueError(
                f"the type {_shown(value)} is not one that a detector's "
                'config may name'
            )
        if key in FILES and value not in DISK:
            raise ValueError(
                f'{key}={_shown(value)}: files are read from the disk only'
            )
        high = bounds.get(key, bound)
        if isinstance(value, (int, float)) and not _within(value, high):
            raise ValueError(
                f'{_shown(key)}={_shown(value)} is out of bounds ({high})'
            )


def _within(value: float, high: int) -> bool:
    return math.isfinite(value) and abs(value) <= high


def _leaves(value: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every value below, with its key.

    A number in a list has the list's key.
    """
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name in INITIAL:
                continue
            if name in FILES or name in ('type', '_scope_'):
                yield name, item
            else:
                yield from _leaves(item, name)
    elif isinstance(value, (list, tuple, set, frozenset)):
        if len(value) > LAYERS:
            raise ValueError(f'{_shown(key)} has {len(value)} items')
        for item in value:
            yield from _leaves(item, key)
    else:
        yield key, value


def _shown(value: Any) -> str:
    return printable(f'{value!r:.60}')
