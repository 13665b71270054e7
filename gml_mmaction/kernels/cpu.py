"""The compiled part of the fast path: motion.c, if someone has built it.

::

    python -m gml_mmaction.kernels.build

compiles it with the machine's C compiler (``CC``, or ``cc``) into the user's
cache (``XDG_CACHE_HOME``, or ``~/.cache``) in a second; models use it from
then on. Nothing is compiled unasked, and without it :mod:`.fast_motion` does
with PyTorch's operators. ``GML_NATIVE=0`` leaves it out.

The name of the library holds a hash of the source and what the processor
can do, so that an outdated or foreign one is never loaded.
"""

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

__all__ = ['build', 'call', 'library_path', 'ready']

SOURCE = Path(__file__).with_name('motion.c')
FLAGS = ('-O3', '-std=gnu11', '-fPIC', '-shared', '-fopenmp', '-Wno-psabi')
# What PyTorch says that the processor can do, in a compiler's words.
CAPABILITIES = {
    'AVX2': ('-mavx2', '-mfma'),
    'AVX512': (
        *('-mavx512f', '-mavx512vl', '-mavx512dq', '-mavx512bw', '-mfma'),
        '-mprefer-vector-width=512',
    ),
}


def flags() -> tuple[str, ...]:
    """The compiler's options for this machine."""
    capability = torch.backends.cpu.get_cpu_capability()
    return (*FLAGS, *CAPABILITIES.get(capability, ()))


def library_path() -> Path:
    """Where the library of this source and machine is, or would be."""
    words = ' '.join((platform.machine(), *flags())).encode()
    key = hashlib.sha256(SOURCE.read_bytes() + words).hexdigest()[:16]
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache) / 'gml_mmaction' / f'motion-{key}.so'


def build() -> Path:
    """Compile the library; it appears whole or not at all.

    Raises:
        OSError: There is no compiler.
        subprocess.CalledProcessError: The compiler failed.
    """
    path = library_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder) / path.name
        compiler = os.environ.get('CC', 'cc')
        subprocess.run(
            [compiler, *flags(), str(SOURCE), '-lm', '-o', str(new)],
            check=True,
            capture_output=True,
            text=True,
        )
        new.replace(path)
    return path


@functools.cache
def _library() -> ctypes.CDLL | None:
    if os.environ.get('GML_NATIVE') == '0':
        return None
    try:
        return ctypes.CDLL(str(library_path()))
    except OSError:
        return None


def ready() -> bool:
    """Whether the library is built and can be loaded."""
    return _library() is not None


def call(
    name: str,
    tensors: Sequence[Tensor | None],
    numbers: Sequence[float | int],
) -> None:
    """Call a function of the library.

    Args:
        name: Of the function.
        tensors: Its first arguments: float32, dense in the order that
            motion.c says, or None for its NULL.
        numbers: The rest of them, as motion.c has them: doubles and longs.

    Raises:
        MemoryError: There is none left.
    """
    function = getattr(_library(), name)
    if function.argtypes is None:
        kinds = {float: ctypes.c_double, int: ctypes.c_long}
        pointers = [ctypes.c_void_p] * len(tensors)
        function.argtypes = [*pointers, *(kinds[type(n)] for n in numbers)]
    found = [None if each is None else each.data_ptr() for each in tensors]
    if function(*found, *numbers):
        raise MemoryError(f'{name}: no memory for its rows')
