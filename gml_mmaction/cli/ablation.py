r"""Which block finds which forgery: experiments on made-up videos.

``one-site`` has a motion block in one place only, ``all-sites`` everywhere,
``initial-values`` compares what the blocks start from. ``systems`` trains any
rows of the paper's tables, ``genuine`` pseudo-fakes of genuine videos alone.
docs/experiments.md says what is expected and why.

Seed by seed, all variants on all kinds: an early stop leaves whole tables.
Stopped and started again, it goes on with the runs that are not done.

Usage::

    gml ablation
    gml ablation one-site --seeds 0 1 2
    gml ablation systems --kinds appearance --seeds 0 --iters 300 \
        --variants RECCE F3-Net
    gml ablation --table
"""

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from gml_mmaction.errors import SettingError
from gml_mmaction.evaluation.experiments import (
    EXPERIMENTS,
    VIDEOS,
    Experiment,
    difference_table,
    hits_table,
    metric_table,
    pairs_table,
    untrained_table,
)
from gml_mmaction.io.files import read_json, write_json
from gml_mmaction.io.lock import hold
from gml_mmaction.io.text import say
from gml_mmaction.synthetic.kinds import KINDS
from gml_mmaction.version import __version__
from gml_mmaction.visualization.curves import read_scalars

from .common import CONFIGS
from .demo import make_data, train_and_test
from .numbers import SEED, whole

STRIDE = 2  # Sec. 3; records of it do not name it
DEFAULT = ('one-site', 'initial-values', 'all-sites')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'experiments',
        nargs='*',
        metavar='EXPERIMENT',
        default=DEFAULT,
        help='any of: ' + ', '.join(EXPERIMENTS),
    )
    parser.add_argument('--work-dir', default='work_dirs/ablation')
    parser.add_argument(
        '--kinds',
        nargs='+',
        choices=KINDS,
        help="of forgeries, instead of the experiment's",
    )
    parser.add_argument(
        '--variants',
        nargs='+',
        metavar='VARIANT',
        help='only these rows of the tables',
    )
    parser.add_argument(
        '--seeds', nargs='+', type=SEED, help="instead of the experiment's"
    )
    parser.add_argument(
        '--iters', type=whole(1), help="iterations instead of the experiment's"
    )
    parser.add_argument(
        '--jobs',
        type=whole(1),
        default=2,
        help='runs at a time, one core each',
    )
    parser.add_argument(
        '--table', action='store_true', help='only print what is done'
    )
    args = parser.parse_args(argv)
    for name in args.experiments:
        if name not in EXPERIMENTS:
            parser.error(f'no experiment {name!r}: ' + ', '.join(EXPERIMENTS))
    rows = {
        row for name in args.experiments for row in EXPERIMENTS[name].variants
    }
    for row in args.variants or ():
        if row not in rows:
            parser.error(f'no variant {row!r}: ' + '; '.join(sorted(rows)))
    return args


def chosen(
    name: str, args: argparse.Namespace
) -> tuple[Experiment, list[int]]:
    """An experiment as the command line wants it, and its seeds."""
    found = EXPERIMENTS[name]
    seeds = args.seeds or list(range(found.seeds))
    return found._replace(
        kinds=tuple(args.kinds or found.kinds),
        iters=args.iters or found.iters,
    ), seeds


class Run(NamedTuple):
    """One cell of an experiment's table, and where its result is kept."""

    root: Path
    name: str
    experiment: Experiment
    kind: str
    variant: str
    seed: int

    @property
    def row(self) -> str:
        """The variant as a name of a folder."""
        return ''.join(c if c.isalnum() else '-' for c in self.variant)

    @property
    def budget(self) -> str:
        """The experiment and its iterations, as a name of a folder."""
        return f'{self.name}-{self.experiment.iters}'

    @property
    def result(self) -> Path:
        """The record of the finished run."""
        place = Path('results', self.budget, self.kind, self.row)
        return self.root / place / f'{self.seed}.json'

    @property
    def trained_on(self) -> str:
        """The kind whose videos are trained on."""
        return self.experiment.trained_on or self.kind

    @property
    def work_dir(self) -> Path:
        """Of the training: runs that share one differ in what is tested."""
        place = Path('runs', self.budget, self.trained_on, self.row)
        return self.root / place / str(self.seed)

    def data(self, kind: str) -> Path:
        """The folder of the videos and crops of a kind."""
        videos, stride = self.experiment.videos, self.experiment.stride
        place = videos if stride == STRIDE else f'{videos}-stride-{stride}'
        return self.root / 'data' / place / f'{kind}-{self.seed}'

    def settings(self) -> dict[str, Any]:
        """All that the result depends on, but for the code."""
        config, options = self.experiment.variants[self.variant]
        null, shared = self.experiment.untrained, self.experiment.trained_on
        stride = self.experiment.stride
        return dict(
            **(dict(networks=null) if null else {}),
            **(dict(trained_on=shared) if shared else {}),
            **(dict(stride=stride) if stride != STRIDE else {}),
            experiment=self.name,
            variant=self.variant,
            kind=self.kind,
            seed=self.seed,
            config=config,
            options=[
                *self.experiment.options,
                *options,
                f'train_cfg.max_iters={self.experiment.iters}',
                f'train_cfg.val_interval={self.experiment.val_interval}',
            ],
            videos=self.videos(self.kind),
        )

    def videos(self, kind: str) -> list[str]:
        """Options of ``gml demo-data`` for a kind."""
        words = ('--kind', kind, '--seed', str(self.seed))
        return [*words, *VIDEOS[self.experiment.videos]]

    def read(self) -> dict[str, Any] | None:
        """The record, or None before the run.

        Raises:
            SettingError: It is of other settings.
        """
        if not self.result.is_file():
            return None
        record, settings = read_json(self.result), self.settings()
        if {key: record.get(key) for key in settings} != settings:
            raise SettingError(
                f'{self.result}: made with other settings. Remedy: another '
                '--work-dir, or remove the file'
            )
        return record

    def record(
        self,
        metrics: dict[str, Any],
        validation: list[Any],
        seconds: dict[str, float],
        code: dict[str, str],
    ) -> None:
        """Write the record."""
        write_json(
            self.result,
            dict(
                self.settings(),
                **code,
                untrained=metrics.pop('untrained', {}),
                metrics=metrics,
                validation=validation,
                seconds=seconds,
            ),
        )


def make_missing_data(folder: Path, videos: list[str], stride: int) -> None:
    """Make the videos and crops, or what is missing of them."""
    if not (folder / 'crops' / 'manifest.json').is_file():
        make_data(folder, *videos, workers=1, stride=stride)


def train(runs: list[Run]) -> None:
    """Train once for runs of one work dir, test, and write their records."""
    first, code = runs[0], describe_code()
    settings, work_dir = first.settings(), first.work_dir
    untrained = first.experiment.untrained
    apart = bool(untrained or first.experiment.trained_on)
    crops = {run.kind: run.data(run.kind) / 'crops' for run in runs}
    metrics, seconds = train_and_test(
        str(CONFIGS / settings['config']),
        first.data(first.trained_on) / 'crops',
        work_dir,
        first.seed,
        *settings['options'],
        targets=crops if apart else None,
        untrained=untrained,
    )
    validation = read_scalars(work_dir)['video/auc']
    for run in runs:
        own = metrics[run.kind] if apart else metrics
        run.record(own, validation, seconds, code)
    for checkpoint in work_dir.glob('*.pth'):
        checkpoint.unlink()  # hundreds of runs would fill a disk


def describe_code() -> dict[str, str]:
    """The package's version and, in a clone, its commit."""
    git = shutil.which('git')
    words = ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    found = subprocess.run(
        [git or 'false', '-C', str(Path(__file__).parent), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(version=__version__, commit=found.stdout.strip() or 'unknown')


def list_runs(args: argparse.Namespace) -> Iterator[Run]:
    """All runs; the first seed of all experiments, then the second."""
    experiments = {name: chosen(name, args) for name in args.experiments}
    last = max(max(seeds) for _, seeds in experiments.values())
    for seed in range(last + 1):
        for name, (experiment, seeds) in experiments.items():
            for kind in experiment.kinds if seed in seeds else ():
                for variant in args.variants or experiment.variants:
                    if variant in experiment.variants:
                        place = (kind, variant, seed)
                        yield Run(
                            Path(args.work_dir), name, experiment, *place
                        )


def run_missing(args: argparse.Namespace) -> None:
    """Make the data, train and test."""
    os.environ['OMP_NUM_THREADS'] = '1'
    todo = [run for run in list_runs(args) if run.read() is None]
    with ThreadPoolExecutor(args.jobs) as pool:
        for seed in sorted({run.seed for run in todo}):
            mine = [run for run in todo if run.seed == seed]
            sets = {
                run.data(kind): (run.videos(kind), run.experiment.stride)
                for run in mine
                for kind in (run.trained_on, run.kind)
            }
            trainings: dict[Path, list[Run]] = {}
            for run in mine:
                trainings.setdefault(run.work_dir, []).append(run)
            list(pool.map(make_missing_data, sets, *zip(*sets.values())))
            list(pool.map(train, trainings.values()))


def read_runs(args: argparse.Namespace) -> dict[str, dict]:
    """The finished runs by experiment, and in it by kind, variant, seed."""
    found: dict[str, dict] = {name: {} for name in args.experiments}
    for run in list_runs(args):
        record = run.read()
        if record is not None:
            found[run.name][run.kind, run.variant, run.seed] = record
    return found


def print_tables(args: argparse.Namespace) -> None:
    """The tables of the runs that are done, of each experiment."""
    for name, runs in read_runs(args).items():
        experiment, _ = chosen(name, args)
        if not runs:
            say('', f'{name}: no run is done')
            continue
        commits = {record['commit'][:10] for record in runs.values()}
        how = f'{experiment.iters} iterations, {", ".join(sorted(commits))}'
        keys = ['video/auc', 'clip/auc']
        keys += ['video/acc_val'] if experiment.untrained else []
        for key in keys:
            title = f'{name}, {key}: mean [95 % interval] (seeds); {how}'
            say('', title, '', *metric_table(runs, experiment, key))
        if experiment.untrained:
            title = f'{name}, video/auc of untrained networks (how many)'
            say('', title, '', *untrained_table(runs, experiment))
            title = f'{name}, fakes above their originals'
            say('', title, '', *pairs_table(runs, experiment))
        differences = difference_table(runs, experiment)
        if differences:
            title = f'{name}, difference of video/auc [95 % interval] (seeds)'
            say('', title, '', *differences)
        if experiment.hits:
            title = (
                f'{name}, iterations to a validation AUC of 0.9: median '
                '(how many reached it)'
            )
            say('', title, '', *hits_table(runs, experiment))


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print the tables."""
    args = parse_args(argv)
    if not args.table:
        with hold(args.work_dir, 'ablation'):
            run_missing(args)
    print_tables(args)
