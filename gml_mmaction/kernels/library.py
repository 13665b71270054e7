"""The compiled kernel: csrc/, if someone has built it.

::

    python -m gml_mmaction.kernels.build

compiles it with the machine's C compiler (``CC``, or ``cc``) into the user's
cache (``XDG_CACHE_HOME``, or ``~/.cache``) in seconds; models use it from
then on. Nothing is compiled unasked, and without it PyTorch's
operators do the work (:mod:`.operators`). ``GML_NATIVE=0`` leaves it out.

The name of the library holds a hash of the source and what the processor
can do, so that an outdated or foreign one is never loaded.

The structures are those of ``csrc/block.h``.
"""

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

__all__ = [
    'Inner',
    'Options',
    'Shape',
    'Weights',
    'build',
    'call',
    'library_path',
    'ready',
]

SOURCE = Path(__file__).with_name('csrc')
FLAGS = (
    *('-O3', '-std=gnu11', '-fPIC', '-shared', '-fopenmp', '-Wno-psabi'),
    '-fvisibility=hidden',  # but for what is called from here
)
# What PyTorch says that the processor can do, in a compiler's words.
CAPABILITIES = {
    'AVX2': ('-mavx2', '-mfma'),
    'AVX512': (
        *('-mavx512f', '-mavx512vl', '-mavx512dq', '-mavx512bw', '-mfma'),
        '-mprefer-vector-width=512',
    ),
}


class Shape(ctypes.Structure):
    """Of x: N clips, T frames, H, W, C."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in ('clips', 'frames', 'height', 'width', 'channels')
    ]


class Options(ctypes.Structure):
    """What is computed of x, and by how many threads."""

    _fields_ = [
        ('x', Shape),
        ('columns', ctypes.c_long),
        ('orders', ctypes.c_long),
        ('rectify', ctypes.c_long),
        ('batch', ctypes.c_long),
        ('threads', ctypes.c_long),
        ('eps', ctypes.c_double),
    ]


class Tensors(ctypes.Structure):
    """Addresses of tensors, float32 and dense; None for NULL.

    The tensors have to live as long as the structure is used.
    """

    def __init__(self, *tensors: Tensor | None) -> None:
        super().__init__(*map(_address, tensors))


class Weights(Tensors):
    """Weights of a block, or their gradients; of CSTM alone, the first two."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in (
            *('temporal', 'spatial', 'reduce', 'expand', 'k_pm'),
            *('norm_weight', 'norm_bias'),
        )
    ]


class Inner(Tensors):
    """What is between a block's input and output, or its gradients."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ('reduced', 'motion', 'mean', 'variance')
    ]


def flags() -> tuple[str, ...]:
    """The compiler's options for this machine."""
    capability = torch.backends.cpu.get_cpu_capability()
    return (*FLAGS, *CAPABILITIES.get(capability, ()))


def library_path() -> Path:
    """Where the library of this source and machine is, or would be."""
    words = ' '.join((platform.machine(), *flags()))
    found = hashlib.sha256(words.encode())
    for path in sorted(SOURCE.glob('*.[ch]')):
        found.update(path.read_bytes())
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    name = f'motion-{found.hexdigest()[:16]}.so'
    return Path(cache) / 'gml_mmaction' / name


def build() -> Path:
    """Compile the library; it appears whole or not at all.

    Raises:
        OSError: No compiler was found.
        subprocess.CalledProcessError: The compiler failed.
    """
    path = library_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder) / path.name
        compiler = os.environ.get('CC', 'cc')
        sources = map(str, sorted(SOURCE.glob('*.c')))
        subprocess.run(
            [compiler, *flags(), *sources, '-lm', '-o', str(new)],
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


def call(name: str, *arguments: Tensor | ctypes.Structure) -> None:
    """Call a function of the library.

    Args:
        name: Of the function.
        *arguments: Its own: tensors, float32 and dense in the order that
            csrc/ says, and structures.

    Raises:
        MemoryError: There is none left.
    """
    function = getattr(_library(), name)
    pointers = (
        ctypes.byref(each)
        if isinstance(each, ctypes.Structure)
        else ctypes.c_void_p(_address(each))
        for each in arguments
    )
    if function(*pointers):
        raise MemoryError(f'{name}: not enough memory for its rows')


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
