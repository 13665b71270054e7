"""The page: the upload, the wait, and the result.

NiceGUI draws it. Every visitor has a page of their own, which looks at its
session a few times a second and shows what has changed.
"""

from collections.abc import Callable

from fastapi import FastAPI
from nicegui import context, ui

from gml_mmaction.io.text import counted, printable
from gml_mmaction.video.files import VIDEO_SUFFIXES
from gml_mmaction.visualization import palette

from .elements import STYLE, ProgressBar, alert, text
from .result import Result
from .sessions import Session, Sessions, Upload

__all__ = ['mount']

TITLE = 'Face forgery detection'
LOOK_EVERY = 0.3  # seconds
RECONNECT = 5.0  # seconds; a visitor who is away for longer has left
ACCEPTED = ','.join(['video/*', *sorted(VIDEO_SUFFIXES)])
PRIMARY = palette.BLUE  # dark enough for text on white
# The body is the file itself, so that the server can count what comes in.
SEND = """(event) => {
  const file = event.target.files[0];
  if (!file) return;
  const name = encodeURIComponent(file.name);
  fetch('%s', {method: 'POST', body: file, headers: {'X-File-Name': name}})
    .catch(() => {});
  event.target.value = '';
}"""


def mount(app: FastAPI, sessions: Sessions) -> None:
    """Put the page at the top of the application."""

    @ui.page('/', title=TITLE, language='en-US')
    def index() -> None:
        session = sessions.open()
        context.client.on_delete(lambda: sessions.close(session))
        Page(sessions, session)

    ui.run_with(
        app,
        reconnect_timeout=RECONNECT,
        show_welcome_message=False,
        tailwind=False,
    )


class Page:
    """One visitor's page."""

    def __init__(self, sessions: Sessions, session: Session) -> None:
        self.sessions = sessions
        self.session = session
        self._shown: tuple | None = None
        self._update: Callable[[], None] = _nothing
        ui.add_css(STYLE)
        ui.colors(primary=PRIMARY)
        with ui.element('div').classes('page'):
            text('h1', TITLE)
            origin = sessions.inferencer.detector['origin']
            if origin:
                alert(f'This detector was trained on {origin}.')
            text(
                'div',
                'Detector: '
                f'{sessions.inferencer.detector["checkpoint"]}. It scores how '
                'much the faces of a video look like the forgeries that it '
                'was trained on. A score is not a proof.',
            )
            self._drop_zone()
            self.error = alert()
            self.body = ui.element('div').classes('stack')
        ui.timer(LOOK_EVERY, self.look)

    def _drop_zone(self) -> None:
        limits = self.sessions.limits
        with ui.element('div').classes('drop'):
            text('strong', 'Drop a video here, or click to choose one')
            text(
                'div',
                f'At most {limits.megabytes:g} MB and '
                f'{counted(limits.minutes, "minute")}. It goes to the '
                'machine that runs this page and nowhere else. It is '
                'removed there when you leave, choose another video, or do '
                f'nothing for {counted(limits.keep_minutes, "minute")}.',
            )
            ui.element('input').props(
                f'type=file accept="{ACCEPTED}" aria-label="Video to analyse"'
            ).on(
                'change',
                js_handler=SEND % self.session.address('video'),
            )

    def look(self) -> None:
        """Show what has changed."""
        session = self.session
        self.error.set_text(printable(session.message))
        self.error.set_visibility(bool(session.message))
        stage, upload = session.stage, session.upload
        shown = (upload, stage if stage in ('done', 'failed') else 'waiting')
        if shown != self._shown:
            self._shown = shown
            self.body.clear()
            with self.body:
                self._update = self._draw(upload, stage)
        self._update()

    def _draw(self, upload: Upload | None, stage: str) -> Callable[[], None]:
        """Draw the body; returns what keeps it up to date."""
        if upload is None:
            return _nothing
        if stage == 'failed' and upload.analysis is not None:
            alert(
                f'{upload.name}: the analysis failed ({upload.analysis.error})'
            )
            return _nothing
        if stage == 'done':
            return Result(self.sessions, self.session, upload).update
        return Waiting(self.sessions, upload).update


class Waiting:
    """What the visitor waits for, as a line and a bar."""

    def __init__(self, sessions: Sessions, upload: Upload) -> None:
        self.sessions = sessions
        self.upload = upload
        self.bar = ProgressBar()

    def update(self) -> None:
        """Show how far it is."""
        upload = self.upload
        if upload.analysis is not None:
            doing = f'Analysing {upload.name}'
            self.bar.show_job(self.sessions.queue, upload.analysis, doing)
            return
        done, total = upload.received
        line = f'Receiving {upload.name}: {done / 1e6:.1f} MB'
        if done == total:
            line = f'Checking {upload.name} ...'
        self.bar.show(line, done, total)


def _nothing() -> None:
    pass
