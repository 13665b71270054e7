"""Tables 1 to 3: train and test what is missing, then write them.

Usage::

    gml tables
    gml tables --tables 2 --systems Xception RECCE
    gml tables --only-write
    gml tables --miniature

Reads the prepared data of docs/paper.md and of the README's section "Your
data": DATA/ffpp, dfo, dfo_official, dfo_sing and cdf. Stopped and started
again, it goes on: a training resumes at its newest checkpoint; what is done is
not done again.
``--miniature`` makes small data of its own and takes the configs
``*-small_demo.py``, so that everything can be tried on a CPU.
"""

import argparse
import hashlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from gml_mmaction.engine.config_check import change_settings, read_settings
from gml_mmaction.engine.cross_data import target_facts
from gml_mmaction.errors import GMLError
from gml_mmaction.evaluation.forgery_metric import ALL_LEVELS
from gml_mmaction.evaluation.paper_tables import (
    SYSTEMS,
    TABLES,
    format_table,
    needed_runs,
    table_rows,
)
from gml_mmaction.io.files import (
    file_sha256,
    read_json,
    write_json,
    write_text,
)
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import printable, say
from gml_mmaction.prepared.manifest import read_manifest
from gml_mmaction.synthetic.demo import KINDS

from .common import CONFIGS
from .demo import best_checkpoint, run_tool

MINIATURE = 'work_dirs/paper_miniature'


class RunError(Exception):
    """A run that cannot go on; other runs do."""


class Run(NamedTuple):
    """A system trained on one data set, and what it is tested on.

    Attributes:
        system: Row of the tables.
        source: Folder of the training data, below ``data``.
        targets: Folders of the test data, below ``data``.
        config: Config file.
        folder: Of checkpoints, logs and scores.
        data: Folder of the prepared data.
        options: ``KEY=VALUE`` for the config.
        seed: Of the training.
    """

    system: str
    source: str
    targets: list[str]
    config: Path
    folder: Path
    data: Path
    options: list[str]
    seed: int

    @property
    def settings(self) -> list[object]:
        """What differs from the config file, as arguments of the tools."""
        options = ['--cfg-options', *self.options] if self.options else []
        return ['--data', self.data / self.source, *options]

    def origin(self) -> dict[str, Any]:
        """What the trained weights depend on."""
        cfg = read_settings(self.config)
        change_settings(cfg, self.options)
        settings = {
            key: cfg[key]
            for key in (
                *('model', 'train_dataloader', 'train_cfg'),
                *('optim_wrapper', 'param_scheduler'),
            )
        }
        for key in ('num_workers', 'persistent_workers'):
            settings['train_dataloader'].pop(key, None)
        text = Config(settings).pretty_text
        return dict(
            config=self.config.relative_to(CONFIGS).as_posix(),
            settings=hashlib.sha256(text.encode()).hexdigest(),
            manifest=self.manifest(self.source),
            seed=self.seed,
        )

    def manifest(self, name: str) -> str:
        """Hash of a prepared folder's manifest.

        Raises:
            RunError: The folder is not there.
        """
        path = self.data / name / 'manifest.json'
        digest = file_sha256(path)
        if digest is None:
            raise RunError(
                f'{path} is not there: prepare {name}. Remedy: the '
                "commands of docs/paper.md and of the README's section"
                ' "Your data"'
            )
        return digest

    def train(self, device: str | None) -> None:
        """Train, or go on, or do nothing if that was done.

        Raises:
            RunError: The folder holds another training, or it fails.
        """
        done, path = self.folder / 'trained.json', self.folder / 'origin.json'
        origin = self.origin()
        if path.is_file() and read_json(path) != origin:
            raise RunError(
                f'{self.folder} was trained with other settings or data: '
                'remove it, or give another --work-dir'
            )
        if done.is_file():
            return
        write_json(path, origin)
        start = time.perf_counter()
        self.call(
            *('train', self.config, '--resume', '--seed', self.seed),
            *('--work-dir', self.folder, *self.settings),
            device=device,
        )
        seconds = round(time.perf_counter() - start, 1)
        write_json(done, dict(seconds=seconds))

    def test(self, device: str | None) -> dict[str, Any]:
        """Test on all targets, unless that was done; return the report.

        Raises:
            RunError: A target is not prepared, or the test fails.
        """
        best = best_checkpoint(self.folder)
        path = self.folder / 'test' / 'cross_table.json'
        wanted = {
            'checkpoint': file_sha256(best),
            **{name: self.manifest(name) for name in self.targets},
        }
        if path.is_file() and _tested(read_json(path)).items() >= (
            wanted.items()
        ):
            return read_json(path)
        self.call(
            *('test', self.config, best, '--work-dir', path.parent),
            *('--target', *(f'{n}={self.data / n}' for n in self.targets)),
            *self.settings,
            device=device,
        )
        return read_json(path)

    def call(self, tool: str, *arguments: object, device: str | None) -> None:
        """Run a tool of this folder, its output to a log of its own."""
        log = self.folder / f'{tool}.log'
        environment = dict(os.environ)
        if device is not None:
            environment['CUDA_VISIBLE_DEVICES'] = device
        command = [sys.executable, '-m', 'gml_mmaction', tool, *arguments]
        with open(log, 'ab') as file:
            code = subprocess.run(
                list(map(str, command)),
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                check=False,
            ).returncode
        if code:
            lines = log.read_bytes().decode(errors='replace').split('\n')
            last = next((x for x in reversed(lines) if x.strip()), '')
            raise RunError(f'gml {tool} failed ({log}): {last.strip()}')


def _tested(report: dict) -> dict[str, str]:
    """Hashes of the checkpoint and of the targets of a report."""
    manifests = {row['name']: row['manifest'] for row in report['targets']}
    return {'checkpoint': report['checkpoint_sha256'], **manifests}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Train, test and write the paper's Tables 1 to 3.",
    )
    add = parser.add_argument
    add('--data', type=Path, help='folder of the prepared data; data')
    add(
        '--work-dir',
        type=Path,
        help=f'folder of runs and tables; work_dirs/paper, or {MINIATURE}',
    )
    add('--tables', nargs='+', type=int, choices=TABLES, default=list(TABLES))
    add(
        '--systems',
        nargs='+',
        metavar='SYSTEM',
        choices=SYSTEMS,
        default=list(SYSTEMS),
        help='rows wanted: ' + '; '.join(SYSTEMS),
    )
    add('--seed', type=int, default=0, help='of every training')
    add(
        '--level',
        choices=ALL_LEVELS,
        default='video',
        help='whose scores the tables show; all are in the JSON',
    )
    add('--jobs', type=int, default=1, help='runs at a time on a CPU')
    add('--gpus', nargs='+', help='one run at a time on each, e.g. 0 1 2 3')
    add(
        '--only-write',
        action='store_true',
        help='run nothing, write the tables of what is done',
    )
    add(
        '--miniature',
        action='store_true',
        help='make miniature data and take the small configs',
    )
    add('--kind', choices=KINDS, default='appearance', help='of miniatures')
    add(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='for every training and test',
    )
    args = parser.parse_args(argv)
    args.work_dir = args.work_dir or Path(
        MINIATURE if args.miniature else 'work_dirs/paper'
    )
    own = args.work_dir / 'data' if args.miniature else Path('data')
    args.data = args.data or own
    return args


def make_miniature(root: Path, data: Path, kind: str) -> None:
    """Make those of the five prepared folders that are missing."""
    raw = root / 'raw'
    ffpp, dfo = raw / 'FaceForensics++', raw / 'DeeperForensics-1.0'
    of_dfo = ('dfo', dfo, '--ffpp', ffpp)
    official = ('--protocol', 'official')
    trees = {
        'ffpp': ('ffpp', ffpp),
        'cdf': ('cdf', raw / 'Celeb-DF-v2'),
        'dfo': (*of_dfo, '--variant', 'end_to_end_level_5'),
        'dfo_official': (*of_dfo, *official),
        'dfo_sing': (*of_dfo, *official, '--variant', 'sing'),
    }
    missing = [n for n in trees if not (data / n / 'test.json').is_file()]
    if missing and not (raw / 'made').is_file():
        videos = ('--kind', kind, '--amplitude', 0.1, '--noise', 1)
        run_tool('demo-data', ffpp, *videos)
        run_tool('demo-trees', ffpp, raw)
        (raw / 'made').touch()
    for name in missing:
        source, tree, *options = trees[name]
        run_tool(
            'prepare', *(source, tree, data / name, *options, '--size', 64)
        )


def plan(args: argparse.Namespace) -> list[Run]:
    """List the runs that the tables need."""
    ending = '-small_demo.py' if args.miniature else '_ffpp.py'
    runs = []
    for (system, source), targets in needed_runs(
        args.tables, args.systems
    ).items():
        stem = SYSTEMS[system]
        name = f'{Path(stem).name}_{source}'
        runs.append(
            Run(
                system=system,
                source=source,
                targets=targets,
                config=CONFIGS / f'{stem}{ending}',
                folder=args.work_dir / 'runs' / name,
                data=args.data,
                options=args.cfg_options,
                seed=args.seed,
            )
        )
    return runs


def do_runs(runs: list[Run], devices: Iterable[str | None]) -> list[str]:
    """Train and test; each device has one run at a time.

    Returns:
        A line for each run that failed.
    """
    free: queue.Queue = queue.Queue()
    for device in devices:
        free.put(device)
    total, failed, stopped = len(runs), [], threading.Event()

    def do(number: int, run: Run) -> None:
        if stopped.is_set():
            return
        device = free.get()
        start = time.perf_counter()
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            run.train(device)
            run.test(device)
            text = f'done, {time.perf_counter() - start:.0f} s'
        except (RunError, GMLError, OSError) as error:
            text = str(error)
            failed.append(f'{run.folder.name}: {text}')
        finally:
            free.put(device)
        say(f'[{number}/{total}] {run.folder.name}: {text}')

    with ThreadPoolExecutor(free.qsize()) as pool:
        try:
            list(pool.map(do, range(1, total + 1), runs))
        except KeyboardInterrupt:
            stopped.set()
            raise
    return failed


def collect(runs: list[Run]) -> dict[tuple[str, str, str], dict]:
    """Read what was tested: ``{(system, source, target): row}``."""
    results = {}
    for run in runs:
        path = run.folder / 'test' / 'cross_table.json'
        if not path.is_file():
            continue
        report = read_json(path)
        detector = {
            key: report[key]
            for key in ('config', 'checkpoint', 'checkpoint_sha256')
        }
        for row in report['targets']:
            results[run.system, run.source, row['name']] = detector | row
    return results


def read_origins(
    data: Path, results: Iterable[tuple[str, str, str]]
) -> dict[str, str]:
    """Say what the videos of the prepared folders are, if synthetic.

    Args:
        data: Folder of the prepared folders.
        results: Keys of :func:`collect`.
    """
    found = {}
    for name in sorted({name for _, *names in results for name in names}):
        manifest = read_manifest(data / name)
        origin = (manifest and manifest.origin) or {}
        words = sorted(set(origin.values()))
        if words:
            found[name] = printable(', and '.join(words))
    return found


def write_tables(
    args: argparse.Namespace, runs: list[Run], failed: list[str]
) -> str:
    """Write ``paper_tables.md`` and ``.json``; return the Markdown."""
    results = collect(runs)
    metrics = {key: row['metrics'] for key, row in results.items()}
    origins = read_origins(args.data, results)
    parts = [f'Data {name} are {words}.\n' for name, words in origins.items()]
    parts += [
        format_table(number, metrics, args.level) for number in args.tables
    ]
    parts.append(facts(args, runs, results, failed))
    text = '\n'.join(parts)
    write_text(args.work_dir / 'paper_tables.md', text)
    tables = {
        f'table_{number}': {
            level: table_rows(TABLES[number], metrics, level)
            for level in ALL_LEVELS
        }
        for number in args.tables
    }
    tests = [
        dict(system=system, trained_on=source, **row)
        for (system, source, _), row in results.items()
    ]
    write_json(
        args.work_dir / 'paper_tables.json',
        dict(
            origin=origins,
            **tables,
            seed=args.seed,
            miniature=args.miniature,
            cfg_options=args.cfg_options,
            failed=failed,
            tests=tests,
        ),
    )
    return text


def facts(
    args: argparse.Namespace,
    runs: list[Run],
    results: dict[tuple[str, str, str], dict],
    failed: list[str],
) -> str:
    """Say below the tables how our numbers came about, a line each."""
    lines = []
    if args.miniature:
        lines.append(
            f'Ours are of MINIATURE data (made-up forgeries, kind '
            f'{args.kind}) and small networks: they show that every command '
            'works, and nothing about the data sets of these names.'
        )
    lines.append(
        f'Ours: seed {args.seed}, level {args.level}; the checkpoint is the '
        "best on the training data's own validation set. Settings: "
        + (' '.join(args.cfg_options) or "the configs'")
    )
    tests = {name: row for (_, _, name), row in sorted(results.items())}
    lines += [
        f'Test {target_facts(row)}: {row["real_videos"]} real and '
        f'{row["fake_videos"]} fake videos'
        for row in tests.values()
    ]
    tested = {key[:2] for key in results}
    missing = [
        r.folder.name for r in runs if (r.system, r.source) not in tested
    ]
    if missing:
        lines.append(f'Not run: {", ".join(missing)}')
    lines += [f'Failed: {line}' for line in failed]
    return '\n'.join(f'- {printable(line)}' for line in lines) + '\n'


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, write the tables; return the exit code."""
    args = parse_args(argv)
    if args.jobs > 1:  # or each run would take all cores
        threads = max(1, (os.cpu_count() or 1) // args.jobs)
        os.environ.setdefault('OMP_NUM_THREADS', str(threads))
    failed: list[str] = []
    try:
        if args.miniature and not args.only_write:
            make_miniature(args.work_dir, args.data, args.kind)
        runs = plan(args)
        if not args.only_write:
            devices = args.gpus or [None] * args.jobs
            with hold(args.work_dir, 'series'):
                failed = do_runs(runs, devices)
        say('', *write_tables(args, runs, failed).split('\n'))
    except KeyboardInterrupt:
        say('stopped; the same command goes on from here', file=sys.stderr)
        return 130
    say(f'written to {args.work_dir}/paper_tables.md and .json')
    return 1 if failed else 0
