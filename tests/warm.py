"""A Python that starts at once: the package is imported beforehand.

A fresh interpreter imports for three seconds of CPU. A server imports once,
computes nothing and forks for each program that is run by :func:`python`, a
script that hands over its arguments, environment, folder, open files
and network, passes signals on and ends as the program does. So a command, a
shell script or torchrun gets a process for each of its programs as ever; only
the import is shared. What is tried because of the start itself, or by the
number of the process, needs ``sys.executable``.
"""

import atexit
import contextlib
import ctypes
import faulthandler
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from multiprocessing import forkserver
from pathlib import Path

import numpy as np

IMPORTED = (
    'gml_mmaction.apis',
    'gml_mmaction.cli.prepare',
    'gml_mmaction.cli.test',
    'gml_mmaction.cli.train',
    'matplotlib.backends.backend_agg',
    'matplotlib.pyplot',
    'mmaction.datasets.transforms',
    'setuptools',
    'sklearn.metrics',
    'torch.distributed.run',
)
RELAY = """#!{python} -IS
import array, json, os, signal, socket, sys

request = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
files = socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2])
server.sendmsg([len(request).to_bytes(8, 'big')], [files])
server.sendall(request)
for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT:
    signal.signal(number, lambda number, _: server.send(bytes([number])))
for file in 0, 1, 2:  # which end with the program, not with this one
    os.close(file)
status = server.recv(4)
code = int.from_bytes(status, 'big', signed=True) if status else 1
if code < 0:
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""
SERVERS = []  # their numbers
SHARED = 'GML_WARM_PYTHON'


@functools.cache
def python(folder='', *imported):
    """Return the path of the script; its first call starts the server.

    Args:
        folder: Where the package is imported from, instead of here.
        *imported: What is imported, instead of :data:`IMPORTED`.
    """
    if not hasattr(os, 'pidfd_open'):  # not Linux: an ordinary Python
        return sys.executable
    shared = not folder and not imported
    if shared and SHARED in os.environ:  # of who has started this one
        return os.environ[SHARED]
    own = tempfile.TemporaryDirectory(prefix='warm-')
    address = str(Path(own.name, 'socket'))
    script = Path(own.name, 'python')
    script.write_text(RELAY.format(python=sys.executable, address=address))
    script.chmod(0o755)
    paths = filter(None, [str(folder), *sys.path])
    server = subprocess.Popen(
        [sys.executable, __file__, address, *imported],
        env=os.environ | {'PYTHONPATH': os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdout.readline() == b'ready\n'
    SERVERS.append(server.pid)
    if shared:
        os.environ[SHARED] = str(script)
    atexit.register(own.cleanup)
    atexit.register(server.communicate)  # first: it closes what serve() reads
    return str(script)


def cpu_seconds():
    """CPU time of all programs that have ended, and of pools' processes."""
    pools = forkserver._forkserver._forkserver_pid  # no public name
    ticks = 0
    for server in [*SERVERS, pools] if pools else SERVERS:
        with contextlib.suppress(FileNotFoundError):
            text = Path(f'/proc/{server}/stat').read_text()
            fields = text.rpartition(')')[2].split()
            ticks += sum(map(int, fields[13:15]))  # cutime and cstime
    return ticks / os.sysconf('SC_CLK_TCK')


def import_all(names=IMPORTED):
    """Import what most programs import, for the forks of this process."""
    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or each collection in a fork looks through all of it


def serve(address, *imported):
    """Fork for each request until the standard input is closed.

    Returns:
        In a fork, the arguments of the program that it is to be.
    """
    import_all(imported or IMPORTED)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    os.write(1, b'ready\n')
    programs = {}  # by the file that says that it has ended
    relays = {}
    while True:
        ready, _, _ = select.select([0, listener, *programs, *relays], [], [])
        if 0 in ready:
            sys.exit()
        for ended in set(ready) & set(programs):
            program, relay = programs.pop(ended)
            relays.pop(relay, None)
            end(program, relay)
            os.close(ended)
        for relay in set(ready) & set(relays):
            pass_on(relay, relays)
        if listener in ready:
            relay, _ = listener.accept()
            request, files = receive(relay)
            if not request:
                continue
            program = os.fork()
            os.setpgid(program, 0)  # whoever of the two is the first
            if program == 0:
                break
            for file in files:
                os.close(file)
            programs[os.pidfd_open(program)] = program, relay
            relays[relay] = program
    join_network(relay)
    take(files, leave=(listener, *relays, relay))
    return request


def join_network(relay):
    """Be in the network namespace of the relay, which waits."""
    peer = relay.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    network = Path(f'/proc/{struct.unpack("3i", peer)[0]}/ns/net')
    if not network.samefile('/proc/self/ns/net'):
        with network.open() as file:
            library = ctypes.CDLL(None, use_errno=True)
            if library.setns(file.fileno(), 0):
                raise OSError(ctypes.get_errno(), f'setns {network}')


def take(files, leave):
    """Make files the standard ones; leave those of the server."""
    for file in leave:
        file.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)


def receive(relay):
    """What a program is to be, and its first three files; else nothing."""
    size, files, _, _ = socket.recv_fds(relay, 8, 3)
    with relay.makefile('rb') as stream:
        request = stream.read(int.from_bytes(size, 'big'))
    return json.loads(request or 'null'), files


def pass_on(relay, relays):
    """Give a program the signals of its relay; end it with that."""
    number = b''
    with contextlib.suppress(ConnectionError):
        number = relay.recv(1)
    if number:
        os.kill(relays[relay], number[0])
    else:
        os.killpg(relays.pop(relay), signal.SIGKILL)


def end(program, relay):
    """Tell a relay how its program ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    with relay, contextlib.suppress(ConnectionError):
        relay.send(code.to_bytes(4, 'big', signed=True))


def run(arguments, environment, folder):
    """Be the program, as Python would with these arguments."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # until TMPDIR has been looked at
    np.random.seed()  # or all forks draw the same
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, 'w', closefd=False)
    sys.stderr = os.fdopen(
        *(2, 'w', 1), errors='backslashreplace', closefd=False
    )
    if environment.get('PYTHONFAULTHANDLER'):
        faulthandler.enable()
    while arguments[0] == '-u':
        arguments = arguments[1:]
        sys.stdout.reconfigure(write_through=True)
    added = environment.get('PYTHONPATH', '').split(os.pathsep)
    sys.path[:1] = [path for path in added if path not in ('', *sys.path)]
    first, *rest = sys.argv = arguments
    sys.orig_argv = [sys.executable, *arguments]
    name = ''
    if first in ('-c', '-m'):
        name, *rest = rest
        sys.argv = [first, *rest]
    package = sys.modules.get('gml_mmaction')
    if package:  # what its import would find
        package.COMMAND = package.host.starts_a_command()
    if name:
        sys.path.insert(0, folder)
        if first == '-c':
            exec(compile(name, '<string>', 'exec'), {'__name__': '__main__'})
        else:
            sys.modules.pop(name, None)
            runpy.run_module(name, run_name='__main__', alter_sys=True)
    else:
        sys.path.insert(0, str(Path(first).resolve().parent))
        runpy.run_path(first, run_name='__main__')


def leave(code):
    """Exit, but take nothing apart: that takes a third of a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code or 0)


if __name__ == '__main__':
    request = serve(*sys.argv[1:])
    code = None
    try:
        run(*request)
    except SystemExit as end:
        if isinstance(end.code, str):  # to be printed
            raise
        code = end.code
    leave(code)
