"""The last check of a run's settings, when its data are loaded."""

from collections.abc import Collection, Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from gml_mmaction.errors import SettingError
from gml_mmaction.evaluation.forgery_metric import ALL_LEVELS, ALL_SCORES
from gml_mmaction.io.held import HeldOutput

from .provenance import joint_metainfo
from .settings import inner_datasets


class OpeningHook(Hook):
    """Compare labels and classes; at the first batch, print the log.

    :func:`.runner.build_runner` adds it to every runner.

    Args:
        held: What has been printed until now.

    Raises:
        SettingError: The head has too few classes for the labels, or another
            number than the metric can read.
    """

    priority = 'VERY_HIGH'

    def __init__(self, held: HeldOutput) -> None:
        self._held = held
        self._seen: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Look at the training data."""
        check_classes(runner.model, runner.train_dataloader.dataset, 'train')
        if runner.val_loop is not None:
            check_best(runner, names_of(runner.val_evaluator.metrics))
        self._open(runner, 'val', runner.val_loop)

    def after_val_epoch(
        self, runner: Runner, metrics: dict | None = None
    ) -> None:
        """Look at the names of the metrics, before the best is chosen."""
        check_best(runner, metrics)

    def before_val(self, runner: Runner) -> None:
        """Look at the validation data."""
        self._open(runner, 'val', runner.val_loop)

    def before_test(self, runner: Runner) -> None:
        """Look at the test data."""
        self._open(runner, 'test', runner.test_loop)

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        """Print; settings that do not fit together have failed by now."""
        self._held.release()

    after_val_iter = after_train_iter
    after_test_iter = after_train_iter

    def _open(self, runner: Runner, name: str, loop: Any) -> None:
        if loop is not None and name not in self._seen:
            self._seen.add(name)
            dataset = loop.dataloader.dataset
            check_classes(runner.model, dataset, name)
            check_metric(loop.evaluator, dataset, name)
            if len(inner_datasets(dataset)) > 1:
                check_names(dataset, name)
                loop.evaluator.dataset_meta = joint_metainfo(dataset)


def check_classes(model: Any, dataset: Any, name: str) -> None:
    """Refuse labels that the head has no class for."""
    model = getattr(model, 'module', model)
    classes = getattr(getattr(model, 'cls_head', None), 'num_classes', None)
    labels = labels_of(dataset)
    if name == 'train' and labels and min(labels) < 0:
        raise SettingError(
            'train_dataloader.dataset has an entry without a label, or '
            f'with {min(labels)}. Remedy: 0 (real) or 1 (fake) after each '
            'name'
        )
    if isinstance(classes, int) and labels and max(labels) >= classes:
        raise SettingError(
            f'model.cls_head.num_classes={classes}: {name}_dataloader.dataset '
            f'has label {max(labels)}. Remedy: '
            f'model.cls_head.num_classes={max(labels) + 1}, or labels from 0 '
            f'to {classes - 1}'
        )


def check_metric(evaluator: Any, dataset: Any, name: str) -> None:
    """Refuse labels that are neither real nor fake if they are measured."""
    kinds = {type(metric).__name__ for metric in evaluator.metrics}
    others = labels_of(dataset) - {0, 1}
    if 'ForgeryMetric' in kinds and others:
        raise SettingError(
            f'{name}_evaluator.type=ForgeryMetric: {name}_dataloader.dataset '
            f'has label {min(others)}. Remedy: 0 (real) and 1 (fake)'
        )


def check_best(runner: Runner, names: Collection[str] | None) -> None:
    """Refuse to choose the best checkpoint by a metric that does not exist.

    Args:
        runner: Its checkpoint hooks are checked.
        names: Of the metrics; None or empty if unknown.
    """
    if not names:
        return
    for hook in runner.hooks:
        if not isinstance(hook, CheckpointHook) or not hook.save_best:
            continue
        for name in hook.key_indicators:
            # Each method in the data has its own key.
            level, _, score = name.partition('/')
            plain = '/'.join([level, *score.split('/')[:1]])
            if name not in names and plain not in names and name != 'auto':
                raise SettingError(
                    f'default_hooks.checkpoint.save_best={name!r}: no metric '
                    f'has that name. Remedy: one of {", ".join(names)}'
                )


def names_of(metrics: Sequence[Any]) -> list[str]:
    """The names of the metrics, if all of them are ours; else none."""
    if any(
        type(metric).__name__ != 'ForgeryMetric' or metric.prefix
        for metric in metrics
    ):
        return []
    return [f'{level}/{score}' for level in ALL_LEVELS for score in ALL_SCORES]


def check_names(dataset: Any, name: str) -> None:
    """Refuse two prepared sets that share a video name: scores go by it."""
    seen: dict[str, Any] = {}
    for inner in inner_datasets(dataset):
        whose = inner.metainfo.get('manifest')
        for number in range(len(inner) if whose else 0):
            video = BaseDataset.get_data_info(inner, number)['video_id']
            if seen.setdefault(video, whose) != whose:
                raise SettingError(
                    f'{name}_dataloader.dataset: two data sets have a '
                    f'video {video!r}, and would share one score. Remedy: '
                    'gml test --target, which tests each alone'
                )


def labels_of(dataset: Any) -> set[int]:
    """Labels of data that MMEngine reads, without reading any sample.

    Those of ``FaceClipDataset`` were checked when it was read.
    """
    labels = set()
    for inner in inner_datasets(dataset):
        if isinstance(inner, BaseDataset) and type(inner).__name__ != (
            'FaceClipDataset'
        ):
            for number in range(len(inner)):
                info = BaseDataset.get_data_info(inner, number)
                labels.add(info.get('label'))
    return {label for label in labels if isinstance(label, int)}
