"""Curves of a training run, drawn from MMEngine's scalar logs."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

Curves = dict[str, list[tuple[int, float]]]


def read_scalars(work_dir: str | Path) -> Curves:
    """All scalars that a work directory logged, ``{name: [(step, value)]}``.

    A resumed run logs to a folder of its own. The folders are read in order
    of time; the first step of each ends what came before it, so that steps
    done again, and runs begun again, count once. A line that a killed process
    left half-written is passed over.
    """
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        rows = list(_rows(path))
        first = min((row['step'] for row in rows), default=0)
        for points in curves.values():
            for step in [step for step in points if step >= first]:
                del points[step]
        for row in rows:
            for name, value in row.items():
                if name != 'step' and isinstance(value, (int, float)):
                    curves[name][row['step']] = value
    return {
        name: sorted(points.items())
        for name, points in curves.items()
        if points
    }


def _rows(path: Path) -> Iterator[dict]:
    for line in path.read_text(encoding='utf-8').splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if 'step' in row:
            yield row


def plot_curves(curves: Curves, out: str | Path) -> Path | None:
    """Draw losses above AUCs over iterations; None if there is no loss.

    Args:
        curves: As :func:`read_scalars` gives them.
        out: The image to write.
    """
    losses = {k: v for k, v in curves.items() if k.startswith('loss')}
    scores = {k: curves[k] for k in ('video/auc', 'clip/auc') if k in curves}
    panels = [('loss', losses)] + [('validation AUC', scores)] * bool(scores)
    if not losses:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3 * len(panels)), layout='constrained')
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axis, (title, lines) in zip(axes, panels):
        for name, points in sorted(lines.items()):
            marker = '.' if len(points) < 50 else None
            axis.plot(*zip(*points), label=name, marker=marker, linewidth=1)
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
        axis.legend()
    if scores:
        lowest = min(value for line in scores.values() for _, value in line)
        axes[-1].set_ylim(min(lowest, 0.5) - 0.02, 1.02)
    axes[-1].set_xlabel('iteration')
    figure.savefig(out, dpi=120)
    return Path(out)
