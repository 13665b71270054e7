"""What a checkpoint says about its training data."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from gml_mmaction.datasets import GenuineClipDataset
from gml_mmaction.errors import CheckpointError
from gml_mmaction.evaluation.reference import Reference
from gml_mmaction.io.records import Count, Record, as_json, to_record
from gml_mmaction.io.rules import Rule, list_of, or_null, text
from gml_mmaction.prepared.manifest import Manifest, read_manifest
from gml_mmaction.synthetic.pseudo_fakes.family import PseudoFake
from gml_mmaction.synthetic.pseudo_fakes.random_pseudo_fake import (
    RandomPseudoFake,
)
from gml_mmaction.video import Rates, rates_of

from .goes_on import changed_settings, check_same_data
from .initial_weights import Initial, describe_start
from .reference import measure_reference
from .settings import inner_datasets

PROVENANCE = 'provenance'  # key of a checkpoint's meta
Told = Annotated[str | None, or_null(text(1000))]
Options = Annotated[
    dict[str, Any] | None,
    or_null(
        Rule(
            'an object of at most 10000 characters',
            lambda value: len(json.dumps(value)) <= 10_000,
        )
    ),
]


class Training(Record, frozen=True, kw_only=True):
    """What a checkpoint says about its training data, as far as we use it.

    Attributes:
        origin: What it was trained on, if the videos are synthetic or the
            fakes were made in training.
        source: Name of the data set.
        source_options: Those with which its videos were listed.
        manifest: SHA-256 of the prepared set's manifest.
        real_videos: How many; None if it does not say.
        fake_videos: Likewise.
        methods: How the fakes were made.
        pseudo_fakes: Families of the fakes that were made of genuine clips in
            training.
    """

    origin: Told = None
    source: Told = None
    source_options: Options = None
    manifest: Told = None
    real_videos: Count | None = None
    fake_videos: Count | None = None
    methods: Annotated[list[str], list_of(text(200))] = []
    pseudo_fakes: Annotated[list[str], list_of(text(200))] = []


class Validation(Record, frozen=True, kw_only=True):
    """What a checkpoint says about its validation.

    Attributes:
        origin: Of what the fakes were made, if they were made for it.
        source: Name of the data set.
        manifest: SHA-256 of its manifest.
        metrics: By their keys.
        clips: Number of clips.
        num_clips: Largest number of clips of a track.
        reference: What genuine videos and the training data are like; None
            in older checkpoints.
    """

    origin: Told = None
    source: Told = None
    manifest: Told = None
    metrics: dict[str, Any] = {}
    clips: Count | None = None
    num_clips: Count | None = None
    reference: Reference | None = None


class _Parts(Record, frozen=True):
    training: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None
    initial: Initial | None = None


@HOOKS.register_module()
class ProvenanceHook(Hook):
    """Write into each checkpoint how its crops were made and how it validated.

    With the config and the classes, which MMEngine saves, a checkpoint is then
    enough to score a video (:mod:`gml_mmaction.apis`).
    ``checkpoint['meta']['provenance']`` holds::

        {"training": {...}, "validation": {...}, "initial": {...}}

    ``training`` is the manifest of the training data without its list of
    videos: ``source`` and its options, all crop options, rules and versions
    (see :mod:`gml_mmaction.prepared.prepare`); and, of the training split,
    ``manifest`` (sha256), ``real_videos``, ``fake_videos``, ``methods`` and
    ``rates``, the spread of the frames a second of its crops. Where fakes are
    made in training, ``pseudo_fakes`` names their families.
    If videos are synthetic, ``origin`` says what they are
    (:mod:`gml_mmaction.sources.origin`), and so it does if the fakes are made
    in training (:class:`~gml_mmaction.datasets.GenuineClipDataset`). Without
    a manifest, ``training`` is the annotation's metainfo.

    ``validation`` is there if this checkpoint itself was validated, as the
    best is: ``iter``, the metric's keys in ``metrics``, ``source``,
    ``manifest``, number of ``clips`` and ``num_clips``, the largest number of
    a track; ``origin``, if its fakes are made of genuine videos; and
    ``reference``, what genuine videos and the training data are like
    (:class:`~gml_mmaction.evaluation.reference.Reference`).

    ``initial`` is how the network was initialised
    (:class:`.initial_weights.Initial`): the files, and how many tensors had
    their values before the first iteration. A run that is resumed keeps it.
    """

    def __init__(self) -> None:
        self.initial: Initial | None = None
        self._training: dict[str, Any] | None = None
        self._validation: dict[str, Any] | None = None
        self._trained_at: Rates | None = None
        self._resumed = False
        self._before: dict[str, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Read the manifest of the training data.

        Raises:
            SettingError: A resumed run was begun with other data.
        """
        self._training = describe_training(runner.train_dataloader.dataset)
        if self._resumed:
            check_same_data(self._before, self._training, runner.work_dir)
        rates = self._training.get('rates')
        if rates:
            spread = to_record(rates, Rates)
            runner.logger.info(f'Training crops: {spread} frames a second')
        if not self._resumed:
            self.initial = describe_start(runner, runner.seed)
        if self.initial:
            runner.logger.info(f'Network started from: {self.initial.words}')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember at which rate the weights were trained, and their start."""
        training = training_of(checkpoint, str(runner.cfg.get('load_from')))
        self._resumed = runner._resume
        self._before = training
        self.initial = initial_of(checkpoint)
        if self._resumed:
            self._say_changes(runner, checkpoint)
        try:
            rates = training.get('rates')
            self._trained_at = rates and to_record(rates, Rates)
        except ValueError:
            raise CheckpointError(
                f'{runner.cfg.get("load_from")}: it says of its training what '
                'cannot be. Remedy: give another checkpoint'
            ) from None

    def _say_changes(self, runner: Runner, checkpoint: dict) -> None:
        """Name settings that the run was begun with otherwise."""
        text = checkpoint.get('meta', {}).get('cfg')
        changed = changed_settings(text, runner.cfg)
        if changed:
            runner.logger.warning(
                'This run was begun with other settings '
                f'({"; ".join(changed)}). It goes on with the new ones, but '
                'the numbers of optimiser and schedule, such as the learning '
                'rate, stay those of the checkpoint. Remedy, if you want one '
                'training: another --work-dir'
            )

    def before_test(self, runner: Runner) -> None:
        """Say if the data have another rate than the training data."""
        trained = self._trained_at
        for dataset in inner_datasets(runner.test_dataloader.dataset):
            rates = getattr(dataset, 'metainfo', {}).get('rates')
            if not trained or not rates:
                continue
            here = to_record(rates, Rates)
            if not trained.near(here.median):
                speed = 'fast' if here.median < trained.median else 'slow'
                runner.logger.warning(
                    f'{dataset.ann_file}: {here} frames a second, the '
                    f'training had {trained}: motion looks too {speed}. '
                    f'Remedy: prepare with --rate {trained.median:.4g}'
                )

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Forget a validation: the weights are about to change."""
        self._validation = None

    def after_val_epoch(
        self, runner: Runner, metrics: dict | None = None
    ) -> None:
        """Keep the scores; the best checkpoint is saved after this."""
        dataset = runner.val_dataloader.dataset
        meta = joint_metainfo(dataset)
        self._validation = dict(
            iter=runner.iter,
            metrics=dict(metrics or {}),
            source=meta.get('source'),
            manifest=meta.get('manifest'),
            clips=len(dataset),
            num_clips=getattr(inner_datasets(dataset)[0], 'num_clips', None),
        )
        if isinstance(inner_datasets(dataset)[0], GenuineClipDataset):
            self._validation['origin'] = inner_datasets(dataset)[0].origin

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add all to the checkpoint's meta."""
        if self._validation and 'reference' not in self._validation:
            self._validation['reference'] = as_json(_reference(runner))
        found = dict(
            training=self._training,
            validation=self._validation,
            initial=self.initial and as_json(self.initial),
        )
        checkpoint['meta'][PROVENANCE] = {
            key: value for key, value in found.items() if value is not None
        }


def _reference(runner: Runner) -> Reference:
    scores = [
        clip
        for metric in runner.val_loop.evaluator.metrics
        for clip in getattr(metric, 'clips', ())
    ]
    return measure_reference(
        runner.model,
        runner.val_dataloader.dataset,
        runner.train_dataloader.dataset,
        scores,
    )


def read_records(
    meta: Mapping[str, Any],
) -> tuple[Training, Validation]:
    """Read what a checkpoint's meta says about training and validation.

    Raises:
        ValueError: A text is not text or is too long, or a number is
            impossible.
    """
    parts = to_record(meta.get(PROVENANCE, {}), _Parts)
    # of a checkpoint without our hook; checked in any case
    other = to_record(meta.get('dataset_meta') or {}, Training)
    training = to_record(parts.training or {}, Training)
    validation = to_record(parts.validation or {}, Validation)
    return training if parts.training else other, validation


def training_of(checkpoint: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a checkpoint says about its training data; {} if nothing.

    Raises:
        CheckpointError: It is not valid; the message begins with ``name``.
    """
    meta = checkpoint.get('meta') or {}
    try:
        read_records(meta)
    except (AttributeError, TypeError, ValueError):
        raise CheckpointError(
            f'{name}: it says of its training what cannot be. Remedy: give '
            'another checkpoint'
        ) from None
    return meta.get(PROVENANCE, {}).get('training') or {}


def initial_of(checkpoint: Mapping[str, Any]) -> Initial | None:
    """How a checkpoint's network was initialised; None if it does not say.

    Raises:
        ValueError: What it says cannot be.
    """
    meta = checkpoint.get('meta') or {}
    return to_record(meta.get(PROVENANCE, {}), _Parts).initial


def started_from(runner: Runner) -> Initial | None:
    """How the network of a runner was initialised, if its hook knows."""
    hooks = [h for h in runner.hooks if isinstance(h, ProvenanceHook)]
    return hooks[0].initial if hooks else None


def describe_training(dataset: Any) -> dict[str, Any]:
    """Say what a training set is, without its list of videos.

    For several sets in MMEngine's wrappers it holds what they have in common,
    the sources and methods of all, the sum of their videos, and each of them
    in ``datasets``.

    Args:
        dataset: ``FaceClipDataset`` or another of MMEngine's, maybe wrapped.
    """
    found: list[dict[str, Any]] = []
    for inner in inner_datasets(dataset):
        described = describe_one(inner)
        if described not in found:  # the same data twice are one set
            found.append(described)
    return found[0] if len(found) == 1 else describe_together(found)


def joint_metainfo(dataset: Any) -> dict[str, Any]:
    """The metainfo of a data set; of several, what is common to all."""
    metas = [inner.metainfo for inner in inner_datasets(dataset)]
    return dict(metas[0]) if len(metas) == 1 else _joined(metas)


def _joined(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What several sets have in common, and the sources of all."""
    common = {
        key: value
        for key, value in found[0].items()
        if all(key in one and one[key] == value for one in found)
    }
    sources = [one.get('source') for one in found]
    if any(sources):
        common['source'] = ' + '.join(dict.fromkeys(map(str, sources)))
    return common


def describe_together(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe several training sets as one."""
    methods = {name for one in found for name in one.get('methods', ())}
    sums = {
        key: sum(one[key] for one in found)
        for key in ('real_videos', 'fake_videos')
        if all(key in one for one in found)
    }
    made = {name for one in found for name in one.get('pseudo_fakes', ())}
    together = dict(_joined(found), methods=sorted(methods))
    if made:
        together['pseudo_fakes'] = sorted(made)
    rates = _joined_rates([one.get('rates') for one in found])
    return {**together, **sums, **rates, 'datasets': found}


def _joined_rates(found: list[dict | None]) -> dict[str, Any]:
    if None in found:
        return {}
    rates = [to_record(one, Rates) for one in found]
    joined = Rates(
        min(one.low for one in rates),
        statistics.median_low(one.median for one in rates),
        max(one.high for one in rates),
    )
    return {'rates': as_json(joined)}


def describe_one(dataset: Any) -> dict[str, Any]:
    """Describe a training set without a wrapper."""
    meta = {**getattr(dataset, 'metainfo', {})}
    meta = {k: v for k, v in meta.items() if k not in ('classes', 'root')}
    if isinstance(dataset, GenuineClipDataset):
        meta['origin'] = dataset.origin
    if made := pseudo_fakes_of(dataset):
        meta['pseudo_fakes'] = made
    folder = getattr(dataset, 'data_root', None)
    manifest = read_manifest(folder or '')
    if manifest is None:
        return meta
    videos = manifest.prepared('train')
    if isinstance(dataset, GenuineClipDataset):
        videos = [video for video in videos if not video.label]
    labels = Counter(video.label for video in videos)
    # of all splits; the annotation's is its own
    apart = ('root', 'origin', *meta)
    return dict(
        meta,
        **{k: v for k, v in manifest.parameters.items() if k not in apart},
        real_videos=labels[0],
        fake_videos=labels[1],
        methods=sorted({video.method for video in videos if video.label}),
        **_rates(manifest),
    )


def pseudo_fakes_of(dataset: Any) -> list[str]:
    """Names of the families of fakes that a data set makes, sorted."""
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    names = set(_families_in(steps))
    if isinstance(dataset, GenuineClipDataset):
        shares = zip(dataset.families, dataset.shares)
        names |= {type(family).__name__ for family, share in shares if share}
    return sorted(names)


def _families_in(steps: Iterable[Any]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, PseudoFake):
            yield type(step).__name__
        elif isinstance(step, RandomPseudoFake):
            if step.p:
                yield from _families_in(step.families)
        else:  # such as RandomApply
            inner = getattr(step, 'transforms', ())
            if isinstance(inner, Iterable):
                yield from _families_in(inner)


def _rates(manifest: Manifest) -> dict[str, Any]:
    """The rates of the crops; also for older manifests without them."""
    stride = manifest.stride or 1
    rates = rates_of(
        [
            video.rate or (video.fps or 0) / stride
            for video in manifest.prepared('train')
        ]
    )
    return {'rates': as_json(rates)} if rates else {}
