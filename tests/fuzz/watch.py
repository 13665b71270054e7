"""Notices what leaves the folders that may be touched.

Python's audit hook sees what Python opens, starts and connects to, a finder
what it imports.
What a decoder opens by itself is seen by inotify, in one folder that nobody
may touch, and a connection of its own at a port that nobody may meet.
"""

import contextlib
import ctypes
import os
import re
import socket
import struct
import sys
import sysconfig
from pathlib import Path

REPO = Path(__file__).parents[2]
LISTENER = socket.create_server(('127.0.0.1', 0))
LISTENER.setblocking(False)
ADDRESS = f'127.0.0.1:{LISTENER.getsockname()[1]}'
BAIT = ('antigravity', 'this', 'bait')  # modules that nobody may import
CODE = (
    *{sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()},
    str(REPO),
    *('/dev/null', '/dev/urandom', '/proc/', '/sys/'),
)
PATHS = {
    'open': 1,
    'os.chdir': 1,
    'os.chmod': 1,
    'os.chown': 1,
    'os.listdir': 1,
    'os.scandir': 1,
    'os.mkdir': 1,
    'os.rmdir': 1,
    'os.remove': 1,
    'os.rename': 2,
    'os.link': 2,
    'os.symlink': 2,
    'os.truncate': 1,
    'os.utime': 1,
    'shutil.rmtree': 1,
    'sqlite3.connect': 1,
}
FORBIDDEN = (
    *('os.system', 'os.exec', 'os.spawn', 'os.posix_spawn', 'os.startfile'),
    *('os.fork', 'os.forkpty', 'pty.spawn', 'subprocess.Popen'),
    *('socket.connect', 'socket.bind', 'socket.getaddrinfo'),
    *('socket.gethostbyname', 'socket.sendto', 'socket.sendmsg'),
    *('urllib.Request', 'ftplib.connect', 'http.client.connect'),
    *('smtplib.connect', 'webbrowser.open'),
)
# MMEngine's runner writes their answers into the log.
COMPILER = (sysconfig.get_config_var('CC') or 'cc').split()[0]
PROGRAMS = (
    ['/bin/sh', '-c', f'{os.path.basename(COMPILER)} --version'],
    ['git', 'rev-parse', 'HEAD'],
)
OPENED = 0x20 | 0x2 | 0x100 | 0x200  # inotify: open, modify, create, delete
MOST_MEMORY = 2 << 20  # kB that one input may add at its peak


class Guard:
    """Notes what leaves the folders that may be touched."""

    def __init__(self):
        self.allowed, self.found = None, []
        self.folder = _Watched()
        sys.addaudithook(self._see)
        sys.meta_path.insert(0, self)

    def watch(self, allowed, reads=(), untouched=None):
        """Begin; ``allowed`` and ``reads`` are prefixes of paths."""
        self.folder.begin(untouched)
        self.path, self.memory = list(sys.path), memory_now()
        self.allowed, self.reads, self.found = allowed, reads, []

    def stop(self):
        """Return what was noted, a line each."""
        self.allowed = None
        self.found += [f'opened {name!r}' for name in self.folder.end()]
        if _met():
            self.found.append(f'a connection to {ADDRESS}')
        if sys.path != self.path:
            self.found.append(f'sys.path: {set(sys.path) - set(self.path)}')
            sys.path[:] = self.path
        if (peak := memory_peak()) > self.memory + MOST_MEMORY:
            self.found.append(f'{peak >> 10} MB of memory')
        return self.found

    def find_spec(self, name, *_):
        """Be asked by Python for a module, as the first finder; find none."""
        if self.allowed is not None and name.partition('.')[0] in BAIT:
            self.found.append(f'import {name}')

    def _see(self, event, arguments):
        if self.allowed is None:
            return
        if event in FORBIDDEN and not _is_expected(event, arguments):
            self.found.append(f'{event} {arguments!r:.100}')
        for path in arguments[: PATHS.get(event, 0)]:
            if isinstance(path, (str, bytes, os.PathLike)):
                place = os.path.abspath(os.fsdecode(path))
                reads = self.reads if _only_reads(event, arguments) else ()
                if not place.startswith((*self.allowed, *reads, *CODE)):
                    self.found.append(f'{event} {place[:100]!r}')


class _Watched:
    """A folder in which the system notes what is opened, by whatever code."""

    def __init__(self):
        self.system = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self.events = self.system.inotify_init1(flags)
        self.watched = -1

    def begin(self, folder):
        if folder is not None:
            path = os.fsencode(folder)
            self.watched = self.system.inotify_add_watch(
                self.events, path, OPENED
            )

    def end(self):
        """Return the names of what was opened or changed in the folder."""
        if self.watched < 0:
            return []
        try:
            data = os.read(self.events, 1 << 16)
        except BlockingIOError:
            data = b''
        self.system.inotify_rm_watch(self.events, self.watched)
        self.watched, names, at = -1, [], 0
        while at < len(data):
            _, _, _, length = struct.unpack_from('iIII', data, at)
            name = data[at + 16 : at + 16 + length].rstrip(b'\0')
            names.append(os.fsdecode(name))
            at += 16 + length
        _drain(self.events)  # the end of the watch is an event, too
        return list(dict.fromkeys(names))


def _drain(descriptor):
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, 1 << 16)


def _met():
    """Whether somebody has connected to the port."""
    try:
        LISTENER.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def memory_now():
    """What this process has, in kB; its peak is from now on."""
    Path('/proc/self/clear_refs').write_text('5')
    return _memory('VmRSS')


def memory_peak():
    """The most that it has had since, in kB."""
    return _memory('VmHWM')


def _memory(kind):
    status = Path('/proc/self/status').read_text()
    return int(re.search(rf'{kind}:\s+(\d+) kB', status)[1])


def _is_expected(event, arguments):
    return event == 'subprocess.Popen' and arguments[1] in PROGRAMS


def _only_reads(event, arguments):
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    listed = event in ('os.listdir', 'os.scandir')
    return listed or (event == 'open' and not arguments[2] & writes)
