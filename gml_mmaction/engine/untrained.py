"""The untrained null: the same test by networks of random weights.

A network that has learned nothing is seldom at an AUC of 0.5: a test set is
finite, and its fakes may be sharper or darker than its reals, which any
filter passes on. What such networks reach is no sign of learning.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from msgspec import structs

from gml_mmaction.evaluation.scores import read_scores_file
from gml_mmaction.io.files import write_json
from gml_mmaction.io.records import as_json
from gml_mmaction.io.text import say

from .runner import build_runner
from .settings import without_files

__all__ = ['KEYS', 'add_untrained', 'untrained_metrics']

KEYS = ('auc', 'higher')  # the metrics that are kept, at each level


def untrained_metrics(cfg: Config, networks: int) -> dict[str, list[float]]:
    """Test networks of random weights, seeds 0 to ``networks - 1``.

    They start as a training from random weights does, and are tested in the
    state of evaluation, so that batch normalisation changes nothing yet.

    Args:
        cfg: Config of the test; not changed. Its metric must write no file.
        networks: Their number.

    Returns:
        By metric, ``'video/auc'``, ``'video/auc/<method>'``, ``'pair/higher'``
        as a share of the pairs, a value for each network; with a launcher, in
        the main process only.
    """
    kept: dict[str, list[float]] = {}
    name = cfg.get('experiment_name') or Path(cfg.filename or 'test').stem
    for seed in range(networks):
        own = copy.deepcopy(cfg)
        own.load_from = None
        own.model = ConfigDict(without_files(own.model))
        own.randomness = dict(own.get('randomness') or {}, seed=seed)
        own.experiment_name = f'{name}_untrained{seed}'
        own.work_dir = str(Path(cfg.work_dir, 'untrained', str(seed)))
        runner = build_runner(own)
        runner.model.init_weights()
        metrics = runner.test() or {}
        if not is_main_process():
            continue
        say(f'untrained network {seed + 1} of {networks} tested')
        for key, value in metrics.items():
            if value is None or not set(KEYS).intersection(key.split('/')):
                continue
            if key == 'pair/higher':
                value /= metrics['pair/fakes']
            kept.setdefault(key, []).append(value)
    return kept


def add_untrained(path: str | Path, metrics: Mapping[str, list]) -> None:
    """Write the null into a file of scores, for tables and figures."""
    scores = structs.replace(read_scores_file(path), untrained=dict(metrics))
    write_json(path, as_json(scores))
