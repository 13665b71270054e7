"""Experiments on made-up videos: which variants, on what, and their tables.

An experiment trains each variant of a network on each kind of forgery for
several seeds, all with one budget. Of a seed the variants see the same videos.
docs/experiments.md says what Eq. 1 and 2 predict, and what came out.

Intervals are Student's over seeds, of the mean: each seed has videos, initial
weights and an order of clips of its own.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student

from gml_mmaction.io.text import markdown_table

from . import since_the_paper
from .pairs import pairs_of
from .paper_tables import GML, SYSTEMS

__all__ = [
    'EXPERIMENTS',
    'VIDEOS',
    'Experiment',
    'Variant',
    'difference_table',
    'hits_table',
    'mean_interval',
    'metric_table',
    'pairs_table',
    'untrained_table',
]

CONFIDENCE = 0.95
ENOUGH = 0.9  # the validation AUC that :func:`hits_table` waits for
# Sets of videos, and what they differ in from those of `gml demo-data`. The
# inner face moves twice as far as in the demo, with half the noise.
_LOUD = ('--amplitude', '0.1', '--noise', '1')
VIDEOS = {
    'demo': _LOUD,
    'large': (
        *_LOUD,
        *('--num-train', '96', '--num-val', '32', '--num-test', '96'),
        *('--frames', '48'),
    ),
    # Hundreds of videos, as networks of attention need.
    'short': (
        *_LOUD,
        *('--num-train', '600', '--num-val', '64', '--num-test', '64'),
        *('--frames', '16'),
    ),
}


class Variant(NamedTuple):
    """A small config and what is changed in it, as ``KEY=VALUE``."""

    config: str
    options: tuple[str, ...] = ()


class Experiment(NamedTuple):
    """What is trained on what.

    Attributes:
        variants: By name.
        kinds: Of forgeries, see :mod:`gml_mmaction.synthetic.kinds`.
        seeds: How many, from 0.
        iters: Iterations of each training.
        val_interval: Iterations from one validation to the next.
        videos: A key of :data:`VIDEOS`.
        stride: From one saved frame to the next, ``gml prepare --stride``.
        options: For all variants.
        pairs: Variants whose difference is of interest: the first's metric
            minus the second's.
        hits: Whether the iterations up to a validation AUC of
            :data:`ENOUGH` are of interest.
        untrained: Networks of random weights that take the same tests. Then
            fakes beside their originals and the accuracy at the threshold of
            the validation are of interest, too.
        trained_on: A kind: all are trained on its videos, and tested on each
            kind. None: on the kind that they are tested on.
    """

    variants: Mapping[str, Variant]
    kinds: tuple[str, ...]
    seeds: int
    iters: int
    val_interval: int
    videos: str = 'large'
    stride: int = 2
    options: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    hits: bool = False
    untrained: int = 0
    trained_on: str | None = None


_NO_WORKERS = tuple(
    f'{loader}_dataloader.{setting}'
    for loader in ('train', 'val', 'test')
    for setting in ('num_workers=0', 'persistent_workers=False')
)
# Small networks learn at it, and at 0.001 late or not: `triplet` in 150
# iterations, where its loss stayed for 300; pseudo-fakes to a validation AUC
# of 0.80 in 300, where it stayed at 0.62.
_RATE = 'optim_wrapper.optimizer.lr=0.003'
# A network for one core: an eighth of the channels, no middle blocks; as many
# motion channels as the full network.
_TINY = (
    'model.backbone.width=0.125',
    'model.backbone.middle_blocks=0',
    'model.backbone.tap=block3',
    'model.backbone.motion_block.reduction=2',
    'model.cls_head.in_channels=256',
    _RATE,
    *_NO_WORKERS,
)
# What small configs of video detectors start from, and without it.
_USUAL = {
    'TALL': ('default_hooks.mimetic=None', 'model.backbone.thumbnail=0'),
    'ISTVT': (
        *('default_hooks.mimetic=None', 'model.cls_head.positions_std=1'),
    ),
    'TimeSformer': ('default_hooks.mimetic=None',),
    'Video Swin': ('default_hooks.whitened=None',),
    'VideoMAE (ViT-S)': (
        *('default_hooks.mimetic=None', 'default_hooks.whitened=None'),
    ),
    'TSM': ('default_hooks.difference=None',),
}
# Of genuine videos alone, by these families of pseudo-fakes.
_GENUINE = 'genuine/gml_xception-small_genuine.py'
_FRAMES = 'genuine/xception-small_genuine.py'
_FAMILIES = (
    *('MotionSelfBlend', 'PartMotion', 'SelfBlend', 'DetailLoss'),
    *('FaceRepeat', 'FaceDropout'),
)
_MCB = 'ablation/xception-mcb-small_demo.py'
_BLOCK = 'model.backbone.motion_block'
_BLOCKS = {
    'Xception': Variant(_MCB, (f'{_BLOCK}=None',)),
    'STM': Variant(_MCB, (f'{_BLOCK}.type=STMBlock',)),
    'MCB shared': Variant(_MCB),
    'MCB separate': Variant(_MCB, (f'{_BLOCK}.expand=separate',)),
}
_PAIRS = (('MCB shared', 'STM'), ('MCB separate', 'STM'))
_MOVING = ('jitter', 'consistency', 'triplet')


def _initial(
    temporal: str, motion: str, start: str = 'random', expand: str = 'shared'
) -> Variant:
    """GML with these initial values."""
    values = (
        f'temporal_init={temporal}',
        f'motion_init={motion}',
        f'expand_init={start}',
        f'expand={expand}',
    )
    return Variant(
        'gml_xception-small_demo.py',
        tuple(f'{_BLOCK}.{value}' for value in values),
    )


def _only(family: str, others: int = 1) -> tuple[str, ...]:
    """Pseudo-fakes of one family; a config's ``others`` are left out."""
    weights = ','.join(['1'] + ['0'] * others)
    return tuple(
        f'{loader}_dataloader.dataset.{setting}'
        for loader in ('train', 'val')
        for setting in (f'families.0.type={family}', f'weights=[{weights}]')
    )


_STM = 'stm, random'  # as in the STM authors' code
_INITIAL = {
    _STM: _initial('stm', 'random'),
    'identity, random': _initial('identity', 'random'),
    'stm, identity': _initial('stm', 'identity'),
    'stm, random, zero': _initial('stm', 'random', 'zero'),
    'stm, random, separate': _initial('stm', 'random', expand='separate'),
    'identity, identity': _initial('identity', 'identity'),
    'identity, identity, zero': _initial('identity', 'identity', 'zero'),
    'identity, identity, zero, separate': _initial(
        'identity', 'identity', 'zero', 'separate'
    ),
}
_SINCE = Experiment(
    variants={
        system: Variant(f'{stem}-small_demo.py')
        for system, stem in {
            GML: SYSTEMS[GML],
            **since_the_paper.SYSTEMS,
            **since_the_paper.CONTROLS,
        }.items()
    },
    kinds=('jitter',),
    seeds=3,
    iters=600,
    val_interval=50,
    videos='short',
    stride=1,  # a genuine face then moves half as far between frames
)

EXPERIMENTS = {
    # One motion block, which sees two frames, or three with a second order.
    'one-site': Experiment(
        variants=_BLOCKS,
        kinds=_MOVING,
        seeds=6,
        iters=500,
        val_interval=25,
        options=(
            *_TINY,
            'model.backbone.motion_stages=("block1.1",)',
            # CSTM stays a convolution of single frames.
            'optim_wrapper.paramwise_cfg.custom_keys.temporal.lr_mult=0',
        ),
        pairs=_PAIRS,
    ),
    # Motion blocks everywhere, as in the paper.
    'all-sites': Experiment(
        variants=_BLOCKS,
        kinds=_MOVING,
        seeds=6,
        iters=500,
        val_interval=25,
        options=_TINY,
        pairs=_PAIRS,
        hits=True,
    ),
    # Of the temporal kernel, of K^PM and of the expansion, which may be shared
    # or not.
    'initial-values': Experiment(
        variants=_INITIAL,
        kinds=('appearance', *_MOVING),
        seeds=3,
        iters=500,
        val_interval=25,
        options=(*_TINY, 'model.cls_head.ad_head.in_channels=91'),
        pairs=tuple((row, _STM) for row in _INITIAL if row != _STM),
        hits=True,
    ),
    # Rows of the paper's tables.
    'systems': Experiment(
        variants={
            system: Variant(f'{stem}-small_demo.py')
            for system, stem in SYSTEMS.items()
        },
        kinds=('appearance', 'jitter', 'consistency'),
        seeds=3,
        iters=200,
        val_interval=100,
        videos='demo',
    ),
    # GML, video detectors since the paper, and two that know no time.
    'since-the-paper': _SINCE,
    # The same from PyTorch's and MMAction2's random values.
    'usual-start': _SINCE._replace(
        variants={
            system: Variant(_SINCE.variants[system].config, options)
            for system, options in _USUAL.items()
        },
        seeds=1,
    ),
    # No forgery is trained on: what do pseudo-fakes find on people never seen?
    'genuine': Experiment(
        variants={
            'GML': Variant(_GENUINE),
            'STM': Variant(_GENUINE, (f'{_BLOCK}.type=STMBlock',)),
            'Xception': Variant(_FRAMES, _only('MotionSelfBlend', 0)),
            'Xception, SelfBlend': Variant(_FRAMES),
            **{
                f'GML, {family}': Variant(_GENUINE, _only(family))
                for family in _FAMILIES
            },
        },
        kinds=('appearance', *_MOVING),
        seeds=3,
        iters=300,
        val_interval=50,
        options=(_RATE, *_NO_WORKERS),
        pairs=(('GML', 'STM'), ('GML', 'Xception')),
        untrained=3,
        trained_on='jitter',  # all but `triplet` have the same genuine videos
    ),
}

# (kind, variant, seed) -> record of a finished run
Runs = Mapping[tuple[str, str, int], Mapping[str, Any]]


def mean_interval(
    values: Sequence[float],
) -> tuple[float, float | None, float | None]:
    """Mean and Student's interval of it.

    The interval is None for one value, and for values that are all the same:
    a width of zero would claim certainty.
    """
    mean = statistics.fmean(values)
    if len(set(values)) < 2:
        return mean, None, None
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def metric_table(
    runs: Runs, experiment: Experiment, key: str = 'video/auc'
) -> list[str]:
    """Markdown: mean over seeds, interval and number of seeds by kind."""

    def cell(kind: str, variant: str) -> str:
        found = [runs[at]['metrics'] for at in _of(runs, kind, variant)]
        values = [m[key] for m in found if m.get(key) is not None]
        if not values:
            return '-'
        mean, low, high = mean_interval(values)
        text = f'{mean:.3f}'
        if low is not None and high is not None:
            text += f' [{max(low, 0):.3f}, {min(high, 1):.3f}]'
        return f'{text} ({len(values)})'

    return _table(runs, experiment, experiment.variants, cell)


def untrained_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Markdown: lowest and highest video AUC of untrained networks."""

    def cell(kind: str, variant: str) -> str:
        values = [
            auc
            for at in _of(runs, kind, variant)
            for auc in runs[at].get('untrained', {}).get('video/auc', ())
        ]
        if not values:
            return '-'
        return f'{min(values):.3f} to {max(values):.3f} ({len(values)})'

    return _table(runs, experiment, experiment.variants, cell)


def pairs_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Markdown: in how many pairs the fake scores higher, over all seeds.

    With an exact sign test, as each original has one fake.
    """

    def cell(kind: str, variant: str) -> str:
        found = [runs[at]['metrics'] for at in _of(runs, kind, variant)]
        pairs = [pairs for m in found if (pairs := pairs_of(m))]
        if not pairs:
            return '-'
        fakes = sum(one.fakes for one in pairs)
        higher = sum(one.higher for one in pairs)
        ties = sum(one.ties for one in pairs)
        decided = fakes - ties
        p = float(binomtest(higher, decided).pvalue) if decided else 1.0
        return f'{higher} of {fakes} (p {p:.2g})'

    return _table(runs, experiment, experiment.variants, cell)


def hits_table(runs: Runs, experiment: Experiment) -> list[str]:
    """Markdown: the median iteration of the first validation that suffices.

    Runs without one count as later than all others; "not" is a median that
    falls among them.
    """

    def cell(kind: str, variant: str) -> str:
        found = [
            first_hit(runs[at]['validation'])
            for at in _of(runs, kind, variant)
        ]
        if not found:
            return '-'
        middle = np.median(found)  # of an even number with inf it is inf
        text = f'{middle:g}' if np.isfinite(middle) else 'not'
        reached = sum(map(math.isfinite, found))
        return f'{text} ({reached} of {len(found)})'

    return _table(runs, experiment, experiment.variants, cell)


def first_hit(validation: Iterable[Sequence[float]]) -> float:
    """The first iteration with an AUC of ``ENOUGH``; inf if there is none."""
    steps = (step for step, auc in validation if auc >= ENOUGH)
    return min(steps, default=math.inf)


def difference_table(
    runs: Runs, experiment: Experiment, key: str = 'video/auc'
) -> list[str]:
    """Markdown: mean difference of ``pairs`` over the seeds of both.

    No lines if there is no such pair.
    """

    def cell(kind: str, pair: str) -> str:
        first, second = pairs[pair]
        values = [
            runs[kind, first, seed]['metrics'][key]
            - runs[kind, second, seed]['metrics'][key]
            for kind, _, seed in _of(runs, kind, first)
            if (kind, second, seed) in runs
        ]
        if not values:
            return '-'
        mean, low, high = mean_interval(values)
        text = f'{mean:+.3f}'
        if low is not None:
            text += f' [{low:+.3f}, {high:+.3f}]'
        return f'{text} ({len(values)})'

    pairs = {f'{a} minus {b}': (a, b) for a, b in experiment.pairs}
    return _table(runs, experiment, pairs, cell)


def _of(runs: Runs, kind: str, variant: str) -> list[tuple[str, str, int]]:
    return sorted(at for at in runs if at[:2] == (kind, variant))


def _table(
    runs: Runs,
    experiment: Experiment,
    names: Iterable[str],
    cell: Any,
) -> list[str]:
    rows = [['', *experiment.kinds]]
    for name in names:
        cells = [cell(kind, name) for kind in experiment.kinds]
        if set(cells) != {'-'}:
            rows.append([name, *cells])
    return markdown_table(rows) if rows[1:] else []
