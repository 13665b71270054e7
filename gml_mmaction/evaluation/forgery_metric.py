"""AUC, accuracy and equal error rate of frames, clips and videos (Sec. 3).

A score is P(fake) in [0, 1]; label 0 is real, 1 is fake.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import ArrayLike

from gml_mmaction.errors import CheckpointError, SettingError
from gml_mmaction.io.files import file_sha256, write_json
from gml_mmaction.io.records import UNSET, UnsetType, as_json
from gml_mmaction.io.text import printable

from .pairs import pairs_by_method
from .scores import (
    Checkpoint,
    ClipScore,
    Scored,
    ScoresFile,
    TrackScore,
    VideoScore,
    split_frames,
)

VIDEO_RULES: dict[str, Callable[[Sequence[float]], float]] = dict(
    mean=np.mean, median=np.median, max=np.max
)
SCORES = ('auc', 'acc', 'bacc', 'eer', 'eer_threshold', 'ap')
# at a threshold that comes from the source's validation set
ALL_SCORES = (*SCORES, 'acc_val', 'bacc_val')
LEVELS = ('video', 'clip')
ALL_LEVELS = (*LEVELS, 'frame')  # frames, where a detector scores them


def equal_error_rate(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[float, float]:
    """Equal error rate and its threshold.

    The threshold is where the rates of false alarms and of misses are
    closest; the rate is the mean of the two there. Of several such the one
    of the smallest rate is taken, and of equal rates the strictest. Between
    two neighbouring scores all thresholds call the same videos fake; the
    middle is taken, for on other data it has the widest margin.

    Args:
        labels: ``(N,)``, both classes present.
        scores: ``(N,)``, P(fake).
    """
    thresholds = np.unique(scores)[::-1]
    alarms, hits = (
        np.r_[0, np.searchsorted(np.sort(-own), -thresholds, side='right')]
        for own in (scores[labels == 0], scores[labels == 1])
    )
    rate, i = closest_rates(alarms, hits)
    # Above the first threshold nothing is called fake.
    upper, lower = np.r_[np.inf, thresholds, 0.0][i : i + 2].clip(0, 1)
    return float(rate), float((upper + lower) / 2)


def closest_rates(
    alarms: np.ndarray, hits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Equal error rate from counts.

    Rates are compared as whole numbers, times the reals and the fakes:
    rounding decides no tie.

    Args:
        alarms: ``(..., K)``, how many reals are called fake at each of K
            falling thresholds: none at the first, all at the last.
        hits: The same of fakes.

    Returns:
        The rate and its place, ``(...)`` each; see :func:`equal_error_rate`.
    """
    alarms, hits = alarms.astype(np.int64), hits.astype(np.int64)
    reals, fakes = alarms[..., -1:], hits[..., -1:]
    false, missed = alarms * fakes, (fakes - hits) * reals
    apart, both = np.abs(false - missed), false + missed
    farther = apart > apart.min(axis=-1, keepdims=True)
    both[farther] = both.max() + 1
    place = both.argmin(axis=-1)
    return both.min(axis=-1) / (2 * reals * fakes)[..., 0], place


def forgery_scores(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float | None = None,
) -> dict[str, float | None]:
    """Scores of one level: AUC, ACC and balanced ACC at 0.5, EER, AP.

    A number that needs both classes is None when one of them is absent.

    Args:
        labels: ``(N,)``, 0 = real, 1 = fake.
        scores: ``(N,)``, P(fake).
        threshold: A score from which on to call fake; adds ACC and
            balanced ACC there, ``acc_val`` and ``bacc_val``.

    Returns:
        The keys of ``SCORES``, or with a threshold ``ALL_SCORES``, in
        [0, 1].
    """
    from sklearn import metrics  # slow to import

    labels, scores = np.asarray(labels), np.asarray(scores)
    result: dict[str, float | None] = dict.fromkeys(
        SCORES if threshold is None else ALL_SCORES
    )
    both = len(np.unique(labels)) == 2
    for suffix, least in (('', 0.5), ('_val', threshold)):
        if least is None:
            continue
        called_fake = scores >= least
        result[f'acc{suffix}'] = float(np.mean(called_fake == labels))
        if both:
            bacc = metrics.balanced_accuracy_score(labels, called_fake)
            result[f'bacc{suffix}'] = float(bacc)
    if both:
        eer, eer_threshold = equal_error_rate(labels, scores)
        result.update(
            auc=float(metrics.roc_auc_score(labels, scores)),
            eer=eer,
            eer_threshold=eer_threshold,
            ap=float(metrics.average_precision_score(labels, scores)),
        )
    return result


def merge_clips(
    clips: Iterable[ClipScore], video_rule: str
) -> list[VideoScore]:
    """One row a video: the largest of its tracks' scores.

    A track's score is that of its clips by ``video_rule``, a key of
    ``VIDEO_RULES``. A video is fake if any face in it is, hence the maximum
    over tracks; with one track a video it is without effect.
    """
    merge = VIDEO_RULES[video_rule]
    rows = []
    for video_id, own in _grouped(clips, 'video_id').items():
        tracks = [
            TrackScore(
                track=track,
                score=float(merge([clip.score for clip in members])),
                clips=len(members),
            )
            for track, members in sorted(_grouped(own, 'track').items())
        ]
        rows.append(
            VideoScore(
                video_id=video_id,
                method=own[0].method,
                label=own[0].label,
                pair=own[0].pair,
                score=max(track.score for track in tracks),
                tracks=tracks,
            )
        )
    return rows


def _grouped(
    rows: Iterable[ClipScore], key: str
) -> dict[Any, list[ClipScore]]:
    groups: dict[Any, list[ClipScore]] = {}
    for row in rows:
        groups.setdefault(getattr(row, key), []).append(row)
    return groups


# What a sample may name its video by, the first that is there.
NAMES = ('video_id', 'filename', 'frame_dir', 'img_path', 'img_key')


@METRICS.register_module()
class ForgeryMetric(BaseMetric):
    """Scores of clips and videos, overall and per forgery method.

    Keys say their level: ``video/auc``, ``clip/acc``. A frame-wise detector
    leaves ``frame_scores``, P(fake) of each frame, in its samples; then there
    is ``frame/auc`` as well. Where there are several forgery methods, each
    has keys of its own, its fakes against all reals: ``video/auc/Deepfakes``.
    Where only one class is present, a number that needs both is None, and a
    line says so. Where fakes name their originals there are ``pair/fakes``,
    ``pair/higher`` and the others of :class:`~.pairs.Pairs`, of videos, and of
    each of several methods ``pair/higher/Deepfakes`` and its like.

    Paper: never says whether its AUC and ACC are of frames, clips or videos.
    All levels are reported; a video's score is the mean of its clips'. It is
    silent on several faces, too: a video has the score of the track that
    looks most forged (:func:`merge_clips`).

    The scores file (:class:`~gml_mmaction.evaluation.scores.ScoresFile`)
    holds the rows that the numbers are made of, by id. ``source`` and
    ``manifest`` are those of the annotation file.

    Args:
        video_rule: ``'mean'``, ``'median'`` or ``'max'`` over a track's
            clips.
        thresholds: ``{'video': t, 'clip': t}`` or one of them, P(fake) in
            [0, 1], from the source's validation set; adds ``video/acc_val``,
            ``video/bacc_val`` and those of ``clip``.
        scores_file: JSON to write with the score of each video and clip.
        checkpoint: The file whose weights are tested, which the scores file
            is to name. It is read now, as a training may replace it.
        collect_device: How processes hand their rows to the first: ``'gpu'``
            by NCCL or, on a CPU, gloo; ``'cpu'`` by files in ``.dist_test``,
            a folder that all machines must share.
        prefix: See MMEngine's ``BaseMetric``.

    Attributes:
        clips: Of the last evaluation, in the main process.

    Raises:
        SettingError: Scores of another shape than ``(2,)``.
        SettingError: Another ``video_rule``, a threshold of another level or
            out of range, or scores that are not numbers.
    """

    default_prefix = ''  # keys begin with their level

    def __init__(
        self,
        video_rule: str = 'mean',
        thresholds: Mapping[str, float] | None = None,
        scores_file: str | Path | None = None,
        checkpoint: str | Path | None = None,
        collect_device: str = 'gpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if video_rule not in VIDEO_RULES:
            raise SettingError(
                f'video_rule={video_rule!r}: use one of {sorted(VIDEO_RULES)}'
            )
        self.video_rule = video_rule
        self.thresholds = dict(thresholds or {})
        for level, threshold in self.thresholds.items():
            if level not in LEVELS or not 0 <= threshold <= 1:
                raise SettingError(
                    f'thresholds={self.thresholds!r}: give numbers in [0, 1] '
                    "for 'video' and 'clip'"
                )
        self.scores_file = scores_file
        self.checkpoint = _checkpoint(checkpoint)
        self.clips: list[ClipScore] = []

    def process(self, data_batch: object, data_samples: list[dict]) -> None:
        """Keep a clip's score, label, method and place."""
        for sample in data_samples:
            frames = sample.get('frame_scores')
            row = ClipScore(
                **self.place(sample),
                label=int(sample['gt_label']),
                score=self.fake_score(sample['pred_score']),
                frame_scores=UNSET if frames is None else frames.tolist(),
            )
            self.results.append(row)

    @staticmethod
    def fake_score(scores: Any) -> float:
        """P(fake) of a sample's scores, of real and of fake.

        Raises:
            SettingError: They are of each clip, as the host's heads leave
                them by default, or of other classes.
        """
        if scores.ndim > 1:
            raise SettingError(
                'model.cls_head.average_clips=None, the default: the metric '
                "reads one score of a video. Remedy: 'prob'"
            )
        if len(scores) != 2:
            raise SettingError(
                f'model.cls_head.num_classes={len(scores)}: ForgeryMetric '
                'reads scores of real and fake. Remedy: 2'
            )
        return float(scores[1])

    def place(self, sample: dict) -> dict:
        """Video, track, clip and method of a sample, as far as known.

        A sample that does not name its video counts as one: it goes by
        its file, or by its number in the data set. MMEngine's sampler deals
        samples out to the processes in turn.
        """
        number = len(self.results) * get_world_size() + get_rank()
        named = (sample[key] for key in NAMES if sample.get(key) is not None)
        label = int(sample['gt_label'])
        return dict(
            video_id=str(next(named, number)),
            track=int(sample.get('track', 0)),
            clip_index=int(sample.get('clip_index', number)),
            method=sample.get('method', 'fake' if label else 'real'),
            pair=sample.get('pair') or UNSET,
        )

    def compute_metrics(self, results: list[ClipScore]) -> dict:
        """All keys, from what all processes collected.

        MMEngine calls it in the main process only, which alone writes the
        scores file.
        """
        # A sampler that fills up the last batch repeats clips.
        clips = {(r.video_id, r.track, r.clip_index): r for r in results}
        broken = sum(not np.isfinite(r.score) for r in clips.values())
        if broken:
            raise CheckpointError(
                f'{broken} of {len(clips)} clips have no finite score: the '
                'training diverged. Remedy: lower the learning rate, or give '
                'another checkpoint'
            )
        self.clips = kept = list(clips.values())
        videos = merge_clips(kept, self.video_rule)
        levels: dict[str, Sequence[Scored]] = dict(
            video=videos, clip=kept, frame=split_frames(kept)
        )
        metrics: dict[str, float | None] = {}
        for level, rows in levels.items():
            if rows:
                metrics.update(
                    score_level(level, rows, self.thresholds.get(level))
                )
        for method, pairs in pairs_by_method(videos).items():
            end = f'/{method}' if method else ''
            for name, value in pairs._asdict().items():
                metrics[f'pair/{name}{end}'] = value
        if any(value is None for value in metrics.values()):
            present = 'fake' if kept[0].label else 'real'
            print_log(
                f'ForgeryMetric: all {len(videos)} videos are '
                f'{present}; AUC, EER, AP and balanced ACC need both classes '
                'and are left empty',
                logger='current',
                level=logging.WARNING,
            )
        if self.scores_file is not None:
            self.write_scores(videos, kept)
        return metrics

    def write_scores(
        self, videos: list[VideoScore], clips: list[ClipScore]
    ) -> None:
        """Write ``scores_file``; videos and clips in order of their ids."""
        assert self.scores_file is not None
        meta = self.dataset_meta or {}
        scores = ScoresFile(
            source=meta.get('source'),
            manifest=meta.get('manifest'),
            video_rule=self.video_rule,
            thresholds=self.thresholds,
            checkpoint=self.checkpoint,
            videos=sorted(videos, key=attrgetter('video_id')),
            clips=sorted(
                clips, key=attrgetter('video_id', 'track', 'clip_index')
            ),
        )
        write_json(self.scores_file, as_json(scores))


def _checkpoint(path: str | Path | None) -> Checkpoint | UnsetType:
    sha256 = file_sha256(path) if path else None
    if path is None or sha256 is None:
        return UNSET
    return Checkpoint(name=printable(Path(path).name), sha256=sha256)


def score_level(
    level: str,
    rows: Sequence[Scored],
    threshold: float | None = None,
) -> dict[str, float | None]:
    """``{'<level>/auc': ..., '<level>/auc/<method>': ...}``.

    Args:
        level: One of ``ALL_LEVELS``.
        rows: Of this level.
        threshold: See :func:`forgery_scores`.
    """

    def score(chosen: Sequence[Scored], suffix: str = '') -> dict:
        values = forgery_scores(
            [r.label for r in chosen],
            [r.score for r in chosen],
            threshold,
        )
        return {f'{level}/{k}{suffix}': v for k, v in values.items()}

    metrics = score(rows)
    reals = [r for r in rows if not r.label]
    methods = sorted({r.method for r in rows if r.label})
    for method in methods if len(methods) > 1 else ():
        fakes = [r for r in rows if r.label and r.method == method]
        metrics.update(score(reals + fakes, f'/{method}'))
    return metrics
