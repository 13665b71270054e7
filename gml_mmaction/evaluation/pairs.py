"""Matched pairs: a fake beside the genuine video that it was made of.

Person, light, camera and codec are the same in both, so that nothing but the
forgery tells them apart. A detector that goes by the person may have a fair
AUC, but not a fake above its original more often than a coin falls on heads.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .scores import VideoScore

__all__ = ['Pairs', 'matched_pairs', 'pairs_by_method', 'pairs_of']


class Pairs(NamedTuple):
    """How fakes score beside their originals.

    Attributes:
        fakes: Those whose original has a score.
        higher: Of them, those with the higher score.
        ties: Of them, those with the same.
        originals: Genuine videos in the pairs.
        p: Of an exact sign test, two-sided: the probability of a result as
            uneven as this if both orders were equally likely. Fakes of one
            original are not independent, so each original counts once, for
            the order that most of its fakes have.
        auc: Of the videos in the pairs, each once.
    """

    fakes: int
    higher: int
    ties: int
    originals: int
    p: float
    auc: float

    @property
    def words(self) -> str:
        """``'26 of 37 (p 0.021)'``, and how many are equal."""
        ties = f', {self.ties} equal' if self.ties else ''
        return f'{self.higher} of {self.fakes}{ties} (p {self.p:.2g})'


def matched_pairs(videos: Iterable[VideoScore]) -> Pairs | None:
    """Compare fakes with their originals; None if there is no such pair."""
    from scipy.stats import binomtest  # slow to import
    from sklearn.metrics import roc_auc_score

    videos = list(videos)
    originals = {v.video_id: v.score for v in videos if not v.label}
    pairs = [
        (v.pair, originals[v.pair], v.score)
        for v in videos
        if v.label and v.pair in originals
    ]
    if not pairs:
        return None
    orders: dict[str, int] = defaultdict(int)
    for name, real, fake in pairs:
        orders[name] += (fake > real) - (fake < real)
    won = sum(order > 0 for order in orders.values())
    lost = sum(order < 0 for order in orders.values())
    reals = [originals[name] for name in orders]
    fakes = [fake for _, _, fake in pairs]
    labels = [0] * len(reals) + [1] * len(fakes)
    return Pairs(
        fakes=len(pairs),
        higher=sum(fake > real for _, real, fake in pairs),
        ties=sum(fake == real for _, real, fake in pairs),
        originals=len(orders),
        p=float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
        auc=float(roc_auc_score(labels, [*reals, *fakes])),
    )


def pairs_by_method(videos: Iterable[VideoScore]) -> dict[str, Pairs]:
    """The pairs of all fakes, ``''``, and of each method if there are several.

    Methods without a pair are left out.
    """
    videos = list(videos)
    methods = sorted({v.method for v in videos if v.label})
    found = {'': matched_pairs(videos)}
    for method in methods if len(methods) > 1 else ():
        own = (v for v in videos if not v.label or v.method == method)
        found[method] = matched_pairs(own)
    return {method: pairs for method, pairs in found.items() if pairs}


def pairs_of(metrics: Mapping[str, Any], method: str = '') -> Pairs | None:
    """The pairs of ``ForgeryMetric``'s numbers, if there are any.

    Args:
        metrics: Its numbers.
        method: Whose fakes; all by default.
    """
    end = f'/{method}' if method else ''
    if f'pair/fakes{end}' not in metrics:
        return None
    return Pairs(*(metrics[f'pair/{name}{end}'] for name in Pairs._fields))
