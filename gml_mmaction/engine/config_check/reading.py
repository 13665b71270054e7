"""A config's file, and the options of a command line that change it."""

import copy
import difflib
import inspect
import os
from collections.abc import Sequence
from typing import Any

from gml_mmaction.errors import GMLError, SettingError
from gml_mmaction.io.text import one_line

from ..settings import LOADERS, set_clip_len
from .names import REGISTRIES
from .places import equals, within

CLIP_LEN = 'clip_len'


def read_settings(path: str | os.PathLike) -> Any:
    """The ``mmengine.Config`` of a file, which is run as a program.

    Raises:
        SettingError: It does not exist, or MMEngine cannot read it; the
            message names the file.
        OSError: The system does not allow reading it.
    """
    from mmengine.config import Config

    if not os.path.isfile(path):
        raise SettingError(
            f'{path}: no such config. Remedy: a file such as '
            'configs/gml_xception_ffpp.py'
        )
    try:
        return Config.fromfile(path)
    except (GMLError, OSError):
        raise
    except Exception as error:  # it is a program, which may raise anything
        what = f'{type(error).__name__}: {one_line(error)}'
        raise SettingError(
            f'{path} cannot be read ({what:.300}). Remedy: mend it; its '
            'lines run as Python'
        ) from error


def change_settings(cfg: Any, options: Sequence[str]) -> None:
    """Apply options of a command line, as MMEngine's tools read them.

    ``clip_len=16`` is no place but all of them (:func:`.set_clip_len`).

    Args:
        cfg: ``mmengine.Config``; changed in place.
        options: ``KEY=VALUE`` each, with dotted keys.

    Raises:
        SettingError: One is not an option, or there is nothing to change.
    """
    values = {}
    for option in options:
        place, sign, text = option.partition('=')
        if not (sign and all(place.split('.'))):
            raise SettingError(
                f'--cfg-options {option}: give KEY=VALUE, as in '
                'train_dataloader.batch_size=8'
            )
        if place == CLIP_LEN:
            set_clip_len(cfg, _parse_value(text, option))
            continue
        _check_first(place, cfg)
        _check_variable(place, cfg)
        values[place] = _parse_value(text, option)
    for place, value in values.items():
        _check_merge(copy.deepcopy(cfg), place, value)
    # All at once: one may set _delete_=True on what others then set.
    cfg.merge_from_dict(values)


def _check_variable(place: str, cfg: Any) -> None:
    """Refuse a variable of a config's file, used where the file was read."""
    from mmengine.runner import Runner

    name, _, rest = place.partition('.')
    read = {*inspect.signature(Runner).parameters, *REGISTRIES, *LOADERS}
    if name in read or name not in cfg:
        return
    used = [
        f'{at}.{rest}' if rest else at
        for key in read.intersection(cfg)
        for at, value in within(cfg[key], key)
        if type(value) is type(cfg[name])
        and equals(value, cfg[name])
        and (at.endswith(f'.{name}') or (value and not _is_number(value)))
    ]
    if used:
        data = '--data FOLDER, or ' if name == 'data_root' else ''
        raise SettingError(
            f'--cfg-options {place}: a variable of the config file; '
            'changing it now does not change the settings made from it. '
            f'Remedy: {data}{" and ".join(sorted(used))}'
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _check_merge(cfg: Any, place: str, value: Any) -> None:
    given = dict(within({**cfg}, '')).get(f'.{place}')
    if isinstance(given, dict) and isinstance(value, str | int | float):
        raise SettingError(
            f'--cfg-options {place}={value!r:.60}: this place holds '
            f'several settings, not one value. Remedy: {place}.KEY=VALUE'
        )
    try:
        cfg.merge_from_dict({place: value})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingError(
            f'--cfg-options {place}={value!r:.60}: {one_line(error):.120}. '
            'Remedy: a place that the config has'
        ) from error


def _parse_value(text: str, option: str) -> Any:
    from mmengine.config import DictAction

    try:
        return DictAction._parse_iterable(text)
    except RecursionError as error:  # of what Python could read
        raise SettingError(
            f'--cfg-options {option:.100}: not a value. Remedy: a key for '
            'each part, as in model.backbone.width=0.5'
        ) from error
    except (AssertionError, ValueError) as error:
        raise SettingError(
            f'--cfg-options {option:.100}: {one_line(error):.200}'
        ) from error


def _check_first(place: str, cfg: Any) -> None:
    """Refuse a place whose first word is a misspelt setting."""
    known = {*cfg, *REGISTRIES, *LOADERS}
    first = place.split('.')[0]
    close = difflib.get_close_matches(first, known, 1, 0.75)
    if first not in known and close:
        raise SettingError(
            f'{place}: no such setting. Remedy: '
            f'{place.replace(first, close[0], 1)}'
        )
