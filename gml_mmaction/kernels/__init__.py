"""Networks computed faster: the same weights and numbers, other code.

``models/`` says what is computed; nothing there knows of this package.
:func:`accelerate` makes a built model faster, :func:`plain` undoes it.
"""

from .twins import accelerate, plain

__all__ = ['accelerate', 'plain']
