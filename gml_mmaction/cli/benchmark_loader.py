"""How fast training clips are made, compared with only decoding their files.

The least that a clip can cost is reading and decoding its eight JPEG files.
That, the config's whole training pipeline, and the pipeline behind the
config's loader with one worker process run in turn, round by round, on the
same clips, so that other load on the machine affects all alike.

Usage::

    gml benchmark-loader configs/gml_xception_ffpp.py data/ffpp
    gml benchmark-loader CONFIG DATA --step 0.25 --batch 16

The second also says how many cores feed a device that takes 0.25 s for a
training step of 16 clips.
"""

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmaction.registry import DATASETS
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from gml_mmaction.datasets import GenuineClipDataset
from gml_mmaction.datasets.samplers import DrawnIndex
from gml_mmaction.engine.config_check import check_config, read_settings
from gml_mmaction.host.configs import find_config
from gml_mmaction.io.files import write_json
from gml_mmaction.io.text import say

from .common import add_import_option, import_modules


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('config', help='config file, or its name in configs/')
    add('data', help='folder of prepared data, with saved crops')
    add('--clips', type=int, default=64, help='clips in a round [%(default)s]')
    add(
        '--rounds',
        type=int,
        default=5,
        help='rounds, after one that does not count [%(default)s]',
    )
    add('--step', type=float, help='seconds that a training step takes')
    add(
        '--batch',
        type=int,
        default=16,
        help='clips in that step [%(default)s]',
    )
    add('--json', type=Path, help='file to write the numbers to')
    add_import_option(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Print the table; returns what ``--json`` writes."""
    args = parse_args(argv)
    import_modules(args)
    cv2.setNumThreads(0)  # as in the workers of a run
    dataset = build_dataset(args.config, args.data)
    times = measure(dataset, args.clips, args.rounds)
    result = dict(
        summarise(times, args.clips),
        config=args.config,
        clips=args.clips,
        rounds=args.rounds,
        cpus=os.cpu_count(),
        python=platform.python_version(),
        cv2=cv2.__version__,
    )
    say(*format_rows(result['rows']).split('\n'))
    if args.step is not None:
        rate = args.batch / args.step
        cores = cores_for(rate, result['rows'])
        result.update(clips_per_s_needed=rate, cores_needed=cores)
        say(f'{cores} cores are needed for {rate:.1f} clips/s')
    if args.json:
        write_json(args.json, result)
    return result


def build_dataset(config: str, data: str) -> Any:
    """The training set of a config on other data."""
    cfg = read_settings(find_config(config))
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    check_config(cfg, ['train_dataloader'])
    settings = cfg.train_dataloader.dataset
    settings.data_root = data
    return DATASETS.build(settings)


def measure(dataset: Any, clips: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by what was done; the first round warms up."""
    together = 2 if isinstance(dataset, GenuineClipDataset) else 1
    draws = [
        DrawnIndex(i % len(dataset), 0, i // together) for i in range(clips)
    ]
    works: dict[str, Callable[[], float]] = {
        'decoding': lambda: decode(dataset, draws),
        'pipeline': lambda: read(dataset, draws),
        'loader': lambda: load(dataset, draws),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(rounds + 1):
        for name, work in works.items():
            seconds = work()
            if round_:
                times[name].append(seconds)
    return times


def decode(dataset: Any, draws: Sequence[DrawnIndex]) -> float:
    """Read and decode the files of clips, and nothing else."""
    start = time.perf_counter()
    for draw in draws:
        info = dataset.get_data_info(draw)
        for i in info['frame_inds']:
            path = Path(info['frame_dir'], info['filename_tmpl'].format(i))
            cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    return time.perf_counter() - start


def read(dataset: Any, draws: Sequence[DrawnIndex]) -> float:
    """Take clips from the dataset."""
    start = time.perf_counter()
    for draw in draws:
        dataset[draw]
    return time.perf_counter() - start


def load(dataset: Any, draws: Sequence[DrawnIndex]) -> float:
    """Take clips from a worker process; its start does not count."""
    loader = DataLoader(
        dataset,
        batch_size=1,
        sampler=[draws[0], *draws],
        num_workers=1,
        collate_fn=list,
    )
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


def summarise(times: dict[str, list[float]], clips: int) -> dict[str, Any]:
    """Rates, and shares of the rate of decoding alone.

    The share is the median over rounds of the ratio within a round.
    """
    rows = []
    for work, taken in times.items():
        shares = [b / t for b, t in zip(times['decoding'], taken)]
        rows.append(
            {
                'work': work,
                'clips_per_s': clips / statistics.median(taken),
                'share_of_decoding': statistics.median(shares),
                'seconds': taken,
            }
        )
    return dict(rows=rows)


def cores_for(rate: float, rows: Sequence[dict[str, Any]]) -> int:
    """Worker processes, a core each, that make ``rate`` clips a second."""
    loader = next(row for row in rows if row['work'] == 'loader')
    return math.ceil(rate / loader['clips_per_s'])


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Lay the rates out as a table."""
    lines = [f'{"":<10}{"clips/s a core":>16}{"of decoding":>13}']
    for row in rows:
        lines.append(
            f'{row["work"]:<10}{row["clips_per_s"]:>16.1f}'
            f'{row["share_of_decoding"]:>13.1%}'
        )
    return '\n'.join(lines)
