"""A detector and a running server, as the command starts it."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import warm
from tiny import REPO, write_detector

# Writes down its number and what Python listens on and connects to; then runs
# the tool.
WATCHED = """
import os, runpy, sys
print(os.getpid(), flush=True)
KNOWN = ('socket.__new__', 'socket.gethostname')
watched, tool = sys.argv.pop(1), sys.argv[1]
def hook(event, args):
    if event.startswith('socket.') and event not in KNOWN:
        with open(watched, 'a') as file:
            print(event, *args[1:], file=file)
sys.addaudithook(hook)
sys.argv = sys.argv[1:]
sys.path.insert(0, tool.rsplit('/', 1)[0])
runpy.run_path(tool, run_name='__main__')
"""


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory):
    """A tiny detector with its config, as training leaves it."""
    for name in ('nicegui', 'av', 'dlib'):
        pytest.importorskip(name)
    return write_detector(tmp_path_factory.mktemp('detector') / 'tiny.pth')


@pytest.fixture(scope='session')
def start_server(checkpoint, tmp_path_factory):
    """Start ``tools/web.py``; ends with the tests.

    Its attributes: url, process (which hands signals on to that of the number
    pid, and ends with it), temp (where its temporary folders are made)
    and connections (what it listened on and connected to).
    """
    servers = []

    def start(*options, temp=None, detector=checkpoint):
        folder = tmp_path_factory.mktemp('server')
        temp = temp or folder
        watched = folder / 'connections.txt'
        watched.touch()
        command = [warm.python(), '-c', WATCHED, str(watched)]
        command += [str(REPO / 'tools/web.py'), str(detector), '--port=0']
        log = (folder / 'log.txt').open('w+')
        process = subprocess.Popen(
            [*command, '--device=cpu', *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, 'TMPDIR': str(temp)},
            cwd=folder,
        )
        servers.append(process)
        number = process.stdout.readline()
        lines = iter(process.stdout.readline, '')
        url = next((one for one in lines if one.startswith('http://')), None)
        assert url, (folder / 'log.txt').read_text()
        return SimpleNamespace(
            url=url.split()[0],
            process=process,
            pid=int(number),
            temp=Path(temp),
            connections=watched.read_text,
            log=(folder / 'log.txt').read_text,
        )

    yield start
    for process in servers:
        process.kill()
        process.wait()


@pytest.fixture(scope='session')
def server(start_server):
    """One server that tests share; uploads up to 3 MB and 2 minutes."""
    return start_server('--max-mb=3', '--max-minutes=2')


@pytest.fixture(scope='session')
def wait_for():
    """Wait until a function returns something true; return that."""

    def wait(function, seconds=60):
        end = time.monotonic() + seconds
        while not (found := function()):
            assert time.monotonic() < end, f'waited {seconds} s in vain'
            time.sleep(0.05)
        return found

    return wait


@pytest.fixture(scope='session')
def stop():
    """End a server as Ctrl+C does; return its exit code."""

    def end(server, by=signal.SIGINT):
        server.process.send_signal(by)
        return server.process.wait(30)

    return end


@pytest.fixture(scope='session')
def inferencer(checkpoint):
    """The detector in this process, to compare with."""
    from gml_mmaction.apis import ForgeryInferencer

    return ForgeryInferencer(checkpoint, device='cpu')
