"""A device with too little memory: one line instead of a traceback."""

import contextlib
import gc
import re
from collections.abc import Callable, Iterator

import torch

from gml_mmaction.errors import GMLError

__all__ = ['ShortageError', 'telling_shortage']

# What allocators and cuDNN say.
SHORTAGE = re.compile(
    "out of memory|DefaultCPUAllocator|can't allocate memory|ALLOC_FAILED"
)


class ShortageError(GMLError, MemoryError):
    """A batch does not fit the device's memory."""


@contextlib.contextmanager
def telling_shortage(explain: Callable[[], str]) -> Iterator[None]:
    """Let a device that is too small be one line.

    Args:
        explain: Returns the line; called when the memory is free again.

    Raises:
        ShortageError: In place of an allocator's error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        lacks = isinstance(error, torch.OutOfMemoryError | MemoryError)
        told = isinstance(error, GMLError)
        if told or not (lacks or SHORTAGE.search(str(error))):
            raise
    else:
        return
    # Outside of the handler: the error's frames hold the batch's tensors.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise ShortageError(explain()) from None
