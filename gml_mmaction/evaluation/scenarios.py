"""Means by scenario, as Celeb-DF++ reports them.

Methods named ``<scenario>/<method>`` belong to a scenario: ``FaceSwap``,
``FaceReenact`` and ``TalkingFace`` of Celeb-DF++ (arXiv 2507.18015). The AUC
of a method is that of its fakes against all reals; a scenario has the mean of
its methods, each counting alike, however many videos it has.

Its three protocols are this table for several score files: GF-eval for one
test set, GFQ-eval for the same set at several qualities, GFD-eval for
detectors trained on several data sets. Which qualities its authors compress to
and what each protocol trains on is not in their README: unconfirmed here.
"""

from collections.abc import Sequence
from statistics import mean

from sklearn.metrics import roc_auc_score

from gml_mmaction.io.records import Record
from gml_mmaction.io.text import markdown_table

from .level_scores import Scores

__all__ = ['Scenario', 'scenario_table', 'scenarios_of']


class Scenario(Record, frozen=True, kw_only=True):
    """A scenario in one file of scores.

    Attributes:
        name: Of the scenario.
        auc: The mean of its methods' AUCs, a fraction.
        methods: AUC by method.
    """

    name: str
    auc: float
    methods: dict[str, float]


def scenarios_of(scores: Scores) -> list[Scenario]:
    """The scenarios of a test set, in order of their names.

    Args:
        scores: Of one level.

    Returns:
        None if no method has a scenario, or there are no reals.
    """
    found: dict[str, dict[str, float]] = {}
    for full_name in scores.forgeries() if scores.count(0) else ():
        scenario, grouped, method = full_name.partition('/')
        if grouped:
            chosen = scores.against_reals(full_name)
            auc = float(roc_auc_score(chosen.labels, chosen.scores))
            found.setdefault(scenario, {})[method] = auc
    return [
        Scenario(name=name, auc=mean(methods.values()), methods=methods)
        for name, methods in found.items()
    ]


def scenario_table(files: Sequence[Scores]) -> str:
    """Lay out the means of several files, then their methods, as Markdown.

    Args:
        files: Of one level.

    Returns:
        ``''`` if no file has scenarios.
    """
    found = {file.name: scenarios_of(file) for file in files}
    names = sorted({one.name for row in found.values() for one in row})
    if not names:
        return ''
    means = [['AUC, per cent', *names, 'all methods']]
    methods = [['AUC, per cent', *found]]
    by_method: dict[str, dict[str, float]] = {}
    for file, row in found.items():
        values: dict[str, float | None] = {one.name: one.auc for one in row}
        every = [auc for one in row for auc in one.methods.values()]
        values[''] = mean(every) if every else None
        means.append([file, *(_percent(values.get(n)) for n in [*names, ''])])
        for one in row:
            for method, auc in one.methods.items():
                by_method.setdefault(f'{one.name}/{method}', {})[file] = auc
    for method, aucs in sorted(by_method.items()):
        methods.append([method, *(_percent(aucs.get(file)) for file in found)])
    level = files[0].level
    return '\n'.join(
        [
            f'**By scenario**, {level} AUC, means over methods',
            '',
            *markdown_table(means),
            '',
            *markdown_table(methods),
            '',
        ]
    )


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.1f}'
