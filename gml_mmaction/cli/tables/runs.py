"""Trainings and their tests: commands of their own that go on after a stop."""

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

from gml_mmaction.cli.common import CONFIGS
from gml_mmaction.cli.demo import best_checkpoint
from gml_mmaction.engine.config_check import change_settings, read_settings
from gml_mmaction.engine.cross_data import untrained_networks
from gml_mmaction.engine.initial_weights import find_weights, missing_weights
from gml_mmaction.engine.settings import LOADERS
from gml_mmaction.errors import CheckpointError, GMLError
from gml_mmaction.io.files import file_sha256, read_json, write_json
from gml_mmaction.io.text import say

__all__ = ['Run', 'RunError', 'check_weights', 'do_runs']


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
        """What to say of a folder that another run has filled."""
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


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _agree(wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether all is as it was found, except what is not known (None)."""
    unknown = {key for key, value in wanted.items() if value is None}
    return wanted == {
        key: None if key in unknown else value for key, value in found.items()
    }
