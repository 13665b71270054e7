"""Files of scores beside each other: numbers, intervals and differences."""

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import binomtest

from gml_mmaction.io.records import as_json
from gml_mmaction.io.text import markdown_table, printable

from .bootstrap import (
    FEW,
    NUMBERS,
    Assessment,
    Estimate,
    Resampling,
    intervals_fact,
    paired_difference,
    why_unpaired,
)
from .controls import control_columns
from .pairs import Pairs

__all__ = ['score_report', 'score_table']


def score_report(assessments: Sequence[Assessment]) -> dict[str, Any]:
    """All numbers, ready for JSON.

    Args:
        assessments: Of one level and resampling.

    Returns:
        ``level``, ``replicates``, ``confidence``, ``seed``, ``rows`` (the
        method is None in those of all fakes; a number is ``[value, low,
        high]``, or None with one class only), ``differences`` to the first
        file, and ``notes``: whose scores they are, and what not to trust.
    """
    first, *others = assessments
    rows, differences, notes = [], [], []
    for assessment in assessments:
        rows += _report_rows(assessment)
        if (checkpoint := assessment.scores.checkpoint) is not None:
            notes.append(f'{assessment.scores.name}: {checkpoint.words}')
        notes += _notes(assessment)
    for other in others:
        if first.overall is None or other.overall is None:
            continue
        names = f'{other.scores.name} minus {first.scores.name}'
        reason = why_unpaired(first.scores, other.scores)
        if reason:
            notes.append(f'{names}: no paired difference, as {reason}')
        else:
            difference = paired_difference(first, other)
            differences.append(dict(name=names, auc=[*difference]))
    return dict(
        level=first.scores.level,
        **first.resampling._asdict(),
        rows=rows,
        differences=differences,
        notes=notes,
    )


def _report_rows(assessment: Assessment) -> list[dict]:
    scores = assessment.scores
    results = [(None, assessment.overall), *assessment.methods.items()]
    rows = []
    for method, result in results:
        chosen = scores.against_reals(method) if method else scores
        numbers = result.estimates if result else {}
        rows.append(
            dict(
                name=scores.name,
                source=scores.source,
                manifest=scores.manifest,
                checkpoint=scores.checkpoint and as_json(scores.checkpoint),
                method=method,
                real_videos=chosen.count(0),
                fake_videos=chosen.count(1),
                scores=len(chosen.scores),
                **{k: numbers[k] if numbers else None for k in NUMBERS},
                untrained=scores.untrained.get(method or ''),
                pairs=scores.pairs.get(method or ''),
                untrained_above=scores.untrained_above.get(method or ''),
            )
        )
    return rows


def _notes(assessment: Assessment) -> list[str]:
    """Lines on numbers that are missing or not to be trusted."""
    scores, few = assessment.scores, []
    if assessment.overall is None:
        kind = 'fake' if scores.labels[0] else 'real'
        return [
            f'{scores.name}: all {scores.count(scores.labels[0])} videos are '
            f'{kind}; AUC, AP and EER need both classes'
        ]
    notes = []
    for row in _report_rows(assessment):
        who = ', '.join(filter(None, [scores.name, row['method']]))
        counts = [row['real_videos'], row['fake_videos']]
        if min(counts) < FEW:
            few.append(f'{row["method"] or "all"} {counts[0]} + {counts[1]}')
        if row['auc'].low is None:
            notes.append(f'{who}: {_no_interval(row, assessment.resampling)}')
    if few:
        notes.append(
            f'{scores.name}: fewer than {FEW} videos of a class (real + fake: '
            f'{"; ".join(few)}); such intervals tend to be too narrow'
        )
    return notes


def _no_interval(row: dict, resampling: Resampling) -> str:
    """What can be said where all replicates have the same AUC.

    Of separated classes, k disjoint pairs of a real and a fake are k
    independent trials without a failure.
    """
    line = 'no interval, as all replicates have the same AUC'
    if row['auc'].value < 1:
        return line
    pairs = min(row['real_videos'], row['fake_videos'])
    confidence = resampling.confidence
    low = binomtest(pairs, pairs).proportion_ci(confidence).low
    return (
        f'{line}; that {pairs} disjoint pairs of a real and a fake video are '
        f'in order bounds it by {low:.3f} from below (Clopper-Pearson, '
        f'{100 * confidence:g} %)'
    )


def score_table(report: Mapping) -> str:
    """Lay :func:`score_report` out as Markdown."""
    level = report['level']
    names = [f'{level} {number.upper()}' for number in NUMBERS]
    extra = control_columns(
        level,
        [row.get('untrained') or () for row in report['rows']],
        [_pairs(row) for row in report['rows']],
        [_above(row) for row in report['rows']],
    )
    rows = [['scores', 'fakes', 'real videos', 'fake videos', *names, *extra]]
    for place, row in enumerate(report['rows']):
        rows.append(
            [
                row['name'],
                row['method'] or 'all',
                str(row['real_videos']),
                str(row['fake_videos']),
                *(_text(row[number]) for number in NUMBERS),
                *(own[place] for own in extra.values()),
            ]
        )
    lines = markdown_table(rows)
    if report['differences']:
        header = ['paired difference', f'{level} AUC']
        pairs = [[d['name'], _text(d['auc'])] for d in report['differences']]
        lines += ['', *markdown_table([header, *pairs])]
    used = Resampling(*(report[name] for name in Resampling._fields))
    notes = [intervals_fact(used), *report['notes']]
    lines += ['', *(f'- {printable(line)}' for line in notes)]
    return '\n'.join(lines) + '\n'


def _text(number: Sequence | None) -> str:
    return '-' if number is None else Estimate(*number).text()


def _pairs(row: Mapping) -> str | None:
    pairs = row.get('pairs')
    return Pairs(*pairs).words if pairs else None


def _above(row: Mapping) -> list[float]:
    """In how many pairs each untrained network puts the fake above."""
    if not (pairs := row.get('pairs')):
        return []
    shares = row.get('untrained_above') or ()
    return [share * Pairs(*pairs).fakes for share in shares]
