"""The C library's memory, kept from one step of a network to the next."""

import ctypes
import os

__all__ = ['keep_memory']

TOLD = (
    *('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'),
    'GLIBC_TUNABLES',
)
# Of glibc's malloc.h: (parameter, bytes).
TRIM = (-1, 2**31 - 1)
MMAP = (-3, 2**30)


def keep_memory() -> bool:
    """Let a CPU's tensors take the place of those that were freed before.

    glibc takes each block of more than 32 MiB anew from the system, which
    fills it with zeros page by page, and gives it back when it is freed: in a
    training with large activations a fifth of the time and more. Here blocks
    of up to 1 GiB share one heap, which keeps up to 2 GiB of free memory. For
    the same reason PyTorch's performance tuning guide proposes other
    allocators. A process that was told how to allocate
    (``MALLOC_MMAP_THRESHOLD_``, ``GLIBC_TUNABLES``) is left as it is.

    Returns:
        Whether it is so now; False with another C library.
    """
    if any(map(os.environ.get, TOLD)):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return all([mallopt(*MMAP), mallopt(*TRIM)])
