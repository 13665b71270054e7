"""What the page shows of an analysed video."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from nicegui import ui

from gml_mmaction.evaluation.prediction import Prediction
from gml_mmaction.io.text import counted
from gml_mmaction.video import VideoError
from gml_mmaction.visualization.timeline import (
    made_line,
    probability_text,
    unlike_lines,
)

from .chart import describe, timeline_options
from .elements import ProgressBar, alert, text
from .sessions import Session, Sessions, Upload

__all__ = ['Result', 'verdict_lines']

VERDICTS = {
    'suspicious': ('Suspicious', 'The score reaches the threshold.'),
    'not suspicious': ('Not suspicious', 'The score is below the threshold.'),
    'no face': ('No face was found', 'Nothing can be said about this video.'),
    'no verdict': ('No verdict', 'Nothing can be said about this video.'),
}
UNLIKE = (
    'The video is unlike the training data: its score says too little for a '
    'verdict.'
)
HEAT = {
    'clue': "Heat: where the network's forgery clue is strong.",
    'cam': 'Heat: where the class-activation map of "fake" is strong.',
    'none': '',
}
SCALES = {
    'absolute': 'It shows only what 95 of 100 genuine frames nowhere reach.',
    'relative': "Relative to the video's own range: the hottest place of a "
    'genuine video glows too.',
}
HINT = 'Click a moment, or move the slider, to see its frame and motion.'
FLOW = (
    'Optical flow: how the picture moves within two frames, an arrow every '
    '20 pixels.'
)
# Where in the chart, in seconds; clicks beside its axes count as its edges.
CLICKED = """(event) => {
  const chart = getElement(%d).chart;
  const left = chart.getDom().getBoundingClientRect().left;
  emit(chart.convertFromPixel({xAxisIndex: 0}, event.clientX - left));
}"""


class Result:
    """The verdict, the timeline, a moment and what may be downloaded."""

    def __init__(
        self, sessions: Sessions, session: Session, upload: Upload
    ) -> None:
        self._sessions = sessions
        self._session = session
        self._upload = upload
        detector = sessions.inferencer.detector
        prediction = upload.result.prediction
        section = ui.element('section').classes('verdict')
        with section.props('aria-label=Verdict'):
            _draw_verdict(prediction, detector)
        if prediction.tracks and prediction.video.fps:
            heat = HEAT[detector['heat']]
            if heat:
                heat += f' {SCALES[detector["heat_scale"]]}'
            Timeline(session, upload, heat)
        with ui.element('section').props('aria-label=Downloads'):
            self._draw_downloads(overlay=bool(prediction.tracks))

    def _draw_downloads(self, overlay: bool) -> None:
        text('h2', 'Downloads')
        with ui.element('div').classes('row'):
            for name in ('prediction.json', 'timeline.png'):
                if name in self._upload.files:
                    self._link(name)
            self._make = ui.button('Make the overlay video').props('no-caps')
            self._make.on_click(self._begin).set_visibility(overlay)
        self._overlay = ui.element('div').classes('stack')
        self._overlay_state = ''
        self._bar: ProgressBar | None = None

    def _link(self, name: str) -> None:
        button = ui.button(f'Download {name}').props('no-caps outline')
        button.props['href'] = self._session.address(name)
        button.props['download'] = f'{PurePath(self._upload.name).stem}-{name}'

    def _begin(self) -> None:
        self._session.touch()
        if self._upload.overlay is None or self._upload.overlay.ended:
            self._sessions.write_overlay(self._upload)

    def update(self) -> None:
        """Show how far the overlay video is."""
        job = self._upload.overlay
        if job is None:
            return
        state = job.state if job.ended else 'writing'
        if state != self._overlay_state:
            self._overlay_state = state
            self._make.set_visibility(state == 'failed')
            self._overlay.clear()
            with self._overlay:
                self._draw_overlay(state, job.error)
        if state == 'writing' and self._bar is not None:
            self._bar.show_job(
                self._sessions.queue, job, 'Writing the overlay'
            )

    def _draw_overlay(self, state: str, error: Exception | None) -> None:
        if state == 'writing':
            self._bar = ProgressBar()
        elif state == 'failed':
            alert(f'The overlay video cannot be written: {error}')
        elif state == 'done':
            video = ui.video(self._session.address('overlay.mp4'))
            video.props('aria-label="Overlay video"')
            with ui.element('div').classes('row'):
                self._link('overlay.mp4')


class Timeline:
    """The chart of scores, and the moment that was chosen in it."""

    def __init__(self, session: Session, upload: Upload, heat: str) -> None:
        self._session = session
        self._upload = upload
        self._heat = heat
        self._prediction = upload.result.prediction
        self._seconds = self._prediction.video.seconds
        self._clicks = 0
        with ui.element('section').props('aria-label=Timeline'):
            text('h2', 'Scores over time')
            text('div', HINT)
            self._draw_chart()
            self._moment = ui.element('div').props('aria-live=polite')
        start, stop = self._prediction.most_suspicious.seconds
        ui.timer(0, lambda: self.show((start + stop) / 2), once=True)

    def _draw_chart(self) -> None:
        self._chart = ui.echart(timeline_options(self._prediction))
        self._chart.classes('timeline').props('role=img')
        self._chart.props['aria-label'] = describe(self._prediction)
        self._chart.on(
            'click',
            lambda event: self.show(event.args),
            js_handler=CLICKED % self._chart.id,
        )
        step = 1 / self._prediction.video.fps
        self._slider = (
            ui.element('input')
            .classes('slider')
            .props(
                'type=range aria-label="Moment in seconds" '
                f'min=0 max={self._seconds} step={step:.6f}'
            )
        )
        self._slider.on(
            'change',
            lambda event: self.show(event.args),
            js_handler='(event) => emit(event.target.value)',
        )

    async def show(self, seconds: float) -> None:
        """Show the moment at a time; of several clicks the last one counts."""
        seconds = min(max(float(seconds), 0.0), self._seconds)
        self._clicks += 1
        click = self._clicks
        self._session.touch()
        self._slider.props['value'] = seconds
        self._chart.options.update(timeline_options(self._prediction, seconds))
        self._chart.update()
        drawn = await asyncio.to_thread(
            self._draw, seconds, lambda: click == self._clicks
        )
        if drawn and click == self._clicks and not self._moment.is_deleted:
            self._moment.clear()
            with self._moment:
                self._place(drawn)

    def _draw(
        self, seconds: float, wanted: Callable[[], bool]
    ) -> tuple | str | None:
        """Draw a moment, or say why it cannot be drawn."""
        try:
            return self._upload.draw_moment(seconds, wanted)
        except (VideoError, OSError) as error:
            return f'The frame at {seconds:.2f} s cannot be shown: {error}'

    def _place(self, drawn: tuple | str) -> None:
        if isinstance(drawn, str):
            alert(drawn)
            return
        moment, frame, flow = drawn
        with ui.element('div').classes('pictures'):
            heat = '' if moment.track is None else self._heat
            self._picture(frame, f'{moment_line(moment)} {heat}')
            self._picture(flow, FLOW)

    def _picture(self, name: str, caption: str) -> None:
        with ui.element('figure'):
            image = ui.element('img')
            image.props['src'] = self._session.address(name)
            image.props['alt'] = caption
            text('figcaption', caption)


def _draw_verdict(prediction: Prediction, detector: Mapping[str, Any]) -> None:
    word, meaning = VERDICTS[prediction.verdict]
    if prediction.score is not None and prediction.verdict == 'no verdict':
        meaning = UNLIKE
    text('h2', prediction.input)
    if detector['origin']:
        text('div', f'Trained on {detector["origin"]}.')
    text('div', word).classes('word').props('role=status')
    for line in (meaning, *verdict_lines(prediction)):
        text('div', line)
    if prediction.tracks:
        with ui.element('ul'):
            for line in detector['words']:
                text('li', line)


def verdict_lines(prediction: Prediction) -> list[str]:
    """Say what a verdict rests on, in lines."""
    lines = []
    if prediction.status != 'ok':
        lines.append(f'{prediction.status}: {prediction.detail}')
    if prediction.score is not None:
        lines.append(
            f'Score of the video: {prediction.score:.2f} of 1, '
            f'threshold {prediction.threshold:.2f}.'
        )
    if prediction.corrected not in (None, prediction.score):
        clips = sum(len(track.clips) for track in prediction.tracks)
        lines.append(
            f'Corrected for {counted(len(prediction.tracks), "face")} and '
            f'{counted(clips, "clip")}: {prediction.corrected:.2f}; this is '
            'compared with the threshold.'
        )
    more = unlike_lines(prediction)
    if prediction.tracks:
        more.append(made_line(prediction))
    lines += [f'{line[0].upper()}{line[1:]}.' for line in more]
    if prediction.probability is not None:
        shown = probability_text(prediction.probability)
        lines.append(f'Calibrated probability: {shown}.')
    worst = prediction.most_suspicious
    if worst is not None and worst.seconds:
        start, stop = worst.seconds
        lines.append(
            f'Most suspicious: face {worst.track}, {start:.1f} to '
            f'{stop:.1f} s, score {worst.score:.2f}.'
        )
    return [*lines, *(f'Note: {note}.' for note in prediction.notes)]


def moment_line(moment: Any) -> str:
    """Say when a moment is and what was found there."""
    place = f'{moment.seconds:.2f} s, frame {moment.index}:'
    if moment.track is None:
        return f'{place} no face was scored.'
    return f'{place} face {moment.track}, clip score {moment.score:.2f}.'
