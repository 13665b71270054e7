"""Scores turned into probabilities, fitted on labelled videos (scikit-learn).

The result is beside the checkpoint in a side file,
``NAME.calibration.json``, and is valid for that checkpoint only, on data like
those it was fitted on, with as many fakes among them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import StratifiedKFold

from gml_mmaction.errors import GMLError
from gml_mmaction.io.files import write_json
from gml_mmaction.io.records import Record, Share, Text, as_json, read_record
from gml_mmaction.io.rules import NUMBER, Rule, list_of, one_of

from .forgery_metric import equal_error_rate
from .scores import ScoresFile

__all__ = [
    'METHODS',
    'Calibration',
    'CalibrationError',
    'calibrate',
    'calibration_path',
    'expected_error',
    'read_calibration',
]

METHODS = ('sigmoid', 'isotonic')
LEAST = 10  # videos of each class
FOLDS = 5
Videos = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Parameters = Annotated[
    list[Any],
    Rule(
        'two numbers, or two lists of numbers',
        lambda value: (
            list_of(NUMBER, 2).holds(value)
            or list_of(list_of(NUMBER), 2).holds(value)
        ),
    ),
]


class CalibrationError(GMLError, ValueError):
    """Scores or a side file that calibrate nothing."""


class Measure(Record, frozen=True, kw_only=True):
    """A number, 0 to 1, before and after the calibration."""

    before: Share
    after: Share


class Calibration(
    Record, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A monotone map from a video's score to the probability of a forgery.

    Attributes:
        checkpoint_sha256: The detector it belongs to.
        method: ``'sigmoid'``: logistic regression on the logit of the score
            (Platt). ``'isotonic'``: steps.
        parameters: Of the sigmoid ``[slope, intercept]``; of the steps two
            lists, scores and probabilities, interpolated between.
        threshold: Score of the equal error rate on the same videos.
        data: What it was fitted on, in words.
        source: Name of the data set.
        manifest: Its hash.
        real_videos: How many.
        fake_videos: How many.
        brier: Mean squared error of the plain scores as probabilities, 0 to
            1, and of the calibrated ones in cross-validation.
        expected_error: Likewise, :func:`expected_error`.
    """

    checkpoint_sha256: str
    method: Annotated[str, one_of(*METHODS)]
    parameters: Parameters
    threshold: Share
    data: Text
    source: Text | None
    manifest: Text | None
    real_videos: Videos
    fake_videos: Videos
    brier: Measure
    expected_error: Measure

    def __call__(self, scores: Sequence[float]) -> np.ndarray:
        """Probabilities for scores of videos, both in [0, 1]."""
        return _apply(self.method, self.parameters, np.asarray(scores, float))

    @property
    def facts(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        return as_json(self)

    @property
    def words(self) -> str:
        """What a reader must know of the probabilities."""
        share = self.fake_videos / (self.real_videos + self.fake_videos)
        return (
            f'Probabilities are calibrated on {self.data}; they are valid '
            f'only for data like these, of which {share:.0%} are fakes.'
        )


def calibrate(
    scores: ScoresFile,
    checkpoint_sha256: str,
    method: str = 'sigmoid',
) -> Calibration:
    """Fit on the videos of a scores file.

    Args:
        scores: Of a labelled validation set.
        checkpoint_sha256: Of the detector that gave them.
        method: See :class:`Calibration`.

    Raises:
        CalibrationError: There are fewer than ten videos of a class, or fakes
            do not have higher scores than reals.
    """
    labels = np.asarray([video.label for video in scores.videos], int)
    values = np.asarray([video.score for video in scores.videos], float)
    counts = np.bincount(labels, minlength=2)
    if counts.min() < LEAST:
        raise CalibrationError(
            f'{counts[0]} real and {counts[1]} fake videos; too few. '
            f'Remedy: at least {LEAST} of each'
        )
    parameters = _fit(method, labels, values)
    held_out = np.empty(len(values))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(values, labels):
        fold = _fit(method, labels[train], values[train])
        held_out[test] = _apply(method, fold, values[test])
    source = scores.source
    return Calibration(
        checkpoint_sha256=checkpoint_sha256,
        method=method,
        parameters=parameters,
        threshold=equal_error_rate(labels, values)[1],
        data=f'{counts[0]} real and {counts[1]} fake videos of '
        f'{source or "an unnamed set"}',
        source=source,
        manifest=scores.manifest,
        real_videos=int(counts[0]),
        fake_videos=int(counts[1]),
        brier=_before_after(brier_score_loss, labels, values, held_out),
        expected_error=_before_after(expected_error, labels, values, held_out),
    )


def expected_error(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 10
) -> float:
    """Expected calibration error: ``|share of fakes - mean probability|``.

    The mean over equally wide bins of the probability, weighted by the
    number of videos in them.

    Args:
        labels: ``(N,)``, 0 or 1.
        probabilities: ``(N,)``, in [0, 1].
        bins: How many.
    """
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [
        abs(labels[place == i].sum() - probabilities[place == i].sum())
        for i in range(bins)
    ]
    return float(np.sum(gaps) / len(labels))


def calibration_path(checkpoint: str | Path) -> Path:
    """The path of a checkpoint's side file."""
    return Path(checkpoint).with_suffix('.calibration.json')


def read_calibration(
    checkpoint: str | Path, sha256: str
) -> Calibration | None:
    """Read a checkpoint's side file; None if there is none.

    Raises:
        CalibrationError: It is broken, or of another checkpoint.
    """
    path = calibration_path(checkpoint)
    if not path.is_file():
        return None
    remedy = 'remove it, or run gml calibrate again'
    calibration = read_record(
        path,
        Calibration,
        what='calibration',
        remedy=remedy,
        error=CalibrationError,
    )
    if calibration.checkpoint_sha256 != sha256:
        raise CalibrationError(
            f'{path}: it belongs to another checkpoint. Remedy: {remedy}'
        )
    if not _rises(calibration):
        raise CalibrationError(f'{path}: not a rising curve. Remedy: {remedy}')
    return calibration


def _rises(calibration: Calibration) -> bool:
    try:
        low, middle, high = calibration([0.0, 0.5, 1.0])
    except ValueError:  # lists of different lengths
        return False
    return bool(0 <= low <= middle <= high <= 1)


def write_calibration(
    checkpoint: str | Path, calibration: Calibration
) -> Path:
    """Write a checkpoint's side file; returns its path."""
    path = calibration_path(checkpoint)
    write_json(path, calibration.facts)
    return path


def _fit(method: str, labels: np.ndarray, scores: np.ndarray) -> list:
    if method == 'sigmoid':
        # scikit-learn's own penalty keeps the slope finite where the classes
        # do not overlap
        model = LogisticRegression().fit(_logit(scores)[:, None], labels)
        slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        if slope <= 0:
            raise CalibrationError(
                'fakes do not score higher than reals there: no '
                'calibration can mend that. Remedy: another checkpoint'
            )
        return [slope, intercept]
    if method != 'isotonic':
        raise CalibrationError(f'method {method!r}: use one of {METHODS}')
    steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds='clip')
    steps.fit(scores, labels)
    return [steps.X_thresholds_.tolist(), steps.y_thresholds_.tolist()]


def _apply(
    method: str, parameters: Sequence, scores: np.ndarray
) -> np.ndarray:
    if method == 'sigmoid':
        slope, intercept = parameters
        return 1 / (1 + np.exp(-(slope * _logit(scores) + intercept)))
    return np.interp(scores, *parameters)


def _logit(scores: np.ndarray) -> np.ndarray:
    inside = scores.clip(1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))


def _before_after(
    measure: Any, labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> Measure:
    return Measure(
        before=float(measure(labels, before)),
        after=float(measure(labels, after)),
    )
