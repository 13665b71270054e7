"""The timeline that can be clicked, as options of Apache ECharts."""

from collections.abc import Sequence
from typing import Any

from gml_mmaction.evaluation.prediction import Prediction, ScoredTrack, known
from gml_mmaction.visualization import palette
from gml_mmaction.visualization.timeline import faceless

__all__ = ['describe', 'timeline_options']

# Colours that are dark enough on white, each with a dash and a symbol, so that
# colour is not the only sign.
STYLES = (
    (palette.BLUE, 'solid', 'circle'),
    (palette.VERMILION, 'dashed', 'triangle'),
    (palette.GREEN, 'dotted', 'rect'),
    (palette.PURPLE, 'solid', 'diamond'),
    (palette.BLACK, 'dashed', 'pin'),
)
TEXT = '#333333'


def timeline_options(
    prediction: Prediction, moment: float | None = None
) -> dict[str, Any]:
    """Return the chart: scores over seconds, threshold, where no face is.

    Args:
        prediction: Of a video with tracks and a known frame rate.
        moment: Time in seconds that is marked.
    """
    seconds = known(known(prediction.video).seconds)
    series = [_track(track) for track in prediction.tracks]
    spans = [known(track.seconds) for track in prediction.tracks]
    series[0]['markArea'] = _areas(faceless(spans, seconds))
    series.append(_lines(prediction.threshold, moment))
    return dict(
        animation=False,
        textStyle=dict(color=TEXT, fontSize=13),
        grid=dict(left=52, right=20, top=44, bottom=44),
        legend=dict(
            type='scroll',
            top=4,
            itemWidth=36,
            data=[one['name'] for one in series[:-1]],
            textStyle=dict(color=TEXT, fontSize=13),
        ),
        tooltip=dict(trigger='item', confine=True),
        xAxis=_axis('seconds', seconds, 24),
        yAxis=_axis('score, P(fake)', 1, 34),
        series=series,
    )


def describe(prediction: Prediction) -> str:
    """Say what the chart shows, for those who do not see it."""
    tracks = '; '.join(
        f'face {track.track}: score {track.score:.2f}, '
        '{:.1f} to {:.1f} seconds'.format(*known(track.seconds))
        for track in prediction.tracks
    )
    seconds = known(known(prediction.video).seconds)
    return (
        f'Timeline of the scores of {seconds:.1f} '
        f'seconds, threshold {prediction.threshold:.2f}. {tracks}.'
    )


def _track(track: ScoredTrack) -> dict[str, Any]:
    colour, dash, symbol = STYLES[track.track % len(STYLES)]
    points: list[Sequence] = []
    for clip in track.clips:
        start, stop = known(clip.seconds)
        score = round(clip.score, 4)
        middle = round((start + stop) / 2, 3)
        points += [[start, score], [middle, score], [stop, score]]
    return dict(
        type='line',
        name=f'face {track.track}',
        data=[
            dict(value=point, symbolSize=8 if i % 3 == 1 else 0)
            for i, point in enumerate(points)
        ],
        color=colour,
        symbol=symbol,
        showSymbol=True,
        showAllSymbol=True,
        lineStyle=dict(color=colour, type=dash, width=2),
    )


def _areas(spans: Sequence[tuple[float, float]]) -> dict[str, Any]:
    label = dict(
        show=True, color=TEXT, rotate=90, position='inside', fontSize=12
    )
    return dict(
        silent=True,
        itemStyle=dict(color='rgba(120, 120, 120, 0.25)'),
        label=label,
        data=[
            [dict(xAxis=start, name='no face'), dict(xAxis=stop)]
            for start, stop in spans
        ],
    )


def _lines(threshold: float, moment: float | None) -> dict[str, Any]:
    """Return a series without points that carries threshold and moment."""
    lines = [
        dict(
            yAxis=threshold,
            lineStyle=dict(color=palette.BLACK, type='dashed', width=1.5),
            label=dict(
                formatter=f'threshold {threshold:.2f}',
                position='insideEndTop',
                color=palette.BLACK,
                fontSize=12,
            ),
        )
    ]
    if moment is not None:
        lines.append(
            dict(
                xAxis=moment,
                lineStyle=dict(color=palette.BLACK, type='solid', width=2),
                label=dict(
                    formatter=f'{moment:.1f} s',
                    color=palette.BLACK,
                    fontSize=12,
                ),
            )
        )
    return dict(
        type='line',
        name='marks',
        data=[],
        markLine=dict(silent=True, symbol='none', data=lines),
    )


def _axis(name: str, end: float, gap: int) -> dict[str, Any]:
    return dict(
        type='value',
        name=name,
        nameLocation='middle',
        nameGap=gap,
        nameTextStyle=dict(color=TEXT, fontSize=13),
        min=0,
        max=end,
        axisLine=dict(show=True, lineStyle=dict(color=TEXT)),
        axisLabel=dict(color=TEXT, showMaxLabel=end == 1, hideOverlap=True),
        splitLine=dict(lineStyle=dict(color='#E5E5E5')),
    )
