"""Look at the pseudo-fakes that a config trains on: a sheet and a table.

For each family the sheet shows genuine clips, their fakes below them, and
four times the difference, as they reach the network. The table says how
much of a fake is seen, how many were drawn again because too little was seen,
how many are too faint even then, and how many clips are made in a second of
CPU time; last, how many are read alone, and with the rest of the pipeline.

Usage::

    gml fakes configs/genuine/gml_xception_genuine.py data/genuine
    gml fakes CONFIG DATA --out sheet.png --clips 3 --draws 100
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.registry import init_default_scope

from gml_mmaction.datasets import GenuineClipDataset
from gml_mmaction.datasets.genuine_clips import Pair
from gml_mmaction.datasets.samplers import seeded
from gml_mmaction.engine.config_check import check_config, read_settings
from gml_mmaction.errors import SettingError
from gml_mmaction.host.configs import find_config
from gml_mmaction.io.files import write_json
from gml_mmaction.io.text import say
from gml_mmaction.visualization.contact_sheet import captioned, write_sheet

from .common import add_import_option, import_modules
from .numbers import SEED


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add(
        'config',
        help='config that trains on pseudo-fakes: a file, or its name',
    )
    add('data', help='prepared data')
    add('--out', type=Path, default=Path('fakes.png'), help='(fakes.png)')
    add('--clips', type=int, default=2, help='of a family, shown (2)')
    add('--draws', type=int, default=32, help='of a family, measured (32)')
    add('--height', type=int, default=128, help='of a frame, pixels (128)')
    add('--seed', type=SEED, default=0, help='of the draws (0)')
    add('--json', type=Path, help='file to write the numbers to')
    add_import_option(parser)
    args = parser.parse_args(argv)
    for name in ('clips', 'draws', 'height'):
        if getattr(args, name) < 1:
            parser.error(f'--{name}: use 1 or more')
    return args


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the sheet, print the table, return it."""
    args = parse_args(argv)
    import_modules(args)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    settings = read_dataset(args.config, args.data)
    strips: list[np.ndarray] = []
    rows = []
    for family in settings.families:
        one = {**settings, 'families': [family], 'weights': None}
        dataset = DATASETS.build(one)
        pairs, seconds = draw(dataset, args.draws, args.seed)
        rows.append(describe(pairs, seconds, dataset.visible))
        for pair in pairs[: args.clips]:
            strips += show(pair, args.height)
    plain = {
        'read alone': read(dataset.before, dataset, args),
        'genuine clips': read(dataset.pipeline, dataset, args),
    }
    write_sheet(strips, args.out)
    result = dict(clips_per_s=plain, rows=rows)
    say(*format_rows(rows, plain), f'sheet: {args.out}')
    if args.json:
        write_json(args.json, result)
    return result


def read_dataset(config: str, data: str) -> Any:
    """The settings of a config's training set, on other data.

    Raises:
        SettingError: It does not train on pseudo-fakes.
    """
    cfg = read_settings(find_config(config))
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    check_config(cfg, ['train_dataloader'])
    settings = cfg.train_dataloader.dataset
    if settings.get('type') != GenuineClipDataset.__name__:
        raise SettingError(
            f'{config}: train_dataloader.dataset makes no pseudo-fakes. '
            'Remedy: a config such as '
            'configs/genuine/gml_xception_genuine.py'
        )
    settings.data_root = data
    return settings


def draw(
    dataset: GenuineClipDataset, count: int, seed: int
) -> tuple[list[Pair], float]:
    """Draw pairs as training does; return them and the CPU seconds."""
    start = time.process_time()
    pairs = []
    for number in range(count):
        with seeded(seed, number):
            index = 2 * number % len(dataset)
            pairs.append(dataset.make_pair(dataset.get_data_info(index)))
    return pairs, time.process_time() - start


def read(
    steps: Callable, dataset: GenuineClipDataset, args: argparse.Namespace
) -> float:
    """Clips a CPU second that go through some steps, without a fake."""
    start = time.process_time()
    for number in range(args.draws):
        with seeded(args.seed, number):
            steps(dataset.get_data_info(2 * number % len(dataset)))
    return args.draws / (time.process_time() - start)


def describe(
    pairs: Sequence[Pair], seconds: float, visible: float
) -> dict[str, Any]:
    """What the table says of a family."""
    changes = [pair.change for pair in pairs]
    return dict(
        family=pairs[0].family,
        change=statistics.median(changes),
        redrawn=statistics.mean(pair.redrawn > 0 for pair in pairs),
        too_faint=statistics.mean(change < visible for change in changes),
        clips_per_s=2 * len(pairs) / seconds,
    )


def show(pair: Pair, height: int) -> list[np.ndarray]:
    """Strips of the genuine clip, the fake and their difference."""
    real, fake = _frames(pair.real), _frames(pair.fake)
    grey = 128 + 4 * (fake.astype(int) - real)
    name = pair.real['data_samples'].get('video_id') or ''
    captions = (
        (real, f'real {name}', 0),
        (fake, f'{pair.family}: {pair.change:.1f} grey levels', 1),
        (grey.clip(0, 255).astype(np.uint8), 'difference, times 4', 1),
    )
    return [
        captioned([_scaled(frame, height) for frame in frames], text, label)
        for frames, text, label in captions
    ]


def _frames(packed: dict) -> np.ndarray:
    """``(1, C, T, H, W)`` as a clip, ``(T, H, W, C)``."""
    return packed['inputs'][0].permute(1, 2, 3, 0).numpy()


def _scaled(frame: np.ndarray, height: int) -> np.ndarray:
    width = round(frame.shape[1] * height / frame.shape[0])
    near = cv2.INTER_AREA if height < len(frame) else cv2.INTER_NEAREST
    return cv2.resize(frame, (width, height), interpolation=near)


def format_rows(
    rows: Sequence[dict[str, Any]], plain: dict[str, float]
) -> list[str]:
    """Lay the numbers out as a table."""
    lines = [
        f'{"":<16}{"grey levels":>12}{"redrawn":>9}{"too faint":>11}'
        f'{"clips/CPU s":>16}'
    ]
    for row in rows:
        lines.append(
            f'{row["family"]:<16}{row["change"]:>12.1f}'
            f'{row["redrawn"]:>9.0%}{row["too_faint"]:>11.0%}'
            f'{row["clips_per_s"]:>16.1f}'
        )
    lines += [f'{name:<16}{rate:>48.1f}' for name, rate in plain.items()]
    return lines
