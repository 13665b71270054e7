"""Kill preparation at random moments until it has happened often enough.

Usage: kill_at_random.py FFPP FOLDER. Prepares into FOLDER/unbroken, then again
and again into FOLDER/killed, and prints as JSON what has happened.

A process that has imported everything forks the runs. Their workers are forked
as well: a fresh server of processes, as in use, would import the package for
seconds before the first video is begun.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import av  # noqa: F401
import dlib  # noqa: F401

from gml_mmaction.io import pool
from gml_mmaction.prepared.prepare import prepare_videos
from gml_mmaction.sources.ffpp import list_videos

KILLS = 20


def main(ffpp, folder):
    pool._context = lambda *_, **__: multiprocessing.get_context('fork')
    rng = random.Random(0)
    unbroken, out = folder / 'unbroken', folder / 'killed'
    start = time.monotonic()
    end(begin(ffpp, unbroken))
    duration = time.monotonic() - start
    groups, early = [], 0
    while len(groups) < KILLS:
        group = begin(ffpp, out)
        # half of it at most, so that most runs are hit, some several times
        if ends_within(rng.uniform(0, 0.5 * duration), group):
            shutil.rmtree(out)  # it was done: from the start
            continue
        early += not (out / 'manifest.json').exists()
        # by turns the machine, so to speak, and the process alone
        kill = os.killpg if len(groups) % 2 else os.kill
        kill(group, signal.SIGKILL)
        os.waitpid(group, 0)
        groups.append(group)
    end(begin(ffpp, out))
    told = {'kills': len(groups), 'kills_before_the_end': early}
    deadline = time.monotonic() + 20
    while count(groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    print(json.dumps({**told, 'processes_left': count(groups)}))


def begin(ffpp, out):
    """Fork a run with two workers, in a process group of its own."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        prepare_videos(
            list_videos(ffpp, methods=[]),
            out,
            source='ffpp',
            root=ffpp,
            workers=2,
        )
        status = 0
    finally:
        os._exit(status)


def end(pid):
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit(f'a run ended with status {status}')


def ends_within(seconds, pid):
    deadline = time.monotonic() + seconds
    while True:
        pid_ended, status = os.waitpid(pid, os.WNOHANG)
        if pid_ended:
            if status:
                raise SystemExit(f'a run ended with status {status}')
            return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(0.01, left))


def count(groups):
    """Number of processes of these groups that still run."""
    running = 0
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        running += int(fields[2]) in groups and fields[0] not in 'ZX'
    return running


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
