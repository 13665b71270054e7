"""Damaged files give a result or one clear line, and touch nothing else.

    PYTHONPATH=.:tests python tests/fuzz/fuzz.py --inputs 10000

Each input is a small folder of whole files of one kind (``corpora.py``), of
which some are damaged (``mutate.py``), and what a tool does with it. It is a
finding if that

* raises another error than those meant for people, or one of several lines,
  with control characters, or that does not name the file;
* opens, lists, writes or removes anything outside the folder, imports what a
  file names, starts a program, connects to anything, takes more than 2 GB of
  memory (``watch.py``);
* gives a score by weights that do not fit, or other frames the second time;
* kills the process, or takes longer than ``--limit`` seconds.

The same seed gives the same inputs; ``--target NAME --only NUMBER`` repeats
one and shows its traceback.
"""

import argparse
import functools
import math
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path

import mutate
import numpy as np
import watch

MEMORY = 16 << 30  # address space of the process that reads


class Worker:
    """Tries inputs; lives in a process of its own."""

    def __init__(self):
        os.environ['GML_MAX_UNPACKED_MB'] = '50'
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        import torch._dynamo  # noqa: F401, makes a folder for its cache
        from corpora import TARGETS
        from mmengine.registry import init_default_scope

        init_default_scope('mmaction')
        self.targets = TARGETS
        self.guard = watch.Guard()
        self.whole = {}

    def try_one(self, folder, name, seed, number):
        """Return what came of an input and, of a finding, the particulars."""
        target = self.targets[name]
        root = Path(folder, 'case')
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        damaged = self._write(root, target, rng)
        outcome, text = 'read', ''
        inside = str(root / 'data'), str(root / 'out')
        outside = None if target.reads else root / mutate.OUTSIDE
        self.guard.watch(inside, target.reads, outside)
        try:
            target.read(root)
        except target.errors as error:
            outcome = 'refused'
            text = unclear(error, damaged if target.named else ())
        except BaseException:
            text = traceback.format_exc()
        touched = self.guard.stop()
        if touched:
            text = f'{text}\ntouched: {"; ".join(touched[:3])}'
        return ('finding', text) if text else (outcome, '')

    def _write(self, root, target, rng):
        """Write the whole files, damage some; return all their names."""
        if target not in self.whole:
            shutil.rmtree(root, ignore_errors=True)
            target.make(root)
            self.whole[target] = {
                path.relative_to(root): path.read_bytes()
                for path in sorted(root.rglob('*'))
                if path.is_file()
            }
        shutil.rmtree(root, ignore_errors=True)
        for path, data in self.whole[target].items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        self._write_outside(root / mutate.OUTSIDE)
        data = root / 'data'
        names = [path.name for path in data.rglob('*.*') if path.is_file()]
        files = sorted(data.glob(target.files))
        files = [path for path in files if path.is_file()]
        for index in rng.permutation(len(files))[: 1 + (rng.random() < 0.2)]:
            target.damage(rng, files[index])
        return names

    def _write_outside(self, folder):
        """Write what would be read, were it not outside."""
        folder.mkdir()
        for name, data in secrets().items():
            (folder / name).write_bytes(data)


@functools.cache
def secrets():
    """A video, an image, a module: by name."""
    import media
    import videos

    with tempfile.TemporaryDirectory() as scratch:
        path = videos.write(Path(scratch, 'a.ts'), videos.numbered(4))
        video = path.read_bytes()
    names = ('secret', 'secret.mp4', 'secret.ts', 'secret.pth')
    return {
        **dict.fromkeys(names, video),
        'secret.png': media.picture(9),
        'bait.py': b'raise SystemExit',
    }


def unclear(error, names):
    """Say what makes an error no clear line; '' if nothing does."""
    message = str(error)
    kind = type(error).__name__
    if not message or not message.isprintable():
        return f'{kind} is no line of text: {message!r:.300}'
    if names and not any(name in message for name in names):
        return f'{kind} names no file: {message:.300}\n' + ''.join(
            traceback.format_exception(error)[-3:]
        )
    return ''


def serve(pipe, kind):
    """Try what is asked for; runs in a process of its own."""
    for descriptor in (1, 2):  # decoders and loggers have much to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    worker = kind()
    with tempfile.TemporaryDirectory() as folder:
        pipe.send('ready')
        while (question := pipe.recv()) is not None:
            pipe.send(worker.try_one(folder, *question))


class Tries:
    """Asks a worker, and starts another when it dies or hangs."""

    def __init__(self, limit=20.0, worker=Worker):
        self.limit, self.worker = limit, worker
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def one(self, name, seed, number):
        if self.process is None:
            self._start()
        self.pipe.send((name, seed, number))
        try:
            if self.pipe.poll(self.limit):
                return self.pipe.recv()
            self._end()
            return 'finding', f'hangs: more than {self.limit} seconds'
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            self._end()
            return 'finding', f'the process died, exit code {code}'

    def _start(self):
        context = multiprocessing.get_context('spawn')
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, self.worker), daemon=True
        )
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def _end(self):
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def plan(names, inputs):
    """How many inputs each target gets, by its share."""
    from corpora import TARGETS

    total = sum(TARGETS[name].share for name in names)
    return {
        name: math.ceil(inputs * TARGETS[name].share / total) for name in names
    }


def fuzz(names, inputs, *, seed=0, seconds=float('inf'), limit=20.0, least=0):
    """Try inputs of all targets in turn.

    Args:
        least: How many of each target are tried, however long it takes.

    Returns:
        Outcomes by target, and the findings: (target, number, text).
    """
    end = time.monotonic() + seconds
    counts = plan(names, inputs)
    outcomes = {name: Counter() for name in names}
    findings = []
    # in turn, so that little time is divided among all
    questions = sorted(
        (number >= least, (number + 0.5) / count, name, number)
        for name, count in counts.items()
        for number in range(count)
    )
    with Tries(limit) as tries:
        for more, _, name, number in questions:
            if more and time.monotonic() > end:
                break
            outcome, text = tries.one(name, seed, number)
            outcomes[name][outcome] += 1
            if outcome == 'finding':
                findings.append((name, number, text))
    return outcomes, findings


def main():
    from corpora import TARGETS

    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--inputs', type=int, default=10_000, help='of all targets')
    add('--seconds', type=float, default=float('inf'), help='then stop')
    add('--limit', type=float, default=20.0, help='seconds an input may take')
    add('--seed', type=int, default=0)
    add('--target', nargs='+', choices=TARGETS, default=[*TARGETS])
    add('--only', type=int, metavar='NUMBER', help='one input of a target')
    args = parser.parse_args()
    began = time.monotonic()
    if args.only is not None:
        with Tries(args.limit) as tries:
            print(*tries.one(args.target[0], args.seed, args.only), sep='\n')
        return 0
    outcomes, findings = fuzz(
        *(args.target, args.inputs),
        seed=args.seed,
        seconds=args.seconds,
        limit=args.limit,
    )
    for name, number, text in findings:
        print(f'{name} --seed {args.seed} --only {number}: {text.strip()}\n')
    for name, counts in outcomes.items():
        print(name, *(f'{key} {value}' for key, value in counts.items()))
    total = sum(sum(counts.values()) for counts in outcomes.values())
    spent = time.monotonic() - began
    print(f'{total} inputs, {len(findings)} findings, {spent:.0f} s')
    return int(bool(findings))


if __name__ == '__main__':
    sys.exit(main())
