"""The table of many videos, as a file and as a page in a real browser."""

import csv
import io
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from gml_mmaction.evaluation.prediction import Clip, Prediction, ScoredTrack
from gml_mmaction.visualization.summary import (
    NAMES,
    draw_face,
    row_of,
    write_summary,
)

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
DETECTOR = dict(
    checkpoint='best.pth',
    sha256='0' * 64,
    words=['A score is not a proof.', '<b>made up</b>'],
)
HOSTILE = (
    '=HYPERLINK("http://x.invalid")</td><script>alert(1)</script>\x1b.mp4'
)


def prediction(name, score=None, **more):
    if score is None:
        return Prediction(input=name, threshold=0.5, **more)
    clip = Clip(start=100, stop=116, seconds=[4.0, 4.64], score=score, track=0)
    track = ScoredTrack(
        track=0,
        start=0,
        stop=200,
        seconds=[0.0, 8.0],
        square=[10, 10, 40],
        seen=1.0,
        score=score,
        clips=[clip],
    )
    return Prediction(
        input=name,
        verdict='suspicious' if score >= 0.5 else 'not suspicious',
        score=score,
        threshold=0.5,
        most_suspicious=clip,
        tracks=[track],
        **more,
    )


@pytest.fixture
def write(tmp_path):
    """Write a summary of predictions, each with a report and a picture."""

    def summary(*predictions):
        rng = np.random.default_rng(0)
        rows = []
        for index, one in enumerate(predictions):
            folder = tmp_path / f'video {index}'
            folder.mkdir()
            files = dict(prediction=str(folder / 'prediction.json'))
            if one.score is not None:
                frame = rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)
                files['moment'] = str(folder / 'moment.jpg')
                (folder / 'moment.jpg').write_bytes(
                    draw_face(frame, one.tracks[0].square)
                )
            rows.append(row_of(one, files))
        return write_summary(tmp_path, rows, DETECTOR)

    return summary


def cells(path):
    text = path.read_bytes().decode('utf-8-sig')
    return list(csv.DictReader(io.StringIO(text, newline='')))


def test_a_row_is_a_video_and_the_most_suspicious_comes_first(write):
    table, page = write(
        prediction('low.mp4', 0.2),
        prediction('gone.mp4', status='missing', detail='no such file'),
        prediction('high.mp4', 0.9, probability=0.75, notes=['odd', 'even']),
    )
    assert (table.name, page.name) == NAMES
    rows = cells(table)
    assert [row['video'] for row in rows] == [
        *('high.mp4', 'low.mp4', 'gone.mp4')
    ]
    first = rows[0]
    assert first['verdict'] == 'suspicious'
    assert (float(first['score']), float(first['probability'])) == (0.9, 0.75)
    assert (first['most_suspicious_from'], first['to']) == ('4.0', '4.64')
    assert first['unit'] == 's'
    assert first['notes'] == 'odd; even'
    assert first['report'] == 'video 2'
    assert rows[2]['status'] == 'missing: no such file'
    assert rows[2]['score'] == ''


def test_the_score_that_is_compared_decides_the_order(write):
    table, page = write(
        prediction('many faces.mp4', 0.9, corrected=0.3, unlike=['dark']),
        prediction('one face.mp4', 0.6, corrected=0.6),
    )
    first, second = cells(table)
    assert first['video'] == 'one face.mp4'
    assert (second['score'], second['corrected']) == ('0.900000', '0.300000')
    assert second['unlike_training'] == 'unlike the training: dark'
    text = page.read_text(encoding='utf-8')
    assert '0.300 &lt; threshold 0.500' in text
    assert 'corrected, of 0.900' in text
    assert text.count('corrected, of') == 1


@pytest.mark.parametrize(
    'name',
    [
        '=1+1.mp4',
        '+1.mp4',
        '-2+3.mp4',
        '@SUM(A1)',
        ' =1',
        '%0A',
        '|calc',
        '\uff1d1',
    ],
)
def test_no_cell_is_a_formula_for_a_spreadsheet(write, name):
    table, _ = write(prediction(name, 0.3, notes=[name]))
    (row,) = cells(table)
    assert row['video'] == row['notes'] == f"'{name}"
    assert len(table.read_bytes().splitlines()) == 2


def test_no_part_of_a_cell_is_a_formula_where_semicolons_separate(write):
    table, _ = write(prediction('a;=1+1;b-c.mp4', 0.3, notes=['x; @A1']))
    (row,) = cells(table)
    assert row['video'] == "a;'=1+1;b-c.mp4"
    assert row['notes'] == "x;' @A1"


def test_what_others_wrote_is_text_in_the_page(write):
    _, page = write(prediction(HOSTILE, 0.3, notes=[HOSTILE]))
    tags, seen = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)

        def handle_data(self, data):
            seen.append(data)

    Reader().feed(page.read_text(encoding='utf-8'))
    assert tags.count('script') == 1
    assert 'b' not in tags
    name = HOSTILE.replace('\x1b', r'\x1b')
    assert seen.count(name) == 2
    assert '<b>made up</b>' in seen


def test_the_page_of_two_hundred_videos_is_small(write):
    videos = [prediction(f'{i}.mp4', i / 200) for i in range(200)]
    _, page = write(*videos)
    assert page.stat().st_size < 5_000_000  # of noise, the worst pictures
    assert page.read_text(encoding='utf-8').count('data:image/jpeg') == 200


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason='no chromium')
def test_a_browser_sorts_the_page_and_asks_nobody_for_anything(write):
    playwright = pytest.importorskip('playwright.sync_api')
    _, page = write(
        prediction('b.mp4', 0.2, notes=['zebra']),
        prediction(HOSTILE, status='no face', verdict='no face'),
        prediction('a.mp4', 0.9),
        prediction('c.mp4', 0.11, notes=['ape']),
    )
    asked, said = [], []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu']
        )
        tab = browser.new_page()
        tab.on('request', lambda request: asked.append(request.url))
        tab.on('console', lambda message: said.append(message.text))
        tab.on('pageerror', lambda error: said.append(error))
        tab.on('dialog', lambda dialog: said.append(dialog.message))
        tab.goto(page.as_uri())

        def order(head):
            if head:
                tab.get_by_role('button', name=head).click()
            names = tab.locator('tbody td:first-child').all_inner_texts()
            return ''.join(name[0] for name in names)

        assert order('') == 'abc='
        assert order('Score') == 'cba='
        assert order('Score') == 'abc='
        assert order('Video') == '=abc'
        assert order('Video') == 'cba='
        assert order('Notes') == 'cba='
        assert order('Verdict') == '=cba'
        sorts = tab.locator('th[aria-sort]').all_inner_texts()
        assert [re.sub(r'\W', '', text) for text in sorts] == ['Verdict']
        sizes = tab.locator('img').evaluate_all(
            'images => images.map(image => image.naturalWidth)'
        )
        assert sizes == [160] * 3
        widths = tab.evaluate(
            '[document.documentElement.scrollWidth, innerWidth]'
        )
        assert widths[0] <= widths[1]
        assert [url for url in asked if not url.startswith('data:')] == [
            page.as_uri()
        ]
        assert said == []
        # a picture from elsewhere is refused, as the policy says
        tab.evaluate("""() => {
            const image = new Image();
            image.src = 'http://127.0.0.1:9/x.png';
            document.body.append(image);
        }""")
        tab.wait_for_timeout(200)
        browser.close()
    (refused,) = said
    assert 'Content Security Policy' in refused
