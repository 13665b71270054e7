"""One run at a time in a folder.

The lock is the operating system's, on a file in the folder. It ends with the
process, so a killed run blocks nobody. It is a record lock (``fcntl.lockf``):
processes that a run has forked do not keep it, and NFS shares it between
machines. On a file system without locks (some of Lustre, SMB, FUSE) and on a
system without ``fcntl`` (Windows) there is no protection.
"""

import contextlib
import errno
import importlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from gml_mmaction.errors import GMLError

from .files import read_json
from .text import printable

fcntl: ModuleType | None
try:
    fcntl = importlib.import_module('fcntl')
except ImportError:
    fcntl = None

__all__ = ['FolderInUseError', 'hold']

_HELD: set[Path] = set()  # a record lock does not lock out its own process
_GUARD = threading.Lock()


class FolderInUseError(GMLError, OSError):
    """Another run writes to the folder; the message says which."""


@contextlib.contextmanager
def hold(folder: str | Path, what: str) -> Iterator[None]:
    """Keep other runs of a kind out of a folder, which is made if absent.

    Args:
        folder: Where the run writes.
        what: The kind in a word, 'training'; runs of another kind may share
            the folder.

    Raises:
        FolderInUseError: Another run of the kind holds it.
        OSError: The folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / f'.{what}.lock'
    with _GUARD:
        if path in _HELD:  # opening the file would release the lock
            raise _in_use(folder, what, f'this process, {os.getpid()}')
        file = _lock(folder, what, path)
        _HELD.add(path)
    try:
        yield
    finally:
        with _GUARD:
            _HELD.discard(path)
            with contextlib.suppress(OSError):  # the folder may be gone
                path.unlink()
            os.close(file)


def _lock(folder: Path, what: str, path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock_file(file)
            if _is_still(file, path):
                holder = dict(
                    process=os.getpid(),
                    host=socket.gethostname(),
                    since=time.strftime('%Y-%m-%d %H:%M:%S'),
                )
                os.ftruncate(file, 0)
                os.pwrite(file, json.dumps(holder).encode(), 0)
                return file
        except BlockingIOError:
            os.close(file)
            raise _in_use(folder, what, _holder(path)) from None
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the run before has just ended and removed it


def _lock_file(file: int) -> None:
    if fcntl is None:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise BlockingIOError from None
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def _is_still(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        known = read_json(path)
        words = (known['process'], known['host'], known['since'])
    except (OSError, ValueError, TypeError, KeyError):
        return 'which has just begun'
    return 'process {} on {}, since {}'.format(*map(printable, words))


def _in_use(folder: Path, what: str, holder: str) -> FolderInUseError:
    return FolderInUseError(
        f'{folder}: another {what} is running there ({holder:.200}). '
        'Remedy: wait until it has ended, or write to another folder'
    )
