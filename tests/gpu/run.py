"""Everything for a GPU in less than 8 minutes: make gpu.

The benchmark comes first, layouts and then networks, alone on the GPU; then
the tests, three files at once. Each part has its own limit. After each part
``OUT/results.json`` and ``OUT/results.md`` are written anew, so that what was
measured is there even if the machine is taken away.

Usage::

    python tests/gpu/run.py [--out work_dirs/gpu] [--device cpu]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
REPO = HERE.parents[1]
WHOLE = 470  # seconds
# Name, seconds, and whether it has the GPU alone.
PARTS = [
    ('layouts', 70, True),
    ('systems', 150, True),
    ('test_blocks', 230, False),
    ('test_networks', 230, False),
    ('test_runs', 230, False),
]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=REPO / 'work_dirs/gpu')
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--parts', nargs='+', help='these alone')
    return parser.parse_args()


def command(name, limit, args):
    if not name.startswith('test'):
        out = args.out / f'{name}.json'
        bench = [str(HERE / 'bench.py'), name, str(out)]
        # A row may take long: stop asking for more well before the limit.
        return [*bench, '--seconds', str(limit - 20), '--device', args.device]
    options = ['-q', '-p', 'no:cacheprovider', '--timeout', str(limit)]
    return ['-m', 'pytest', *options, str(HERE / f'{name}.py')]


def start(name, limit, args):
    log = (args.out / f'{name}.log').open('w')
    environment = {
        **os.environ,
        'GML_GPU_TESTS_ON': args.device,
        'GML_GPU_OUT': str(args.out),
        'PYTHONPATH': os.pathsep.join(
            [str(REPO), *filter(None, [os.environ.get('PYTHONPATH')])]
        ),
    }
    return subprocess.Popen(
        [sys.executable, *command(name, limit, args)],
        cwd=REPO,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait(process, until):
    """Its exit code; None if it had to be stopped."""
    try:
        return process.wait(max(1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def report(done, args):
    """Write what is known by now."""
    result = dict(parts=done)
    lines = ['# On a GPU', '', '| part | ended | seconds |', '|---|---|---|']
    for part in done:
        ended = {0: 'well', None: 'stopped'}.get(part['code'], 'badly')
        lines.append(f'| {part["name"]} | {ended} | {part["seconds"]} |')
    for name in ('layouts', 'systems'):
        path = args.out / f'{name}.json'
        if path.is_file():
            result[name] = json.loads(path.read_text())
            lines += ['', f'## {name}, {result[name]["machine"]}, ms', '']
            lines += table(result[name]['rows'])
    notes = args.out / 'notes.jsonl'
    if notes.is_file():
        texts = notes.read_text().splitlines()
        result['notes'] = [json.loads(text) for text in texts]
        lines += ['', '## What tests noted', '', '```', *texts, '```']
    for part in done:
        log = args.out / f'{part["name"]}.log'
        ends = log.read_text(errors='replace').splitlines()[-12:]
        lines += ['', f'## End of {log.name}', '', '```', *ends, '```']
    (args.out / 'results.json').write_text(json.dumps(result, indent=1))
    (args.out / 'results.md').write_text('\n'.join(lines) + '\n')


def table(rows):
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = [heads, ['---'] * len(heads)]
    lines += [[str(row.get(head, '')) for head in heads] for row in rows]
    return [f'| {" | ".join(line)} |' for line in lines]


def main():
    args = parse_args()
    import torch

    if args.device == 'cuda' and not torch.cuda.is_available():
        sys.exit(
            'make gpu: PyTorch sees no GPU. Remedy: a machine with one; '
            "GPU_ARGS='--device cpu' tries the scripts"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    for old in (*args.out.glob('*.json*'), *args.out.glob('*.log')):
        old.unlink()
    begun = time.monotonic()
    end = begun + WHOLE
    chosen = [p for p in PARTS if args.parts is None or p[0] in args.parts]
    done, running = [], []
    for name, limit, alone in chosen:
        started = time.monotonic()
        process = start(name, limit, args)
        running.append((name, process, started, started + limit))
        if alone:
            finish(running, end, done, args)
    finish(running, end, done, args)
    print((args.out / 'results.md').read_text())
    print(f'{time.monotonic() - begun:.0f} s; written to {args.out}')
    sys.exit(any(part['code'] != 0 for part in done))


def finish(running, end, done, args):
    while running:
        name, process, started, until = running.pop(0)
        code = wait(process, min(until, end))
        seconds = round(time.monotonic() - started)
        done.append(dict(name=name, code=code, seconds=seconds))
        report(done, args)


if __name__ == '__main__':
    main()
