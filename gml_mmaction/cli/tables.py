"""Tables 1 to 3, and since the paper: train what is missing, write them.

Usage::

    gml tables
    gml tables --tables 2 --systems Xception RECCE
    gml tables --seeds 0 1 2
    gml tables --tables since
    gml tables --only-write
    gml tables --miniature

Reads the prepared data of docs/paper.md and of the README's section "Your
data": DATA/ffpp, dfo, dfo_official, dfo_sing and cdf; for "Since the paper"
also dfdc and dfd, as far as they are there. Stopped and started again, it
goes on: a training resumes at its newest checkpoint; what is done is not done
again, and what is of other settings or data is left out.
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
from gml_mmaction.engine.cross_data import (
    start_words,
    target_facts,
    untrained_networks,
)
from gml_mmaction.engine.initial_weights import find_weights, missing_weights
from gml_mmaction.engine.settings import LOADERS
from gml_mmaction.errors import CheckpointError, DataError, GMLError
from gml_mmaction.evaluation import since_the_paper as since
from gml_mmaction.evaluation.bootstrap import (
    FEW,
    Resampling,
    headline,
    intervals_fact,
    level_scores,
)
from gml_mmaction.evaluation.forgery_metric import ALL_LEVELS
from gml_mmaction.evaluation.paper_tables import (
    NUMBERS,
    SYSTEMS,
    TABLES,
    Result,
    format_runs,
    format_table,
    needed_runs,
    table_rows,
)
from gml_mmaction.evaluation.scores import read_scores_file
from gml_mmaction.io.files import (
    file_sha256,
    read_json,
    write_json,
    write_text,
)
from gml_mmaction.io.lock import hold
from gml_mmaction.io.records import as_json
from gml_mmaction.io.text import printable, say
from gml_mmaction.prepared.manifest import read_manifest
from gml_mmaction.synthetic.demo import KINDS

from .common import CONFIGS, SEED, whole
from .demo import best_checkpoint, run_tool

MINIATURE = 'work_dirs/paper_miniature'
SINCE = 'since'
ALL_SYSTEMS = SYSTEMS | since.SYSTEMS


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
        name: For people; of all seeds.
        weights: Folder of the public weights to start from.
        untrained: Networks of random weights that take the tests.
    """

    system: str
    source: str
    targets: list[str]
    config: Path
    folder: Path
    data: Path
    options: list[str]
    seed: int
    name: str
    weights: Path | None = None
    untrained: int = 0

    @property
    def cfg(self) -> Config:
        """The config with the options."""
        cfg = read_settings(self.config)
        change_settings(cfg, self.options)
        return cfg

    @property
    def start(self) -> dict[str, Any]:
        """The file of weights that the training starts from, if any."""
        if self.weights is None:
            return {}
        return dict(weights=file_sha256(find_weights(self.cfg, self.weights)))

    @property
    def settings(self) -> list[object]:
        """What differs from the config file, as arguments of the tools."""
        options = ['--cfg-options', *self.options] if self.options else []
        return ['--data', self.data / self.source, *options]

    def origin(self) -> dict[str, Any]:
        """What the trained weights depend on."""
        return dict(
            config=self.config.relative_to(CONFIGS).as_posix(),
            settings=self.hash_of(
                *('model', 'train_dataloader', 'train_cfg'),
                *('optim_wrapper', 'param_scheduler'),
            ),
            manifest=self.manifest(self.source),
            seed=self.seed,
            **self.start,
        )

    def test_origin(self) -> dict[str, Any]:
        """What a test depends on, beside weights and data."""
        names = 'model', 'val_dataloader', 'test_dataloader', 'test_evaluator'
        return dict(settings=self.hash_of(*names))

    def hash_of(self, *names: str) -> str:
        """Hash of some settings, as far as results depend on them."""
        cfg = self.cfg
        settings = {name: cfg[name] for name in names}
        for name in LOADERS:
            for key in ('num_workers', 'persistent_workers'):
                settings.get(name, {}).pop(key, None)
        text = Config(settings).pretty_text
        return hashlib.sha256(text.encode()).hexdigest()

    def manifest(self, name: str) -> str | None:
        """Hash of a prepared folder's manifest; None if it is not there."""
        return file_sha256(self.data / name / 'manifest.json')

    def check_prepared(self, *names: str) -> None:
        """Find the prepared folders.

        Raises:
            RunError: One is not there.
        """
        for name in names:
            if self.manifest(name) is None:
                raise RunError(
                    f'{self.data / name}/manifest.json is not there: prepare '
                    f'{name}. Remedy: the commands of docs/paper.md and of '
                    'the README\'s section "Your data"'
                )

    def train(self, device: str | None) -> None:
        """Train, or go on, or do nothing if that was done.

        Raises:
            RunError: The data are not there, the folder holds another
                training, or it fails.
        """
        self.check_prepared(self.source)
        done, path = self.folder / 'trained.json', self.folder / 'origin.json'
        origin = self.origin()
        if path.is_file() and read_json(path) != origin:
            raise RunError(self.other_training)
        if done.is_file():
            return
        write_json(path, origin)
        start = time.perf_counter()
        folder = ('--weights', self.weights) if self.weights else ()
        self.call(
            *('train', self.config, '--resume', '--seed', self.seed),
            *('--work-dir', self.folder, *folder, *self.settings),
            device=device,
        )
        seconds = round(time.perf_counter() - start, 1)
        write_json(done, dict(seconds=seconds))

    @property
    def other_training(self) -> str:
        """What to say of a folder that this run has no part in."""
        return (
            f'{self.folder} was trained with other settings or data: '
            'remove it, or give another --work-dir'
        )

    def test(self, device: str | None) -> None:
        """Test on all targets, unless that was done.

        Raises:
            RunError: A target is not prepared, or the test fails.
        """
        self.check_prepared(*self.targets)
        best = best_checkpoint(self.folder)
        report = self.report()[0]
        tested = {
            row['name']
            for row in report.get('targets', ())
            if untrained_networks(row) >= self.untrained
        }
        if tested >= {*self.targets} and (
            report['checkpoint_sha256'] == file_sha256(best)
        ):
            return
        path = self.folder / 'test'
        (path / 'origin.json').unlink(missing_ok=True)
        self.call(
            *('test', self.config, best, '--work-dir', path),
            *('--target', *(f'{n}={self.data / n}' for n in self.targets)),
            *(('--untrained', self.untrained) if self.untrained else ()),
            *self.settings,
            device=device,
        )
        write_json(path / 'origin.json', self.test_origin())

    def report(self) -> tuple[dict[str, Any], str]:
        """What was tested, as far as it is of these settings and data.

        Data that are not there are not compared.

        Returns:
            The content of ``cross_table.json``, without ``targets`` that
            are of other data or lack their scores, empty if all is of other
            settings; and a line on what is left out.
        """
        test = self.folder / 'test'
        report = _read(test / 'cross_table.json')
        if not report:
            return {}, ''
        if not _agree(self.origin(), _read(self.folder / 'origin.json')):
            return {}, self.other_training
        other = f'{test} is of other settings or data: tested anew without '
        other += '--only-write'
        if _read(test / 'origin.json') != self.test_origin():
            return {}, other
        rows = [
            row for row in report['targets'] if row['name'] in self.targets
        ]
        kept = [
            row
            for row in rows
            if self.manifest(row['name']) in (None, row['manifest'])
            and (test / row['scores_file']).is_file()
        ]
        return report | {'targets': kept}, other if kept != rows else ''

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


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _agree(wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether all is as it was found, except what is not known (None)."""
    unknown = {key for key, value in wanted.items() if value is None}
    return wanted == {
        key: None if key in unknown else value for key, value in found.items()
    }


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Train, test and write the paper's Tables 1 to 3, and the "
        'table of video detectors since the paper.',
    )
    add = parser.add_argument
    add('--data', type=Path, help='folder of the prepared data; data')
    add(
        '--work-dir',
        type=Path,
        help=f'folder of runs and tables; work_dirs/paper, or {MINIATURE}',
    )
    add(
        '--tables',
        nargs='+',
        type=lambda text: int(text) if text.isdecimal() else text,
        choices=[*TABLES, SINCE],
        default=list(TABLES),
        help='by default the three of the paper; since: detectors since then',
    )
    add(
        '--systems',
        nargs='+',
        metavar='SYSTEM',
        choices=ALL_SYSTEMS,
        default=list(ALL_SYSTEMS),
        help='rows wanted: ' + '; '.join(ALL_SYSTEMS),
    )
    add(
        '--seeds',
        nargs='+',
        type=SEED,
        default=[0],
        metavar='SEED',
        help='of the trainings, each system once with each',
    )
    add(
        '--untrained',
        type=whole(0, 1000),
        default=0,
        metavar='N',
        help='also test N networks of random weights of each system: what one '
        'that has learned nothing reaches on these videos',
    )
    add(
        '--level',
        choices=ALL_LEVELS,
        default='video',
        help='whose scores the tables show; all are in the JSON',
    )
    add('--jobs', type=whole(1), default=1, help='runs at a time on a CPU')
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
    add(
        '--weights',
        type=Path,
        metavar='FOLDER',
        help='start every training from the public weights of its system, '
        'which you have put into this folder',
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
    args.seeds = list(dict.fromkeys(args.seeds))
    own = args.work_dir / 'data' if args.miniature else Path('data')
    args.own_data = args.data is None
    args.data = args.data or own
    if args.weights and args.miniature:
        parser.error('--weights: the small networks have no public weights')
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


def needed_by(args: argparse.Namespace) -> dict[tuple[str, str], list[str]]:
    """What the wanted tables need, each training once.

    "Since the paper" tests on the sets that are prepared, if any is.
    """
    numbers = [number for number in args.tables if number != SINCE]
    needed = needed_runs(numbers, args.systems)
    if SINCE in args.tables:
        there = [
            name
            for name in since.TARGETS
            if (args.data / name / 'manifest.json').is_file()
        ]
        more = since.needed_since(args.systems, there or list(since.TARGETS))
        for key, targets in more.items():
            own = needed.setdefault(key, [])
            own += [target for target in targets if target not in own]
    return needed


def plan(args: argparse.Namespace) -> list[Run]:
    """List the runs that the tables need, seed by seed.

    So an early stop leaves whole tables.
    """
    ending = '-small_demo.py' if args.miniature else '_ffpp.py'
    needed = needed_by(args)
    runs = []
    for seed in args.seeds:
        for (system, source), targets in needed.items():
            stem = ALL_SYSTEMS[system]
            name = f'{Path(stem).name}_{source}'
            runs.append(
                Run(
                    system=system,
                    source=source,
                    targets=targets,
                    config=CONFIGS / f'{stem}{ending}',
                    folder=args.work_dir / 'runs' / name / f'seed-{seed}',
                    data=args.data,
                    options=args.cfg_options,
                    seed=seed,
                    name=name,
                    weights=args.weights,
                    untrained=args.untrained,
                )
            )
    return runs


def check_data(args: argparse.Namespace, runs: list[Run]) -> None:
    """See that there is something to train on, before anything is done.

    Without ``--data`` the tables of the paper may be written, and no more.

    Raises:
        DataError: No folder that the tables need is there.
    """
    names = {name for run in runs for name in (run.source, *run.targets)}
    found = any((args.data / n / 'manifest.json').is_file() for n in names)
    if not found and not (args.only_write and args.own_data):
        raise DataError(
            f'{args.data} holds no prepared data '
            f'({", ".join(sorted(names))}). Remedy: --data with the folder '
            'of those that gml prepare wrote (docs/paper.md), or --miniature'
        )


def check_weights(runs: list[Run]) -> None:
    """Say of all weights that are missing or wrong, before any training.

    Raises:
        CheckpointError: The last one; the others were printed.
    """
    folder = runs[0].weights if runs else None
    if folder is None:
        return
    lines = missing_weights((run.cfg for run in runs), folder)
    if lines:
        say(*lines[:-1], file=sys.stderr)
        raise CheckpointError(lines[-1])


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
            failed.append(f'{run.name}, seed {run.seed}: {text}')
        finally:
            free.put(device)
        say(f'[{number}/{total}] {run.name}, seed {run.seed}: {text}')

    with ThreadPoolExecutor(free.qsize()) as pool:
        try:
            list(pool.map(do, range(1, total + 1), runs))
        except KeyboardInterrupt:
            stopped.set()
            raise
    return failed


class Tested(NamedTuple):
    """What was tested.

    Attributes:
        results: By level, what the tables show.
        tests: A row of a report each, with what was trained and how.
        notes: Lines of the reports, each once.
        left_out: A line for each folder that is of other settings or data.
    """

    results: dict[str, dict[tuple[str, str, str], list[Result]]]
    tests: list[dict[str, Any]]
    notes: list[str]
    left_out: list[str]


def collect(runs: list[Run]) -> Tested:
    """Read what was tested, and how sure each number is."""
    found = Tested({level: {} for level in ALL_LEVELS}, [], [], [])
    for run in runs:
        report, other = run.report()
        found.left_out.extend([other] if other else [])
        found.notes.extend(report.get('notes', ()))
        detector = {
            key: report.get(key)
            for key in ('config', 'checkpoint', 'checkpoint_sha256', 'initial')
        }
        for row in report.get('targets', ()):
            about = dict(
                system=run.system, trained_on=run.source, seed=run.seed
            )
            found.tests.append(about | detector | row)
            key = (run.system, run.source, row['name'])
            path = run.folder / 'test' / row['scores_file']
            for level, result in read_results(path, run.seed).items():
                found.results[level].setdefault(key, []).append(result)
    return found


def read_results(path: Path, seed: int) -> dict[str, Result]:
    """Numbers and intervals of a scores file, by level.

    Raises:
        ScoreFileError: It is no such file.
    """
    content = read_scores_file(path)
    results = {}
    for level in ALL_LEVELS:
        scores = level_scores(content, level, path.stem)
        if len(scores.scores):
            results[level] = Result(
                seed=seed,
                threshold=scores.threshold,
                untrained=list(scores.untrained.get('', ())),
                pairs=scores.pairs and scores.pairs.words,
                **headline(scores, Resampling()),
            )
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
    tested = collect(runs)
    shown = tested.results[args.level]
    origins = read_origins(args.data, tested.results['video'])
    parts = [f'Data {name} are {words}.\n' for name, words in origins.items()]
    parts += [
        since.format_since(shown, args.level, len(args.seeds))
        if number == SINCE
        else format_table(number, shown, args.level, len(args.seeds))
        for number in args.tables
    ]
    if shown:
        parts.append(format_runs(shown, args.level))
    parts.append(facts(args, runs, tested, failed))
    text = '\n'.join(parts)
    write_text(args.work_dir / 'paper_tables.md', text)
    tables = {
        f'table_{number}': {
            level: as_json(
                since.since_rows(results, level)
                if number == SINCE
                else table_rows(TABLES[number], results, level)
            )
            for level, results in tested.results.items()
        }
        for number in args.tables
    }
    write_json(
        args.work_dir / 'paper_tables.json',
        dict(
            origin=origins,
            **tables,
            seeds=args.seeds,
            intervals=Resampling()._asdict(),
            miniature=args.miniature,
            cfg_options=args.cfg_options,
            failed=failed,
            left_out=tested.left_out,
            tests=tested.tests,
        ),
    )
    return text


def facts(
    args: argparse.Namespace,
    runs: list[Run],
    tested: Tested,
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
    lines += [
        f'Ours: {how_often(args.seeds)}, level {args.level}; the checkpoint '
        "is the best on the training data's own validation set. Settings: "
        + (' '.join(args.cfg_options) or "the configs'"),
        f'{NUMBERS["acc_val"]}: at the threshold of the equal error rate on '
        "the training data's own validation set, each training's own",
        f'[ ]: {intervals_fact(Resampling())}; they say what other videos '
        'might give, not what other trainings would; none where all '
        'replicates give the same number',
    ]
    lines += start_facts(tested.tests)
    by_target = {row['name']: row for row in tested.tests}
    lines += [test_fact(by_target[name]) for name in sorted(by_target)]
    done = {
        (row['system'], row['trained_on'], row['seed']) for row in tested.tests
    }
    missing: dict[str, list[str]] = {}
    for run in runs:
        if (run.system, run.source, run.seed) not in done:
            missing.setdefault(run.name, []).append(str(run.seed))
    if missing:
        words = [
            name
            if len(seeds) == len(args.seeds)
            else f'{name} (seed {" ".join(seeds)})'
            for name, seeds in missing.items()
        ]
        lines.append(f'Not run: {", ".join(words)}')
    lines += dict.fromkeys(tested.notes)
    lines += [f'Left out: {line}' for line in tested.left_out]
    lines += [f'Failed: {line}' for line in failed]
    return '\n'.join(f'- {printable(line)}' for line in lines) + '\n'


def how_often(seeds: list[int]) -> str:
    """Say what the numbers in the tables are of."""
    if len(seeds) == 1:
        return f'one training, seed {seeds[0]}'
    numbers = ' '.join(map(str, seeds))
    return (
        f'mean (least to greatest) of {len(seeds)} trainings, seeds {numbers}'
    )


def start_facts(tests: list[dict[str, Any]]) -> list[str]:
    """Say of every training how its network was initialised, by starts."""
    rows: dict[str, dict[str, None]] = {}
    for row in tests:
        name = f'{row["system"]} ({row["trained_on"]})'
        rows.setdefault(start_words(row), {})[name] = None
    return [f'Started from {how}: {", ".join(of)}' for how, of in rows.items()]


def test_fact(row: dict[str, Any]) -> str:
    """Say what a test set is, and if it is too small for its intervals."""
    counts = row['real_videos'], row['fake_videos']
    line = (
        f'Test {target_facts(row)}: {counts[0]} real and {counts[1]} fake '
        'videos'
    )
    if min(counts) < FEW:
        line += f'; with fewer than {FEW} of a class, intervals tend to be '
        line += 'too narrow'
    return line


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
        check_data(args, runs)
        if not args.only_write:
            devices = args.gpus or [None] * args.jobs
            with hold(args.work_dir, 'series'):
                check_weights(runs)
                failed = do_runs(runs, devices)
        say('', *write_tables(args, runs, failed).split('\n'))
    except KeyboardInterrupt:
        say('stopped; the same command goes on from here', file=sys.stderr)
        return 130
    say(f'written to {args.work_dir}/paper_tables.md and .json')
    return 1 if failed else 0
