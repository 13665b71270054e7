"""Scores of one detector on one test set, at one level, as arrays."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from gml_mmaction.io.records import UNSET

from .forgery_metric import ALL_LEVELS
from .pairs import Pairs, pairs_by_method
from .scores import (
    Checkpoint,
    Scored,
    ScoreFileError,
    ScoresFile,
    read_scores_file,
    split_frames,
)

__all__ = ['Scores', 'default_names', 'level_scores', 'read_scores']


class Scores(NamedTuple):
    """Scores of one detector on one test set, at one level.

    Attributes:
        name: For legends and tables.
        level: ``'video'``, ``'clip'`` or ``'frame'``.
        labels: ``(N,)``, 0 = real, 1 = fake.
        scores: ``(N,)``, P(fake) in [0, 1].
        videos: ``(N,)``, the video's id.
        methods: ``(N,)``, how it was made.
        source: The data set, None if unknown.
        manifest: SHA-256 of the prepared set's manifest, None if unknown.
        threshold: Of this level, from the source's validation set.
        untrained: AUC of networks of random weights in the same test, one
            value each, by method, ``''`` for all fakes; empty if unknown.
        pairs: Fakes beside their originals, of whole videos, by method as
            well; empty at other levels, and where no original is known.
        untrained_above: By method the share of pairs in which each of those
            networks puts the fake above its original; likewise.
        checkpoint: Whose scores they are; None if unknown.
    """

    name: str
    level: str
    labels: np.ndarray
    scores: np.ndarray
    videos: np.ndarray
    methods: np.ndarray
    source: str | None = None
    manifest: str | None = None
    threshold: float | None = None
    untrained: Mapping[str, Sequence[float]] = MappingProxyType({})
    pairs: Mapping[str, Pairs] = MappingProxyType({})
    untrained_above: Mapping[str, Sequence[float]] = MappingProxyType({})
    checkpoint: Checkpoint | None = None

    def count(self, label: int) -> int:
        """Number of videos of a class."""
        return len(set(self.videos[self.labels == label]))

    def forgeries(self) -> list[str]:
        """Names of the forgery methods."""
        return sorted(set(self.methods[self.labels == 1]))

    def against_reals(self, method: str) -> 'Scores':
        """One method's fakes and all reals."""
        kept = (self.labels == 0) | (self.methods == method)
        arrays = ('labels', 'scores', 'videos', 'methods')
        return self._replace(**{k: getattr(self, k)[kept] for k in arrays})


def read_scores(
    path: str | Path, level: str = 'video', name: str | None = None
) -> Scores:
    """Read a file that ``gml test`` wrote.

    Args:
        path: ``scores.json`` or ``scores_<target>.json``; see
            :class:`~gml_mmaction.evaluation.ForgeryMetric`.
        level: One of ``ALL_LEVELS``.
        name: For legends; the file's stem if not given.

    Raises:
        OSError: The file cannot be read.
        ScoreFileError: It is not such a file, or holds no scores of the
            level, or such as are not in [0, 1].
    """
    scores = level_scores(
        read_scores_file(path), level, name or Path(path).stem
    )
    problem = _problem(scores)
    if problem:
        raise ScoreFileError(f'{path}: {problem}')
    return scores


def level_scores(content: ScoresFile, level: str, name: str) -> Scores:
    """What a file holds of a level: arrays, empty if it has no such score."""
    levels: dict[str, Sequence[Scored]] = dict(
        video=content.videos,
        clip=content.clips,
        frame=split_frames(content.clips),
    )
    rows = levels[level]
    return Scores(
        name=name,
        level=level,
        labels=np.array([row.label for row in rows], int),
        scores=np.array([row.score for row in rows], float),
        videos=np.array([row.video_id for row in rows], str),
        methods=np.array([row.method for row in rows], str),
        source=content.source,
        manifest=content.manifest,
        threshold=content.thresholds.get(level),
        untrained=_untrained(content, f'{level}/auc'),
        pairs=pairs_by_method(content.videos) if level == 'video' else {},
        untrained_above=_untrained(content, 'pair/higher')
        if level == 'video'
        else {},
        checkpoint=content.checkpoint or None,
    )


def _untrained(content: ScoresFile, key: str) -> dict[str, list[float]]:
    if content.untrained is UNSET:
        return {}
    return {
        name.removeprefix(key).removeprefix('/'): values
        for name, values in content.untrained.items()
        if name == key or name.startswith(f'{key}/')
    }


def _problem(scores: Scores) -> str:
    """One line on what makes scores useless, '' if nothing does."""
    level = scores.level
    if not len(scores.scores):
        others = ', '.join(name for name in ALL_LEVELS if name != level)
        return f'it has no scores of a {level}. Remedy: another of {others}'
    both = set(scores.videos[scores.labels == 0])
    both &= set(scores.videos[scores.labels == 1])
    if both:
        return (
            f'video {min(both)} is labelled both real and fake. '
            'Remedy: one label for each video'
        )
    return ''


def default_names(paths: Sequence[str | Path]) -> list[str]:
    """Name files by where paths differ, without ``scores_`` and suffix.

    ``runs/gml/scores_cdf.json`` and ``runs/xception/scores_cdf.json`` become
    ``gml/cdf`` and ``xception/cdf``.
    """
    parents = [os.path.abspath(Path(path).parent) for path in paths]
    common = os.path.commonpath(parents)
    return [
        Path(
            os.path.relpath(parent, common),
            Path(path).stem.removeprefix('scores_'),
        ).as_posix()
        for parent, path in zip(parents, paths)
    ]
