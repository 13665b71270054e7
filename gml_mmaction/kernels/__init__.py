"""Networks computed faster: the same weights and numbers, other code.

``models/`` says what is computed; nothing there knows of this package.
:func:`accelerate` makes a built model faster, :func:`plain` undoes it;
:func:`channels_last` changes the order of its weights in memory.
"""

from .layout import channels_last
from .twins import accelerate, plain

__all__ = ['accelerate', 'channels_last', 'plain']
