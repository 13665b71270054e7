"""From a video's scored clips to its score and verdict."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from msgspec import structs

from gml_mmaction.evaluation.forgery_metric import VIDEO_RULES
from gml_mmaction.evaluation.prediction import Clip, ScoredTrack, VideoFacts
from gml_mmaction.evaluation.reference import Unlike
from gml_mmaction.faces.square import Square
from gml_mmaction.io.records import UNSET, UnsetType
from gml_mmaction.video import VideoError

from .detector import Detector
from .scoring import Scored

__all__ = ['VERDICTS', 'face_side', 'judge']

Span = Callable[[int, int], dict[str, Any]]

VERDICTS = ('suspicious', 'not suspicious', 'no face', 'no verdict')


def judge(
    detector: Detector,
    tracks: Sequence[Scored],
    span: Span,
    video: VideoFacts,
    even_if_unlike: bool,
) -> dict[str, Any]:
    """The score and the verdict of a video, and its tracks.

    Args:
        detector: Which scored them.
        tracks: At least one, each with at least one clip.
        span: Where in the video something begins and ends, from its first
            position and the one after its last.
        video: Facts of the file.
        even_if_unlike: Whether there is a verdict on a video, too, that is
            unlike the training data.

    Returns:
        Fields of a ``Prediction``.

    Raises:
        VideoError: The network gives no finite score.
    """
    rows = [
        _scored_track(detector, index, scored, span)
        for index, scored in enumerate(tracks)
    ]
    score = max(row.score for row in rows)
    if not np.isfinite(score):
        raise VideoError('error', 'the network gives no finite score')
    worst = max(
        ((row, clip) for row in rows for clip in row.clips),
        key=lambda pair: pair[1].score,
    )
    if detector.genuine is None:
        corrected = None
        decides = max(rows, key=lambda row: row.score)
    else:
        corrected = detector.genuine.correct(
            [[clip.score for clip in row.clips] for row in rows]
        )
        decides = rows[corrected.track]
    compared = score if corrected is None else corrected.score
    calibrated = detector.calibration
    unlike = _unlike(detector, video, decides)
    withheld = any(one.withholds for one in unlike) and not even_if_unlike
    suspicious = compared >= detector.threshold.value
    return dict(
        verdict='no verdict' if withheld else VERDICTS[0 if suspicious else 1],
        score=score,
        corrected=corrected and corrected.score,
        chance=corrected and corrected.chance,
        probability=calibrated and float(calibrated([compared])[0]),
        unlike=[one.text for one in unlike],
        most_suspicious=structs.replace(worst[1], track=worst[0].track),
        tracks=rows,
    )


def _unlike(
    detector: Detector, video: VideoFacts, track: ScoredTrack
) -> list[Unlike]:
    """In which a video and its face are unlike the training data."""
    if detector.reference is None:
        return []
    return detector.reference.unlike(
        dict(
            rate=video.rate or None,
            face=face_side(track) / 2,
            bits=video.bits or None,
            length=video.seconds,
            brightness=track.brightness,
            sharpness=track.sharpness,
        )
    )


def face_side(track: ScoredTrack) -> float:
    """The median over the clips of the side of what was cut out."""
    squares = [
        track.square if clip.square is UNSET else clip.square
        for clip in track.clips
    ]
    return float(np.median([side for _, _, side in squares]))


def _scored_track(
    detector: Detector, index: int, scored: Scored, span: Span
) -> ScoredTrack:
    track = scored.track
    length = detector.clip_len * detector.crop_options.stride
    squares: Iterable[Square | UnsetType] = scored.squares or repeat(UNSET)
    clips = [
        Clip(
            **span(first, first + length),
            score=score,
            square=UNSET if square is UNSET else list(square),
        )
        for first, score, square in zip(scored.starts, scored.scores, squares)
    ]
    merge = VIDEO_RULES[detector.video_rule]
    assert track.stop is not None  # it has ended
    assert track.square is not None
    return ScoredTrack(
        track=index,
        **span(track.start, track.stop),
        square=list(track.square),
        seen=track.seen,
        score=float(merge(scored.scores)),
        brightness=scored.look('brightness'),
        sharpness=scored.look('sharpness'),
        clips=clips,
    )
