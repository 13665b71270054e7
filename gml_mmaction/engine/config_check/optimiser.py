"""The optimiser wrapper of a config."""

import difflib
from collections.abc import Callable
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.io.rules import OBJECT, one_of

from .keywords import check_keywords
from .names import find_class
from .values import FACTOR, POSITIVE, check_rules, check_value

# What MMEngine's own constructor of optimisers reads of paramwise_cfg.
PARAMWISE = {
    'custom_keys': OBJECT,
    'bypass_duplicate': one_of(True, False),
    **dict.fromkeys(('bias_lr_mult', 'dcn_offset_lr_mult'), FACTOR),
    **dict.fromkeys(('bias_decay_mult', 'norm_decay_mult'), FACTOR),
    **dict.fromkeys(('flat_decay_mult', 'dwconv_decay_mult'), FACTOR),
}
FACTORS = dict(lr_mult=FACTOR, decay_mult=FACTOR)
OWN_CONSTRUCTOR = 'DefaultOptimWrapperConstructor'


def check_optimising(node: dict, place: str) -> None:
    """Check the constructor, and what only the first step would read."""
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_

    if isinstance(node.get('constructor'), str):
        find_class(
            dict(type=node['constructor']),
            place,
            'OPTIM_WRAPPER_CONSTRUCTORS',
            '.constructor',
        )
    if node.get('constructor', OWN_CONSTRUCTOR) == OWN_CONSTRUCTOR:
        _check_paramwise(node.get('paramwise_cfg'), f'{place}.paramwise_cfg')
    clip, place = node.get('clip_grad'), f'{place}.clip_grad'
    if not isinstance(clip, dict):
        return

    kinds: dict[str, Callable] = dict(
        norm=clip_grad_norm_, value=clip_grad_value_
    )
    kind = clip.get('type', 'norm')
    if kind not in kinds:
        raise SettingError(f'{place}.type={kind!r}. Remedy: norm or value')
    check_keywords(kinds[kind], clip, place, set())
    bound = dict(norm='max_norm', value='clip_value')[kind]
    if bound not in clip:
        raise SettingError(f'{place}.{bound} is missing. Remedy: give it')
    # with a bound below 0 the loss would rise
    check_value(clip[bound], f'{place}.{bound}', POSITIVE)


def _check_paramwise(node: Any, place: str) -> None:
    """Check what is known only by its key; MMEngine ignores other keys."""
    if node is None:
        return
    check_rules(node, place, PARAMWISE)
    for name, factors in (node.get('custom_keys') or {}).items():
        inner = f'{place}.custom_keys.{name}'
        check_value(factors, inner, OBJECT)
        for key in factors:
            # others are the optimiser's own, as betas are
            close = difflib.get_close_matches(key, FACTORS, 1, 0.8)
            if key in FACTORS:
                check_value(factors[key], f'{inner}.{key}', FACTOR)
            elif close:
                raise SettingError(
                    f'{inner}.{key}: no such setting. Remedy: {close[0]}'
                )
