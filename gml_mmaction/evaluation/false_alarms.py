"""False alarms on genuine videos, by their numbers of faces and clips."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gml_mmaction.errors import DataError

from .forgery_metric import VIDEO_RULES
from .reference import GenuineScores, tracks_of
from .scores import ClipScore

__all__ = ['Alarms', 'false_alarms']

TRACKS = (1, 2, 4, 8, 16, 32)
CLIPS = (None, 4, 2, 1)  # None: all that a track has


class Alarms(NamedTuple):
    """How often genuine videos of a kind reach the threshold.

    Attributes:
        tracks: Faces of a video.
        clips: Of each face; None: all that it has.
        highest: Share of the videos whose highest track does, 0 to 1.
        corrected: Share of those whose corrected score does.
    """

    tracks: int
    clips: int | None
    highest: float
    corrected: float


def false_alarms(
    scores: Sequence[ClipScore],
    genuine: GenuineScores,
    rule: str,
    threshold: float,
    *,
    videos: int = 1000,
    seed: int = 0,
) -> list[Alarms]:
    """Count false alarms on videos put together of genuine tracks.

    A video of m tracks of n clips is m tracks, drawn with replacement, of
    each of which n clips that follow each other are taken.

    Args:
        scores: Of the clips of a test set, not the one that ``genuine`` knows.
        genuine: What corrects.
        rule: How clips make a track's score, a key of ``VIDEO_RULES``.
        threshold: Of a video's score.
        videos: Number of each kind.
        seed: Of the draws.

    Raises:
        DataError: There are no genuine clips.
    """
    known = tracks_of(scores)
    if not known:
        raise DataError('no genuine clips. Remedy: scores of genuine videos')
    rng = np.random.default_rng(seed)
    merge = VIDEO_RULES[rule]
    found = []
    for tracks in TRACKS:
        for clips in CLIPS:
            highest = corrected = 0
            for _ in range(videos):
                drawn = rng.integers(len(known), size=tracks)
                video = [_part(known[i], clips, rng) for i in drawn]
                highest += max(map(merge, video)) >= threshold
                corrected += genuine.correct(video).score >= threshold
            row = Alarms(tracks, clips, highest / videos, corrected / videos)
            found.append(row)
    return found


def _part(
    track: list[float], clips: int | None, rng: np.random.Generator
) -> list[float]:
    if clips is None or clips >= len(track):
        return track
    start = int(rng.integers(len(track) - clips + 1))
    return track[start : start + clips]
