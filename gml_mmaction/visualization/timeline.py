"""The scores of a video's faces over time, as a picture."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from gml_mmaction.evaluation.prediction import (
    Clip,
    Prediction,
    ScoredTrack,
    known,
)
from gml_mmaction.io.text import counted, figure_text

from .palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

__all__ = [
    'TRACK_COLOURS',
    'draw_timeline',
    'faceless',
    'made_line',
    'probability_text',
    'unlike_lines',
    'verdict_line',
]

# The most suspicious face has the first.
TRACK_COLOURS = (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY)
MARKERS = 'osD^vP'
OTHERS = '#999999'
RULES = dict(mean='mean', median='median', max='highest')


def verdict_line(prediction: Prediction) -> str:
    """Verdict, score and threshold in a line; or why there is none."""
    score = prediction.score
    if score is None:
        detail = prediction.detail
        return prediction.status + (f': {detail}' if detail else '')
    text = f'video score {score:.3f}'
    compared = score
    if prediction.corrected not in (None, score):
        compared = known(prediction.corrected)
        clips = sum(len(track.clips) for track in prediction.tracks)
        text += (
            f', corrected for {counted(len(prediction.tracks), "face")} and '
            f'{counted(clips, "clip")} {compared:.3f}'
        )
    if prediction.verdict == 'no verdict':
        text = f'no verdict, unlike the training: {text} '
        text += f'(threshold {prediction.threshold:.3f})'
    else:
        side = '<' if compared < prediction.threshold else '≥'
        text = f'{prediction.verdict}: {text} {side} '
        text += f'threshold {prediction.threshold:.3f}'
    if prediction.probability is not None:
        shown = probability_text(prediction.probability)
        text += f', calibrated probability {shown}'
    return text


def unlike_lines(prediction: Prediction) -> list[str]:
    """In which a video is unlike the training, a line each."""
    return [f'unlike the training: {text}' for text in prediction.unlike]


def made_line(prediction: Prediction) -> str:
    """How the scores of clips make that of a video with tracks, in a line."""
    tracks = prediction.tracks
    worst = max(tracks, key=lambda track: track.score)
    scores = [clip.score for clip in worst.clips]
    if len(scores) == 1:
        own = 'that of its only clip'
    else:
        own = (
            f'the {RULES[prediction.rule]} of its {len(scores)} clips '
            f'({min(scores):.2f} to {max(scores):.2f})'
        )
    if len(tracks) == 1:
        return f'the video score is that of face {worst.track}: {own}'
    return (
        f'the video score is the highest of {len(tracks)} faces: face '
        f'{worst.track} has {worst.score:.3f}, {own}'
    )


def probability_text(probability: float) -> str:
    """Two digits; never 0 or 1, which no video of a few hundred can show."""
    if 0.01 <= probability <= 0.99:
        return f'{probability:.2f}'
    return 'above 0.99' if probability > 0.5 else 'below 0.01'


def draw_timeline(
    prediction: Prediction, detector: Mapping[str, Any], out: str | Path
) -> Path:
    """Draw each track's clips over time, and where no face is.

    Args:
        prediction: Of the video.
        detector: Its ``facts``.
        out: The image to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout='constrained')
    axis = figure.subplots()
    length, unit = _length(prediction)
    tracks = sorted(prediction.tracks, key=lambda row: -row.score)
    for start, stop in faceless(
        (_span(track, unit) for track in tracks), length
    ):
        axis.axvspan(start, stop, color='#000000', alpha=0.08, linewidth=0)
    for place, track in enumerate(tracks):
        _draw_track(axis, track, place, len(tracks), unit)
    if tracks:
        axis.axhline(
            prediction.threshold,
            color='#333333',
            linestyle='--',
            linewidth=1,
            label=f'threshold {prediction.threshold:.3f}',
        )
        figure.legend(loc='outside right center', fontsize='small')
    else:
        axis.text(
            *(0.5, 0.5, prediction.status),
            transform=axis.transAxes,
            ha='center',
            va='center',
            fontsize='x-large',
        )
    axis.set(
        xlim=(0, length or 1),
        ylim=(-0.03, 1.03),
        xlabel='time in seconds' if unit == 'seconds' else 'frame',
        ylabel='score of a clip, P(fake)',
    )
    axis.grid(alpha=0.3)
    title = [
        _short(prediction.input),
        verdict_line(prediction),
        *unlike_lines(prediction),
    ]
    size = 'medium' if len(title) == 2 else 'small'
    figure.suptitle('\n'.join(map(figure_text, title)), fontsize=size)
    figure.supxlabel(
        '\n'.join(map(figure_text, wrap(_caption(detector), 140))),
        fontsize='x-small',
        color='#555555',
    )
    with warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes
        warnings.filterwarnings('ignore', 'Glyph')
        figure.savefig(out, dpi=150)
    return Path(out)


def _draw_track(
    axis: Any, track: ScoredTrack, place: int, count: int, unit: str
) -> None:
    named = place < len(TRACK_COLOURS)
    label = f'face {track.track}: {track.score:.3f}' if named else None
    if place == len(TRACK_COLOURS):
        label = f'{count - place} other faces'
    centres, scores = [], []
    for clip in track.clips:
        start, stop = _span(clip, unit)
        centres.append((start + stop) / 2)
        scores.append(clip.score)
    many = len(scores) > 150
    axis.plot(
        centres,
        scores,
        color=TRACK_COLOURS[place] if named else OTHERS,
        marker=None if many else MARKERS[place] if named else '.',
        markersize=4,
        linewidth=0.8 if many else 1.2,
        label=label,
        clip_on=False,
        zorder=count - place + 2,
    )


def _length(prediction: Prediction) -> tuple[float, str]:
    video = prediction.video
    if video and video.seconds:
        return video.seconds, 'seconds'
    return video.num_frames if video else 0, 'frames'


def _span(row: ScoredTrack | Clip, unit: str) -> Sequence[float]:
    return known(row.seconds) if unit == 'seconds' else (row.start, row.stop)


def faceless(
    spans: Iterable[Sequence[float]], length: float
) -> list[tuple[float, float]]:
    """Stretches from 0 to ``length`` outside all spans, in order.

    Args:
        spans: Start and stop of the faces, in any order; may overlap.
        length: Of the video, in their unit.
    """
    gaps, reached = [], 0.0
    for start, stop in [*sorted(map(tuple, spans)), (length, length)]:
        if start > reached:
            gaps.append((reached, start))
        reached = max(reached, stop)
    return gaps


def _caption(detector: Mapping) -> str:
    named = detector['training'].get('source') or 'data without a name'
    if detector['training'].get('pseudo_fakes'):
        named += ' and pseudo-fakes'
    training = detector.get('origin') or named
    return (
        f'Trained on {training}. {detector["checkpoint"]}. Threshold: '
        f'{detector["threshold"]["origin"]}. Grey: no face. '
        'A score is not a proof.'
    )


def _short(name: str, limit: int = 70) -> str:
    name = Path(name).name
    return name if len(name) <= limit else f'…{name[-limit + 1 :]}'
