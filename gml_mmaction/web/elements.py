"""Small parts of the page, and how it looks."""

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from gml_mmaction.io.text import printable

from .queue import Job, JobQueue

__all__ = ['STYLE', 'ProgressBar', 'alert', 'text']

# Okabe and Ito's blue and vermillion, darker where text is small.
STYLE = """
body { background: #fff; color: #1f2933; font-size: 1rem; line-height: 1.5; }
.page { width: 100%; max-width: 1180px; margin: 0 auto; }
.page, .stack { display: flex; flex-direction: column; gap: 16px; }
h1 { font-size: 1.5rem; line-height: 1.3; font-weight: 600; margin: 0; }
h2 { font-size: 1.2rem; line-height: 1.4; font-weight: 600; margin: 0; }
h1, h2, .error, .progress, figcaption { overflow-wrap: anywhere; }
.drop { position: relative; border: 2px dashed #4b5563; border-radius: 8px;
  padding: 28px 16px; text-align: center; }
.drop input { position: absolute; inset: 0; width: 100%; height: 100%;
  opacity: 0; cursor: pointer; }
.drop:focus-within, .drop:hover { background: #eef5fa; border-color: #0072b2;
  outline: 3px solid #0072b2; outline-offset: 2px; }
.error { border-left: 6px solid #b34700; background: #fdf1ea; padding: 12px; }
.verdict { border-left: 6px solid #1f2933; background: #f3f4f6;
  padding: 12px; }
.word { font-size: 1.25rem; font-weight: 600; }
.pictures { display: grid; gap: 16px; margin-top: 8px;
  grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); }
figure { margin: 0; }
figure img, video { max-width: 100%; height: auto; display: block; }
figure img { width: 100%; }
video { max-height: 70vh; width: auto; }
.slider { display: block; width: calc(100% - 56px); margin: 0 12px 0 44px;
  height: 32px; accent-color: #0072b2; }
figcaption { font-size: 0.9rem; padding-top: 4px; }
.row { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0; }
.timeline { width: 100%; height: 280px; cursor: pointer; }
ul { padding-left: 1.2em; list-style: disc; margin: 4px 0; }
"""


def text(tag: str, content: str = '') -> TextElement:
    """Return an element of text, which is never read as HTML."""
    return TextElement(tag=tag, text=printable(content))


def alert(content: str = '') -> TextElement:
    """Return a line about what went wrong."""
    return text('div', content).classes('error').props('role=alert')


class ProgressBar:
    """A line and a bar."""

    def __init__(self) -> None:
        with ui.element('div').classes('progress'):
            self._line = text('div').props('role=status')
            self._bar = ui.linear_progress(0, show_value=False).props(
                'aria-label=Progress instant-feedback'
            )

    def show(self, line: str, done: int, total: int) -> None:
        """Show a line and the share that is done."""
        self._line.set_text(printable(line))
        self._bar.set_value(done / total if total else 0)

    def show_job(self, queue: JobQueue, job: Job, doing: str) -> None:
        """Show the state of a job, which is not ended."""
        done, total = job.frames
        if job.state == 'waiting':
            self.show(f'Waiting: {queue.ahead(job)} before you', 0, 0)
        elif total:
            self.show(f'{doing}: {done} of {total} frames', done, total)
        else:
            self.show(f'{doing} ...', 0, 0)
