"""A detector's result for one video, as records.

Made by :func:`gml_mmaction.apis.analyse`, written as ``prediction.json`` and
drawn. Fields are in the order in which they are written. Spans of time are
``[start, stop]``, frames as well as seconds.
"""

from typing import Annotated, TypeVar

from gml_mmaction.io.records import UNSET, Record, UnsetType
from gml_mmaction.io.rules import one_of

__all__ = ['Clip', 'Prediction', 'ScoredTrack', 'VideoFacts', 'known']

T = TypeVar('T')


def known(value: T | None) -> T:
    """A fact that is known, as a time in a video whose frame rate is."""
    assert value is not None
    return value


class Clip(Record, frozen=True, kw_only=True):
    """A scored clip.

    Attributes:
        start: Its first frame in the video.
        stop: The first behind it.
        seconds: The same in time; None where the frame rate is not known.
        score: P(fake).
        track: Number of its track, if that is not clear.
        square: What was cut out, where the track's face moved.
    """

    start: int
    stop: int
    seconds: list[float] | None
    score: float
    track: int | UnsetType = UNSET
    square: list[int] | UnsetType = UNSET


class ScoredTrack(Record, frozen=True, kw_only=True):
    """A face that was followed.

    Attributes:
        track: Its number.
        start: Its first frame in the video.
        stop: The first behind it.
        seconds: The same in time; None where the frame rate is not known.
        square: What was cut out: left, top, side, in pixels of the video; of
            a face that moved, at its start.
        seen: Share of the track in which the face was seen.
        score: P(fake), of its clips.
        brightness: Mean of what the network saw, grey levels.
        sharpness: Likewise, mean of the Laplacian's absolute value.
        clips: In order of time.
    """

    track: int
    start: int
    stop: int
    seconds: list[float] | None
    square: list[int]
    seen: float | None
    score: float
    brightness: float | None = None
    sharpness: float | None = None
    clips: list[Clip]


class VideoFacts(Record, frozen=True, kw_only=True):
    """A video as it was read.

    Attributes:
        fps: Frames a second; None where it is not known.
        width: In pixels.
        height: In pixels.
        num_frames: How many there are.
        seconds: Its length; None where it is not known.
        rate: Frames a second that were taken.
        bits: Bits a pixel of the file, with its sound; None of images.
    """

    fps: float | None
    width: int
    height: int
    num_frames: int
    seconds: float | None
    rate: float | UnsetType | None = UNSET
    bits: float | UnsetType | None = UNSET


class Prediction(Record, frozen=True, kw_only=True):
    """What was found in one video.

    Attributes:
        input: Its name.
        sha256: Of the file; of a folder, of its files (see
            :func:`~gml_mmaction.io.files.folder_sha256`); None for an array
            and where it cannot be read.
        status: ``'ok'`` or why there is no score: ``'no face'``,
            ``'too short'``, ``'empty'``, ``'unreadable'``, ``'missing'``,
            ``'error'``.
        detail: Particulars of the status, in a line.
        verdict: ``'suspicious'``, ``'not suspicious'``, ``'no face'`` or
            ``'no verdict'``.
        score: P(fake), the highest of the tracks'.
        corrected: The score that is compared with the threshold: corrected
            for the number of tracks and clips (see
            :class:`~gml_mmaction.evaluation.reference.GenuineScores`); None
            where the checkpoint knows too few genuine tracks.
        chance: How often a genuine video with as many tracks and clips
            reaches the score, by the genuine tracks of the validation.
        probability: Of a forgery, if there is a calibration.
        threshold: Score from which a video is suspicious.
        unlike: In which the video, or the face that decides, is unlike the
            training data, and how far.
        rule: How the scores of its clips make a track's: ``'mean'``,
            ``'median'`` or ``'max'``.
        most_suspicious: The clip with the highest score.
        video: None where it cannot be opened.
        notes: What was odd, one line each.
        tracks: Those with a scored clip, in order of time.
        timing: In seconds; decoding runs beside the rest.
    """

    input: str
    sha256: str | None = None
    status: str = 'ok'
    detail: str = ''
    verdict: str = 'no verdict'
    score: float | None = None
    corrected: float | None = None
    chance: float | None = None
    probability: float | None = None
    threshold: float
    rule: Annotated[str, one_of('mean', 'median', 'max')] = 'mean'
    most_suspicious: Clip | None = None
    video: VideoFacts | None = None
    unlike: list[str] = []
    notes: list[str] = []
    tracks: list[ScoredTrack] = []
    timing: dict[str, float] = {}
