"""What was tested, as tables and as JSON, and how the numbers came about."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gml_mmaction.engine.cross_data import start_words, target_facts
from gml_mmaction.evaluation import since_the_paper as since
from gml_mmaction.evaluation.bootstrap import (
    FEW,
    Resampling,
    headline,
    intervals_fact,
)
from gml_mmaction.evaluation.forgery_metric import ALL_LEVELS
from gml_mmaction.evaluation.level_scores import level_scores
from gml_mmaction.evaluation.paper_tables import (
    NUMBERS,
    TABLES,
    Result,
    format_runs,
    format_table,
    table_rows,
)
from gml_mmaction.evaluation.scores import read_scores_file
from gml_mmaction.io.files import write_json, write_text
from gml_mmaction.io.records import as_json
from gml_mmaction.io.text import printable
from gml_mmaction.prepared.manifest import read_manifest

from .runs import Run

__all__ = ['SINCE', 'write_tables']

SINCE = 'since'  # the table of detectors since the paper, by its option


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
            all_pairs = scores.pairs.get('')
            results[level] = Result(
                seed=seed,
                threshold=scores.threshold,
                untrained=list(scores.untrained.get('', ())),
                pairs=all_pairs and all_pairs.words,
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
    lines += [target_fact(by_target[name]) for name in sorted(by_target)]
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


def target_fact(row: dict[str, Any]) -> str:
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
