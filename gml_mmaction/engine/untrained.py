"""The untrained null: the same test by networks of random weights.

A network that has learned nothing is seldom at an AUC of 0.5: a test set is
finite, and its fakes may be sharper or darker than its reals, which any
filter passes on. What such networks reach is no sign of learning.
"""

import copy
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import all_reduce_params, is_main_process
from msgspec import structs
from torch import nn

from gml_mmaction.evaluation.scores import read_scores_file
from gml_mmaction.io.files import write_json
from gml_mmaction.io.records import as_json
from gml_mmaction.io.text import say

from .runner import build_runner
from .settings import set_metric, without_files

__all__ = ['KEYS', 'add_untrained', 'take_statistics', 'untrained_metrics']

KEYS = ('auc', 'higher')  # the metrics that are kept, at each level
BATCHES = 8
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def add_untrained(cfg: Config, scores_file: Path, networks: int) -> None:
    """Give a file of scores what untrained networks reach in its test.

    Args:
        cfg: Config of the test; its metric's ``scores_file`` is unset.
        scores_file: What the trained network's test wrote.
        networks: See :func:`untrained_metrics`.
    """
    set_metric(cfg, scores_file=None, checkpoint=None)
    metrics = untrained_metrics(cfg, networks)
    if is_main_process():
        scores = read_scores_file(scores_file)
        scores = structs.replace(scores, untrained=metrics)
        write_json(scores_file, as_json(scores))


def untrained_metrics(cfg: Config, networks: int) -> dict[str, list[float]]:
    """Test networks of random weights, seeds 0 to ``networks - 1``.

    They start as a training from random weights does. Batch normalisation
    takes its statistics from the first clips of the test: without any, what
    comes out of a deep network is the same number for all videos.

    Args:
        cfg: Config of the test; not changed. Its metric must write no file.
        networks: Their number.

    Returns:
        By metric, ``'video/auc'``, ``'video/auc/<method>'``, ``'pair/higher'``
        and that of a method as a share of the pairs, a value for each
        network; with a launcher, in the main process only.
    """
    kept: dict[str, list[float]] = {}
    for seed in range(networks):
        own = copy.deepcopy(cfg)
        own.load_from = None
        own.model = ConfigDict(without_files(own.model))
        own.randomness = dict(own.get('randomness') or {}, seed=seed)
        own.work_dir = str(Path(cfg.work_dir, 'untrained', str(seed)))
        runner = build_runner(own)
        runner.model.init_weights()
        take_statistics(runner.model, runner.test_loop.dataloader)
        metrics = runner.test() or {}
        if not is_main_process():
            continue
        say(f'untrained network {seed + 1} of {networks} tested')
        for key, value in metrics.items():
            if value is None or not set(KEYS).intersection(key.split('/')):
                continue
            if key.startswith('pair/higher'):
                value /= metrics[key.replace('higher', 'fakes', 1)]
            kept.setdefault(key, []).append(value)
    return kept


def take_statistics(model: Any, batches: Iterable) -> None:
    """Give batch normalisation the means and variances of some batches.

    Args:
        model: Its weights are not changed.
        batches: As of a loader; ``BATCHES`` of them are taken. With several
            processes each has its own, and the statistics are averaged.
    """
    norms = [m for m in model.modules() if isinstance(m, NORMS)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for batch in itertools.islice(batches, BATCHES):
            model.test_step(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    kept = [norm.running_mean for norm in norms if norm.track_running_stats]
    kept += [norm.running_var for norm in norms if norm.track_running_stats]
    all_reduce_params(kept, op='mean')
    model.eval()
