"""Scores files: a detector's scores of each video and clip of a test set.

``ForgeryMetric`` writes them; intervals, plots, calibration and tables of
several targets read them. Fields are in the order in which they are written.
A score is P(fake) in [0, 1]; label 0 is real, 1 is fake.
"""

import os
from collections.abc import Iterable

from gml_mmaction.errors import GMLError
from gml_mmaction.io.records import (
    UNSET,
    Label,
    Record,
    Share,
    Text,
    UnsetType,
    read_record,
)

__all__ = [
    'Checkpoint',
    'ClipScore',
    'FrameScore',
    'ScoreFileError',
    'Scored',
    'ScoresFile',
    'TrackScore',
    'VideoScore',
    'check_scored_by',
    'read_scores_file',
    'split_frames',
]


class ScoreFileError(GMLError, ValueError):
    """A file that does not hold the scores asked for."""


class TrackScore(Record, frozen=True, kw_only=True):
    """A track's number, its score and how many clips it has."""

    track: int
    score: Share
    clips: int


class VideoScore(Record, frozen=True, kw_only=True):
    """A video's score, the largest of its tracks'.

    ``pair`` is the id of the genuine video that a fake was made of, or that
    a genuine one is; unset if that is not known.
    """

    video_id: str
    method: str
    label: Label
    score: Share
    pair: Text | UnsetType = UNSET
    tracks: list[TrackScore]


class ClipScore(Record, frozen=True, kw_only=True):
    """A clip's score and, of a frame-wise detector, that of each frame."""

    video_id: str
    track: int
    clip_index: int
    method: str
    label: Label
    score: Share
    pair: Text | UnsetType = UNSET
    frame_scores: list[Share] | UnsetType = UNSET


class FrameScore(Record, frozen=True, kw_only=True):
    """A frame's score."""

    video_id: str
    method: str
    label: Label
    score: Share


Scored = VideoScore | ClipScore | FrameScore


class Checkpoint(Record, frozen=True, kw_only=True):
    """The file whose weights gave scores: its name and its SHA-256."""

    name: Text
    sha256: Text

    @property
    def words(self) -> str:
        """Name and the beginning of the hash."""
        return f'{self.name} (sha256 {self.sha256[:12]})'


class ScoresFile(Record, frozen=True, kw_only=True):
    """All scores of a detector on a test set.

    Attributes:
        source: Name of the data set; None if unknown.
        manifest: SHA-256 of the prepared set's manifest; None if unknown.
        video_rule: How clips make a track's score.
        thresholds: By level, from the source's validation set.
        checkpoint: The detector's; unset if unknown, as in older files.
        videos: In order of their ids.
        clips: Likewise, and of track and number.
        untrained: Metrics of the same test by networks of random weights, a
            value for each of them; see engine/untrained.py. Unset if it was
            not asked for.
    """

    source: Text | None = None
    manifest: Text | None = None
    video_rule: str = 'mean'
    thresholds: dict[str, Share] = {}
    checkpoint: Checkpoint | UnsetType = UNSET
    videos: list[VideoScore]
    clips: list[ClipScore]
    untrained: dict[str, list[Share]] | UnsetType = UNSET


def read_scores_file(path: str | os.PathLike) -> ScoresFile:
    """Read a file that ``gml test`` wrote.

    Raises:
        OSError: The file cannot be read.
        ScoreFileError: It is not such a file.
    """
    return read_record(
        path,
        ScoresFile,
        what='file of scores',
        remedy='give the scores.json or scores_<target>.json that gml test '
        'wrote',
        error=ScoreFileError,
    )


def check_scored_by(
    path: str | os.PathLike,
    scores: ScoresFile,
    checkpoint: str | os.PathLike,
    sha256: str,
) -> list[str]:
    """Refuse scores of another detector.

    Args:
        path: The file of the scores.
        scores: What it holds.
        checkpoint: The detector's file.
        sha256: Of the weights that must have given the scores.

    Returns:
        A note, if the file does not say whose scores it holds.

    Raises:
        ScoreFileError: They are those of another checkpoint.
    """
    given = scores.checkpoint
    if given is UNSET:
        return [
            f'{path}: it does not say whose scores it holds; taken for those '
            f'of {checkpoint}'
        ]
    if given.sha256 == sha256:
        return []
    raise ScoreFileError(
        f'{path}: scores of {given.words}, not of {checkpoint} (sha256 '
        f'{sha256[:12]}). Remedy: gml test with {checkpoint}, or the other '
        'checkpoint'
    )


def split_frames(clips: Iterable[ClipScore]) -> list[FrameScore]:
    """A row for each frame of the clips whose frames have scores."""
    return [
        FrameScore(
            video_id=clip.video_id,
            method=clip.method,
            label=clip.label,
            score=score,
        )
        for clip in clips
        for score in clip.frame_scores or ()
    ]
