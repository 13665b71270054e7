"""``_base_ = 'gml_mmaction::gml_xception_ffpp.py'`` in a config."""

import functools
from pathlib import Path
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.io.text import printable

from .workaround import HOME, Workaround, mark

PREFIX = 'gml_mmaction::'


def configs_folder() -> Path:
    """The folder of configs in a wheel, placed as OpenMMLab's, or a clone."""
    mim = HOME / '.mim'
    return (mim if mim.is_dir() else HOME.parent) / 'configs'


def own_config(name: str) -> str:
    """The file of ``gml_mmaction::NAME``; any other name unchanged.

    Raises:
        SettingError: There is no config with that name.
    """
    if not name.startswith(PREFIX):
        return name
    path = configs_folder() / name.removeprefix(PREFIX)
    if not path.is_file():
        raise SettingError(
            f'{printable(name)}: no such config. Remedy: the name of a file '
            f'in {configs_folder()}, as in {PREFIX}gml_xception_ffpp.py'
        )
    return str(path)


def find_config(name: str) -> Path:
    """What a command line calls a config.

    A file, or one of ours by its name, ``baselines/xception_ffpp`` or
    ``gml_mmaction::baselines/xception_ffpp.py``.

    Raises:
        SettingError: As :func:`own_config`.
    """
    named = configs_folder() / f'{name}.py'
    if named.exists() and not Path(name).exists():
        return named
    return Path(own_config(name))


def find_own_configs() -> None:
    """Let a config inherit one of this package by its name.

    Upstream: MMEngine's ``_get_package_and_cfg_path`` knows only OpenMMLab's
    packages, and needs a folder in the name. No report upstream is known to
    us. The registries are MMAction2's: our configs have no scope of their own.
    """
    from mmengine.config import Config

    given = Config._get_cfg_path
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def get_cfg_path(cfg_path: str, filename: str) -> Any:
        if not cfg_path.startswith(PREFIX):
            return given(cfg_path, filename)
        try:
            return own_config(cfg_path), None
        except SettingError as error:
            raise SettingError(f'{filename}: _base_ {error}') from None

    mark(get_cfg_path, __name__)
    Config._get_cfg_path = staticmethod(get_cfg_path)


def _why_own_configs() -> str:
    from mmengine.config.utils import MODULE2PACKAGE

    known = 'gml_mmaction' in MODULE2PACKAGE
    return '' if known else 'the installed MMEngine does not know the package'


WORKAROUNDS = (
    Workaround(
        'names of configs, gml_mmaction::NAME',
        'mmengine/config/utils.py, _get_package_and_cfg_path',
        _why_own_configs,
        find_own_configs,
    ),
)
