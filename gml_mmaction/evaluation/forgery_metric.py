"""AUC, accuracy and equal error rate of clips and of videos (Sec. 3).

A score is P(fake) in [0, 1]; label 0 is real, 1 is fake.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    roc_auc_score,
    roc_curve,
)

VIDEO_RULES: dict[str, Callable[[Sequence[float]], float]] = dict(
    mean=np.mean, median=np.median, max=np.max
)
SCORES = ('auc', 'acc', 'bacc', 'eer', 'eer_threshold', 'ap')


def equal_error_rate(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[float, float]:
    """Equal error rate and its threshold.

    The threshold is the score at which the rates of false alarms and of
    misses are closest; the rate is the mean of the two there.

    Args:
        labels: ``(N,)``, both classes present.
        scores: ``(N,)``, P(fake).
    """
    false_alarms, hits, thresholds = roc_curve(
        labels, scores, drop_intermediate=False
    )
    misses = 1 - hits
    i = np.argmin(np.abs(misses - false_alarms))
    rate = (misses[i] + false_alarms[i]) / 2
    # The first threshold is infinite: nothing is called fake.
    return float(rate), float(min(thresholds[i], 1.0))


def forgery_scores(
    labels: Sequence[int], scores: Sequence[float]
) -> dict[str, float | None]:
    """Scores of one level: AUC, ACC and balanced ACC at 0.5, EER, AP.

    A number that needs both classes is None when one of them is absent.

    Args:
        labels: ``(N,)``, 0 = real, 1 = fake.
        scores: ``(N,)``, P(fake).

    Returns:
        The keys of ``SCORES``, in [0, 1].
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    called_fake = scores >= 0.5
    result = dict.fromkeys(SCORES)
    result['acc'] = float(np.mean(called_fake == labels))
    if len(np.unique(labels)) == 2:
        eer, threshold = equal_error_rate(labels, scores)
        result.update(
            auc=float(roc_auc_score(labels, scores)),
            bacc=float(balanced_accuracy_score(labels, called_fake)),
            eer=eer,
            eer_threshold=threshold,
            ap=float(average_precision_score(labels, scores)),
        )
    return result


@METRICS.register_module()
class ForgeryMetric(BaseMetric):
    """Scores of clips and videos, overall and per forgery method.

    Keys say their level: ``video/auc``, ``clip/acc``. Where there are several
    forgery methods, each has keys of its own, its fakes against all reals:
    ``video/auc/Deepfakes``. Where only one class is present, a number that
    needs both is None, and a line says so.

    Paper: never says whether its AUC and ACC are of frames, clips or videos.
    Both levels are reported; a video's score is the mean of its clips'.

    Args:
        video_rule: ``'mean'``, ``'median'`` or ``'max'`` over a video's
            clips.
        collect_device: See MMEngine's ``BaseMetric``.
        prefix: See MMEngine's ``BaseMetric``.

    Raises:
        ValueError: Another ``video_rule``, or scores that are not numbers.
        KeyError: Samples without video id, clip index and method.
    """

    default_prefix = ''  # keys begin with their level

    def __init__(
        self,
        video_rule: str = 'mean',
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if video_rule not in VIDEO_RULES:
            raise ValueError(
                f'video_rule={video_rule!r}: use one of {sorted(VIDEO_RULES)}'
            )
        self.video_rule = video_rule

    def process(self, data_batch: object, data_samples: list[dict]) -> None:
        """Keep a clip's score, label, method and place."""
        for sample in data_samples:
            missing = {'video_id', 'clip_index', 'method'} - set(sample)
            if missing:
                raise KeyError(
                    f'samples lack {sorted(missing)}: name them in meta_keys '
                    "of the pipeline's PackActionInputs"
                )
            self.results.append(
                dict(
                    video_id=sample['video_id'],
                    clip_index=sample['clip_index'],
                    method=sample['method'],
                    label=int(sample['gt_label']),
                    score=float(sample['pred_score'][1]),
                )
            )

    def compute_metrics(self, results: list[dict]) -> dict:
        """All keys, from what all processes collected."""
        # A sampler that fills up the last batch repeats clips.
        clips = {(r['video_id'], r['clip_index']): r for r in results}
        broken = sum(not np.isfinite(r['score']) for r in clips.values())
        if broken:
            raise ValueError(
                f'{broken} of {len(clips)} clips have no finite score: the '
                'training diverged; lower the learning rate'
            )
        levels = dict(
            video=self.merge_clips(clips.values()), clip=list(clips.values())
        )
        metrics = {}
        for level, rows in levels.items():
            metrics.update(self.score_level(level, rows))
        if any(value is None for value in metrics.values()):
            present = 'fake' if rows[0]['label'] else 'real'
            print_log(
                f'ForgeryMetric: all {len(levels["video"])} videos are '
                f'{present}; AUC, EER, AP and balanced ACC need both classes '
                'and are left empty',
                logger='current',
                level=logging.WARNING,
            )
        return metrics

    def merge_clips(self, clips: Sequence[dict]) -> list[dict]:
        """One row a video, its score by ``video_rule``."""
        videos: dict[str, list[dict]] = {}
        for clip in clips:
            videos.setdefault(clip['video_id'], []).append(clip)
        merge = VIDEO_RULES[self.video_rule]
        return [
            dict(rows[0], score=float(merge([r['score'] for r in rows])))
            for rows in videos.values()
        ]

    @staticmethod
    def score_level(level: str, rows: list[dict]) -> dict:
        """``{'<level>/auc': ..., '<level>/auc/<method>': ...}``."""

        def score(chosen: list[dict], suffix: str = '') -> dict:
            values = forgery_scores(
                [r['label'] for r in chosen], [r['score'] for r in chosen]
            )
            return {f'{level}/{k}{suffix}': v for k, v in values.items()}

        metrics = score(rows)
        reals = [r for r in rows if not r['label']]
        methods = sorted({r['method'] for r in rows if r['label']})
        for method in methods if len(methods) > 1 else ():
            fakes = [r for r in rows if r['label'] and r['method'] == method]
            metrics.update(score(reals + fakes, f'/{method}'))
        return metrics
