"""Find settings that a runner cannot be built from, and name their place.

There are two checks. :func:`check_config` reads a part of a config before
anything is built from it: names that no registry knows, keywords that a class
does not take, values of a wrong type. :func:`naming_settings` wraps the
building: an error of a constructor becomes one line with the dotted place of
the setting. The error's traceback shows which setting was being built, and
whether the setting is to blame: a constructor refused it, or the host's code
failed on it. Any other error is a bug of this project, or of the user's own
code, and keeps its traceback.

Importing this module needs nothing but the standard library.
"""

from .building import naming_settings
from .parts import FIRST, PHASES, check_config
from .reading import change_settings, read_settings

__all__ = [
    'FIRST',
    'PHASES',
    'change_settings',
    'check_config',
    'naming_settings',
    'read_settings',
]
