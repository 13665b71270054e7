"""A readable summary at the end of a run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from gml_mmaction.evaluation.forgery_metric import (
    ALL_LEVELS,
    ALL_SCORES,
    SCORES,
)
from gml_mmaction.evaluation.pairs import pairs_of
from gml_mmaction.io.files import write_json
from gml_mmaction.io.records import as_json
from gml_mmaction.visualization.curves import plot_curves, read_scalars

from .provenance import started_from


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Draw the curves after training; tabulate the scores after testing.

    Writes ``curves.png`` and, after testing, ``test_metrics.json`` with all
    of the metric's keys into the work directory, and in ``initial`` how the
    network was initialised before its training. If the metric wrote the score
    of each clip and video, ``scores_file`` is its path, relative to the
    work directory.
    """

    priority = 'LOWEST'  # after CheckpointHook, which names the best

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Draw ``curves.png`` and name the files of the run."""
        curves = read_scalars(runner.work_dir)
        plot = plot_curves(curves, Path(runner.work_dir, 'curves.png'))
        info = runner.message_hub.runtime_info
        lines = [f'iterations       {runner.iter}']
        start = started_from(runner)
        if start:
            lines.append(f'started from     {start.words}')
        if 'loss' in curves:
            lines.append(f'last loss        {curves["loss"][-1][1]:.4f}')
        if 'best_score' in info:
            lines.append(f'best video/auc   {info["best_score"]:.4f}')
            lines.append(f'best checkpoint  {info["best_ckpt"]}')
        lines.append(f'last checkpoint  {info.get("last_ckpt", "none")}')
        lines.append(f'curves           {plot or "none"}')
        runner.logger.info('\n'.join(['Training ended', *lines]))

    @master_only
    def after_test_epoch(
        self, runner: Runner, metrics: dict | None = None
    ) -> None:
        """Log the table of scores and write them as JSON."""
        path = Path(runner.work_dir, 'test_metrics.json')
        written: dict[str, Any] = dict(metrics or {})
        start = started_from(runner)
        if start:
            written['initial'] = as_json(start)
        title = f'Test scores ({path})'
        for metric in runner.test_loop.evaluator.metrics:
            file = getattr(metric, 'scores_file', None)
            if file is not None:
                relative = Path(os.path.relpath(file, runner.work_dir))
                written['scores_file'] = relative.as_posix()
                title = f'Test scores ({path}; of each clip: {file})'
        write_json(path, written)
        runner.logger.info(f'{title}\n{score_table(metrics or {})}')


def score_table(metrics: Mapping[str, Any]) -> str:
    """A text table: a row per level and method, a column per score.

    Args:
        metrics: What ``ForgeryMetric`` returns, ``{'video/auc': ...}``; pairs
            and keys of other metrics follow the table. Columns for the
            threshold of another set appear if it is known.
    """
    rows: dict[str, dict] = {}
    others = []
    for key, value in metrics.items():
        level, score, *method = [*key.split('/'), '']
        if level in ALL_LEVELS and score in ALL_SCORES:
            rows.setdefault(' '.join([level, *method]), {})[score] = value
        elif level != 'pair':
            others.append(f'{key} {value}')
    if all_pairs := pairs_of(metrics):
        methods = [
            f'{method} {pairs.words}'
            for method in (key.partition('pair/fakes/')[2] for key in metrics)
            if method and (pairs := pairs_of(metrics, method))
        ]
        words = '; '.join([all_pairs.words, *methods])
        others.insert(0, f'fakes above their originals: {words}')
    known = {score for row in rows.values() for score in row}
    columns = [s for s in ALL_SCORES if s in SCORES or s in known]
    width = max([5, *map(len, rows)])
    lines = [' ' * width + ''.join(f'{score:>15}' for score in columns)]
    for name, row in rows.items():
        cells = (row.get(score) for score in columns)
        texts = ('-' if v is None else f'{v:.4f}' for v in cells)
        lines.append(f'{name:<{width}}' + ''.join(f'{t:>15}' for t in texts))
    return '\n'.join(lines + others)
