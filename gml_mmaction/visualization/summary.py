"""Many videos in one table: ``summary.csv`` and ``summary.html``.

A row a video, the most suspicious first. The page is one file that loads
nothing: pictures are in it, and its policy (CSP) forbids all else. Names,
notes and details come from others and are escaped, in the CSV file also for
spreadsheets, which take a cell that begins with ``=`` for a formula.
"""

import base64
import csv
import hashlib
import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import numpy as np

from gml_mmaction.evaluation.prediction import Prediction
from gml_mmaction.faces.square import Square, crop
from gml_mmaction.io.files import write_bytes, write_text
from gml_mmaction.io.text import counted, printable

from .palette import BLUE, GREY, VERMILION
from .timeline import probability_text, unlike_lines

__all__ = ['NAMES', 'Row', 'draw_face', 'row_of', 'write_summary']

NAMES = ('summary.csv', 'summary.html')
SIDE = 160  # pixels of a picture
QUALITY = 80
LARGEST_PICTURE = 100_000  # bytes; ours have some 5,000
COLUMNS = (
    *('video', 'status', 'verdict', 'score', 'corrected', 'threshold'),
    *('probability', 'faces', 'most_suspicious_from', 'to', 'unit'),
    *('unlike_training', 'notes', 'report'),
)
FORMULA = re.compile(r'(^|;)(\s*[=+\-@|%\uff1d\uff0b\uff0d\uff20])')
KINDS = {'suspicious': 'suspicious', 'not suspicious': 'clear'}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #1a1a1a }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem }
ul { padding-left: 1.2rem; max-width: 60rem }
table { border-collapse: collapse; margin-top: 1rem; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .45rem .6rem;
  border-bottom: 1px solid #ddd; overflow-wrap: anywhere }
th { position: sticky; top: 0; background: #fff }
th button { font: inherit; font-weight: 600; border: 0; background: none;
  cursor: pointer; padding: 0; text-align: left }
th button::after { content: " \\2195"; color: #999 }
th[aria-sort=ascending] button::after { content: " \\2191"; color: #000 }
th[aria-sort=descending] button::after { content: " \\2193"; color: #000 }
th button { white-space: nowrap }
td:first-child { min-width: 8rem }
td.verdict { overflow-wrap: normal; min-width: 7rem }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
td img { width: 128px; height: 128px; display: block }
.verdict { font-weight: 600 } .small { font-size: .85rem }
.suspicious { color: VERMILION } .clear { color: BLUE } .none { color: GREY }
"""
# Numbers before texts; a row without a value is last, whatever the order.
SCRIPT = """
for (const button of document.querySelectorAll('th button')) {
  button.addEventListener('click', () => {
    const head = button.parentElement, at = head.cellIndex;
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of head.parentElement.cells)
      other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const body = document.querySelector('tbody');
    const key = row => row.cells[at].dataset.key ?? '';
    const compare = head.dataset.kind === 'number'
      ? (a, b) => a - b : (a, b) => a.localeCompare(b);
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === '' || y === '') return (x === '') - (y === '');
      return down ? compare(y, x) : compare(x, y);
    });
    body.append(...rows);
  });
}
"""


class Row(NamedTuple):
    """What the summary says of a video.

    Attributes:
        video: Its name.
        status: ``'ok'``, or why there is no score, with particulars.
        verdict: As in the report.
        score: P(fake); None without one.
        corrected: What is compared with the threshold, if it is another.
        threshold: Of the score.
        probability: Of a forgery; None without a calibration.
        faces: How many were scored.
        moment: Begin and end of the most suspicious clip.
        unit: Of the moment: 's' or 'frames'.
        unlike: In which the video is unlike the training data.
        notes: What was odd.
        report: Name of the folder with the report; '' without one.
        picture: File with the most suspicious face; None without one.
    """

    video: str
    status: str
    verdict: str
    score: float | None
    corrected: float | None
    threshold: float
    probability: float | None
    faces: int
    moment: tuple[float, float] | None
    unit: str
    unlike: list[str]
    notes: list[str]
    report: str
    picture: Path | None

    @property
    def compared(self) -> float | None:
        """What is compared with the threshold."""
        return self.score if self.corrected is None else self.corrected


def row_of(prediction: Prediction, files: Mapping[str, str]) -> Row:
    """The row of a video, from its report and the files beside that."""
    clip, detail = prediction.most_suspicious, prediction.detail
    moment, unit = None, ''
    if clip is not None:
        start, stop = clip.seconds or (clip.start, clip.stop)
        moment, unit = (start, stop), 's' if clip.seconds else 'frames'
    report, picture = files.get('prediction'), files.get('moment')
    return Row(
        video=printable(prediction.input),
        status=printable(prediction.status + (detail and f': {detail}')),
        verdict=printable(prediction.verdict),
        score=prediction.score,
        corrected=prediction.corrected,
        threshold=prediction.threshold,
        probability=prediction.probability,
        faces=len(prediction.tracks),
        moment=moment,
        unit=unit,
        unlike=[printable(line) for line in unlike_lines(prediction)],
        notes=[printable(note) for note in prediction.notes],
        report=Path(report).parent.name if report else '',
        picture=Path(picture) if picture else None,
    )


def draw_face(frame: np.ndarray, square: Sequence[int]) -> bytes:
    """A face with a little around it, framed, as a small JPEG.

    Args:
        frame: (H, W, 3), RGB, uint8.
        square: Left, top, side.
    """
    left, top, side = square
    edge = side // 8
    around = Square(left - edge, top - edge, side + 2 * edge)
    picture = crop(frame, around, SIDE)
    corners = (SIDE // 10,) * 2, (9 * SIDE // 10,) * 2
    cv2.rectangle(picture, *corners, (255, 255, 255), 1, cv2.LINE_AA)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode('.jpg', bgr, quality)[1].tobytes()


def write_summary(
    out: str | Path,
    rows: Sequence[Row],
    detector: Mapping[str, Any],
    unread: Sequence[str] = (),
) -> list[Path]:
    """Write both files, each whole or not at all; returns their paths.

    Args:
        out: Folder that holds the reports.
        rows: In any order.
        detector: What a report says of the detector.
        unread: A line for each file that was not read; on the page only.

    Raises:
        OSError: One cannot be written.
    """
    ordered = sorted(
        rows,
        key=lambda row: (row.score is None, -(row.compared or 0), row.video),
    )
    paths = [Path(out, name) for name in NAMES]
    # with the mark by which spreadsheets know UTF-8
    write_bytes(paths[0], csv_of(ordered).encode('utf-8-sig'))
    write_text(paths[1], page_of(ordered, detector, unread))
    return paths


def csv_of(rows: Sequence[Row]) -> str:
    """The table as comma-separated values, texts safe for spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\r\n')
    writer.writerow(COLUMNS)
    for row in rows:
        start, stop = row.moment or ('', '')
        writer.writerow(
            [
                *map(_plain_cell, (row.video, row.status, row.verdict)),
                _number(row.score),
                _number(row.corrected),
                _number(row.threshold),
                _number(row.probability),
                *(row.faces, start, stop, row.unit),
                _plain_cell('; '.join(row.unlike)),
                _plain_cell('; '.join(row.notes)),
                _plain_cell(row.report),
            ]
        )
    return text.getvalue()


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:.6f}'


def _plain_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula.

    Some separate cells by ``;``, and some take full-width signs as well.
    """
    return FORMULA.sub(r"\1'\2", text)


def page_of(
    rows: Sequence[Row],
    detector: Mapping[str, Any],
    unread: Sequence[str] = (),
) -> str:
    """The table as a page that loads nothing."""
    style = STYLE
    names = dict(VERMILION=VERMILION, BLUE=BLUE, GREY=GREY)
    for name, colour in names.items():
        style = style.replace(name, colour)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action "
        f"'none'; style-src '{_hash(style)}'; script-src '{_hash(SCRIPT)}'"
    )
    counts = {row.verdict: 0 for row in rows}
    for row in rows:
        counts[row.verdict] += 1
    found = [f'{count} {verdict}' for verdict, count in counts.items()]
    heads = (
        *(('Video', 'text'), ('Verdict', 'text'), ('Score', 'number')),
        *(('Most suspicious moment', 'number'), ('Notes', 'text')),
    )
    return '\n'.join(
        [
            '<!DOCTYPE html>',
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            f'content="{html.escape(policy)}">',
            '<meta name="viewport" content="width=device-width">',
            f'<title>{counted(len(rows), "video")}</title>',
            f'<style>{style}</style></head><body>',
            f'<h1>{counted(len(rows), "video")}: '
            f'{_text(", ".join(found))}</h1>',
            '<p class="small">Detector '
            f'{_text(detector["checkpoint"])}, SHA-256 '
            f'{_text(detector["sha256"])}</p>',
            '<ul class="small">',
            *(f'<li>{_text(line)}</li>' for line in detector['words']),
            '</ul>',
            '<table><thead><tr>',
            *(
                f'<th scope="col" data-kind="{kind}">'
                f'<button type="button">{name}</button></th>'
                for name, kind in heads
            ),
            '</tr></thead><tbody>',
            *map(_row, rows),
            '</tbody></table>',
            *_unread(unread),
            f'<script>{SCRIPT}</script></body></html>',
            '',
        ]
    )


def _unread(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    items = [f'<li>{_text(line)}</li>' for line in lines]
    return ['<h2>Not read</h2>', '<ul class="small">', *items, '</ul>']


def _row(row: Row) -> str:
    name = _text(row.video)
    if row.report:
        place = quote(row.report, errors='surrogateescape')
        file = 'prediction.json' if row.score is None else 'timeline.png'
        name = f'<a href="./{place}/{file}">{name}</a>'
    verdict, number = _text(row.verdict), ''
    notes = [*row.unlike, *row.notes]
    if row.score is None or row.compared is None:
        verdict += f'<div class="small">{_text(row.status)}</div>'
    else:
        below = row.compared < row.threshold
        number = f'{row.compared:.3f} {"&lt;" if below else "≥"} threshold '
        number += f'{row.threshold:.3f}'
        if row.compared != row.score:
            number += f'<div class="small">corrected, of {row.score:.3f}</div>'
    if row.probability is not None:
        shown = _text(probability_text(row.probability))
        number += f'<div class="small">calibrated probability {shown}</div>'
    cells = [
        f'<td data-key="{_text(row.video)}">{name}</td>',
        f'<td data-key="{_text(row.verdict)}" '
        f'class="verdict {KINDS.get(row.verdict, "none")}">{verdict}</td>',
        f'<td data-key="{"" if row.compared is None else row.compared}" '
        f'class="number">{number}</td>',
        f'<td data-key="{row.moment[0] if row.moment else ""}">'
        f'{_moment(row)}</td>',
        f'<td data-key="{_text("; ".join(notes))}" class="small">'
        f'{"<br>".join(map(_text, notes))}</td>',
    ]
    return f'<tr>{"".join(cells)}</tr>'


def _moment(row: Row) -> str:
    if row.moment is None:
        return ''
    start, stop = row.moment
    digits = 1 if row.unit == 's' else 0
    words = f'{start:.{digits}f} to {stop:.{digits}f} {row.unit}'
    if row.faces > 1:
        words += f', of {row.faces} faces'
    return f'{_picture(row, words)}<div class="small">{_text(words)}</div>'


def _picture(row: Row, words: str) -> str:
    try:
        if row.picture is None or row.picture.stat().st_size > LARGEST_PICTURE:
            return ''
        data = base64.b64encode(row.picture.read_bytes()).decode()
    except OSError:  # removed meanwhile
        return ''
    return (
        f'<img alt="Face at {_text(words)}" '
        f'src="data:image/jpeg;base64,{data}">'
    )


def _text(text: object) -> str:
    return html.escape(printable(text))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f'sha256-{base64.b64encode(digest).decode()}'
