"""Draw ROC, precision-recall, histograms and bars with intervals.

Reads the score files that gml test writes: of several systems on one
test set, or of one system on several sets. Where the videos are the same, the
difference of AUC to the first file gets an interval of its own.

Example:
    gml plot work_dirs/gml/scores_cdf.json \
        work_dirs/xception/scores_cdf.json --names GML Xception

Writes roc, precision_recall, histogram and methods in each --format, and the
table as intervals.md and intervals.json. Methods in groups, as those of
Celeb-DF++, have means by scenario in scenarios.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gml_mmaction.evaluation.bootstrap import Assessment, Resampling, assess
from gml_mmaction.evaluation.forgery_metric import ALL_LEVELS
from gml_mmaction.evaluation.level_scores import default_names, read_scores
from gml_mmaction.evaluation.scenarios import scenario_table
from gml_mmaction.evaluation.score_report import score_report, score_table
from gml_mmaction.io.files import write_json, write_text
from gml_mmaction.io.text import say
from gml_mmaction.visualization.score_plots import (
    draw_histograms,
    draw_methods,
    draw_precision_recall,
    draw_roc,
    save_figures,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Curves and intervals from score files.'
    )
    add = parser.add_argument
    add(
        'files',
        nargs='+',
        metavar='SCORES.json',
        help='score files of gml test',
    )
    add(
        '--names',
        nargs='+',
        help='names in the legends, one for each file; default: the part of '
        'the paths that differs',
    )
    add(
        '--level',
        choices=ALL_LEVELS,
        default='video',
        help='what a score belongs to; the bootstrap draws whole videos at '
        'every level',
    )
    add(
        '--out',
        type=Path,
        metavar='FOLDER',
        help='folder to write; default: <first file>_<level>, beside that '
        'file',
    )
    add('--replicates', type=int, default=2000, help='bootstrap replicates')
    add(
        '--confidence',
        type=float,
        default=0.95,
        help='confidence of the intervals',
    )
    add('--seed', type=int, default=0, help='random seed of the bootstrap')
    add(
        '--format',
        nargs='+',
        choices=('png', 'pdf', 'svg'),
        default=['png'],
        help='formats of the figures',
    )
    add(
        '--log-false-alarms',
        action='store_true',
        help="draw the ROC's false alarms on a logarithmic axis",
    )
    args = parser.parse_args(argv)
    problem = find_problem(args)
    if problem:
        parser.error(problem)
    return args


def find_problem(args: argparse.Namespace) -> str:
    """What is wrong with the arguments, '' if nothing."""
    if args.replicates < 100:
        return f'--replicates {args.replicates}: at least 100 are needed'
    if not 0 < args.confidence < 1:
        return f'--confidence {args.confidence}: give a number between 0 and 1'
    if args.seed < 0:
        return f'--seed {args.seed}: give 0 or more'
    names = args.names or default_names(args.files)
    if len(names) != len(args.files):
        return f'{len(args.files)} files have {len(names)} --names'
    if len(set(names)) < len(names):
        return f'two of {", ".join(names)} are the same: use --names'
    return ''


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Write figures and table; returns the content of intervals.json."""
    args = parse_args(argv)
    return plot_scores(args)


def plot_scores(args: argparse.Namespace) -> dict[str, Any]:
    """Read all files, then draw and write."""
    names = args.names or default_names(args.files)
    scores = [
        read_scores(file, args.level, name)
        for file, name in zip(args.files, names)
    ]
    resampling = Resampling(args.replicates, args.confidence, args.seed)
    assessments = [assess(item, resampling) for item in scores]
    files = dict(zip(names, args.files))
    report = dict(files=files, **score_report(assessments))
    out = args.out
    if out is None:
        first = Path(args.files[0])
        out = first.with_name(f'{first.stem}_{args.level}')
    figures = draw_all(assessments, args.log_false_alarms)
    save_figures(figures, out, args.format)
    table = score_table(report)
    write_json(out / 'intervals.json', report)
    write_text(out / 'intervals.md', table)
    if by_scenario := scenario_table(scores):
        write_text(out / 'scenarios.md', by_scenario)
        table = f'{by_scenario}\n{table}'
    names = ', '.join(figures)
    say(*table.split('\n')[:-1], f'- {names} and this table are in {out}')
    return report


def draw_all(
    assessments: Sequence[Assessment], log_false_alarms: bool
) -> dict[str, Any]:
    """Draw what the classes allow; histograms need one only."""
    figures = dict(histogram=draw_histograms(assessments))
    if any(assessment.overall for assessment in assessments):
        figures.update(
            roc=draw_roc(assessments, log_false_alarms=log_false_alarms),
            precision_recall=draw_precision_recall(assessments),
            methods=draw_methods(assessments),
        )
    return figures
