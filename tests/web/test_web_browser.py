"""The page in a real browser: Chromium, headless, driven by Playwright."""

import itertools
import json
import re
import shutil
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from gml_mmaction.io.records import as_json
from gml_mmaction.video import open_video

av = pytest.importorskip('av')
pytest.importorskip('nicegui')
playwright = pytest.importorskip('playwright.sync_api')
expect = playwright.expect

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason='no chromium: apt-get install chromium'
)
# root needs --no-sandbox; the rest keeps Chromium itself off the network
FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]
LONG = 2800  # frames
SOON = 60_000  # milliseconds; two cores may have more to do


@pytest.fixture(scope='module')
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """Open the page as a new visitor; errors in it fail the test."""
    contexts, errors = [], []

    def open_page(width=1280, height=800):
        context = browser.new_context(
            viewport=dict(width=width, height=height)
        )
        context.set_default_timeout(SOON)
        contexts.append(context)
        page = context.new_page()
        page.on('pageerror', lambda error: errors.append(error))
        page.goto(server.url)
        expect(page.get_by_label('Video to analyse')).to_be_attached()
        page.wait_for_function('window.socket?.connected')
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope='module')
def talking(talking_head, tmp_path_factory):
    return talking_head(tmp_path_factory.mktemp('talking') / 'head.mp4', 64)


@pytest.fixture(scope='module')
def long_one(talking, write_video, tmp_path_factory):
    """Long enough to analyse that another visitor is seen waiting for it."""
    with open_video(talking) as reader:
        frames = list(reader.frames())
    there_and_back = itertools.cycle(frames + frames[::-1])
    return write_video(
        tmp_path_factory.mktemp('long') / 'long.mp4',
        itertools.islice(there_and_back, LONG),
        fps=25,
    )


@pytest.fixture(scope='module')
def faceless(write_video, tmp_path_factory):
    frames = [np.full((160, 200, 3), 90, np.uint8)] * 40
    return write_video(tmp_path_factory.mktemp('none') / 'wall.mp4', frames)


def upload(page, path):
    page.get_by_label('Video to analyse').set_input_files(path)


def verdict(page):
    found = page.get_by_label('Verdict')
    expect(found).to_be_visible(timeout=SOON)
    return found


def picture(page, alt):
    """The bytes of a picture of the page."""
    image = page.get_by_alt_text(alt)
    expect(image).to_be_visible(timeout=SOON)
    source = image.get_attribute('src')
    reply = page.request.get(urljoin(page.url, source))
    assert reply.ok
    return cv2.imdecode(np.frombuffer(reply.body(), np.uint8), 1)


def urljoin(page, path):
    parts = urlsplit(page)
    return f'{parts.scheme}://{parts.netloc}{path}'


def test_a_verdict_names_score_threshold_training_and_no_proof(
    visit, talking, inferencer
):
    page = visit()
    upload(page, talking)
    text = verdict(page).inner_text()
    expected = as_json(inferencer.analyse(talking).prediction)
    assert 'head.mp4' in text
    assert f'Score of the video: {expected["score"]:.2f} of 1' in text
    assert f'threshold {expected["threshold"]:.2f}' in text
    words = inferencer.detector['words']
    for fact in ('not a proof', 'Trained on', 'Threshold 0.45', 'ffpp'):
        assert any(fact in line for line in words)
    assert all(line in text for line in words)
    word = text.splitlines()[1]
    assert word.lower() == expected['verdict']


def test_the_most_suspicious_moment_is_shown_first(visit, talking, inferencer):
    page = visit()
    upload(page, talking)
    worst = inferencer.analyse(talking).prediction.most_suspicious
    middle = int(sum(worst.seconds) / 2 * 25 + 0.5)
    frame = picture(page, re.compile(f'frame {middle}: face 0'))
    flow = picture(page, re.compile('Optical flow'))
    assert frame.shape[1] >= 200
    assert flow.shape[1] >= 200
    assert frame.std() > 10
    assert flow.std() > 10


@pytest.mark.parametrize('share', [0.2, 0.8])
def test_a_click_shows_the_moment_that_was_clicked(visit, talking, share):
    page = visit()
    upload(page, talking)
    expect(page.get_by_alt_text('Optical flow')).to_be_visible(timeout=SOON)
    chart = page.get_by_label('Timeline of the scores')
    box = chart.bounding_box()
    plot = box['width'] - 52 - 20  # the chart's margins
    x = 52 + share * plot
    chart.click(position=dict(x=x, y=box['height'] / 2))
    index = round(share * 64)
    frame = re.compile(f'frame ({index - 1}|{index}|{index + 1}): face 0')
    shown = picture(page, frame)
    assert shown.std() > 10


def test_the_slider_moves_the_moment_by_keyboard(visit, talking):
    page = visit()
    upload(page, talking)
    expect(page.get_by_alt_text('Optical flow')).to_be_visible(timeout=SOON)
    page.get_by_label('Moment in seconds').focus()
    for key, frame in (('Home', 0), ('ArrowRight', 1), ('ArrowRight', 2)):
        page.keyboard.press(key)
        moved = re.compile(rf'frame {frame}: face 0')
        expect(page.get_by_alt_text(moved)).to_be_visible(timeout=SOON)


def test_a_keyboard_reaches_the_file_input_first(visit):
    page = visit()
    page.keyboard.press('Tab')
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == 'Video to analyse'


def test_downloads_are_what_the_detector_says(
    visit, talking, inferencer, tmp_path
):
    page = visit()
    upload(page, talking)
    verdict(page)

    def download(name):
        with page.expect_download() as found:
            page.get_by_role('link', name=f'Download {name}').click()
        assert found.value.suggested_filename == f'head-{name}'
        found.value.save_as(tmp_path / name)
        return tmp_path / name

    told = json.loads(download('prediction.json').read_text())
    expected = as_json(inferencer.analyse(talking).prediction)
    assert told['tracks'] == expected['tracks']
    assert cv2.imread(str(download('timeline.png'))).shape[1] > 400
    page.get_by_role('button', name='Make the overlay video').click()
    expect(page.locator('video')).to_be_visible(timeout=SOON)
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    with av.open(str(download('overlay.mp4'))) as container:
        assert container.streams.video[0].codec_context.name == 'h264'
        assert sum(1 for _ in container.decode(video=0)) == 64


def test_a_broken_file_gets_one_line_and_the_page_goes_on(
    visit, talking, tmp_path
):
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(talking.read_bytes()[:2000])
    page = visit()
    upload(page, broken)
    error = page.get_by_role('alert').filter(has_text='broken.mp4')
    expect(error).to_be_visible(timeout=SOON)
    assert '\n' not in error.inner_text()
    upload(page, talking)
    assert 'head.mp4' in verdict(page).inner_text()
    expect(error).to_be_hidden()


def test_a_file_that_is_too_large_gets_one_line(visit, tmp_path):
    large = tmp_path / 'large.mp4'
    large.write_bytes(bytes(3_000_001))
    page = visit()
    upload(page, large)
    error = page.get_by_role('alert').filter(has_text='large.mp4')
    expect(error).to_have_text('large.mp4: larger than 3 MB', timeout=SOON)


def test_a_video_without_a_face_is_not_called_real(visit, faceless):
    page = visit()
    upload(page, faceless)
    assert 'No face was found' in verdict(page).inner_text()
    whole = page.locator('main').inner_text().lower()
    assert not re.search(r'\b(real|genuine|not suspicious)\b', whole)


def test_a_file_can_be_dropped(visit, talking):
    page = visit()
    box = page.locator('.drop').bounding_box()
    drag = page.context.new_cdp_session(page)
    at = dict(x=box['x'] + 100, y=box['y'] + 40)
    data = dict(items=[], files=[str(talking)], dragOperationsMask=1)
    for kind in ('dragEnter', 'dragOver', 'drop'):
        drag.send('Input.dispatchDragEvent', dict(type=kind, data=data, **at))
    assert 'head.mp4' in verdict(page).inner_text()


def told(page):
    """The prediction that the page offers."""
    verdict(page)
    link = page.get_by_role('link', name='Download prediction.json')
    address = urljoin(page.url, link.get_attribute('href'))
    return page.request.get(address).json()


def check_at_once(pages, paths, inferencer):
    for page, path in zip(pages, paths):
        upload(page, path)
    found = [told(page) for page in pages]
    for page, path, one in zip(pages, paths, found):
        assert path.name in verdict(page).inner_text()
        assert one['input'] == path.name
        expected = as_json(inferencer.analyse(path).prediction)
        assert one['tracks'] == expected['tracks']
    assert found[0]['score'] != found[1]['score']


def test_two_visitors_at_once_get_each_their_own_result(
    visit, talking_head, inferencer, tmp_path
):
    paths = [talking_head(tmp_path / name, 48) for name in ('a.mp4', 'b.mp4')]
    check_at_once([visit(), visit()], paths, inferencer)


def test_real_people_uploaded_at_once_are_not_mixed_up(
    visit, real_people, inferencer
):
    check_at_once([visit(), visit()], real_people[:2], inferencer)


def test_progress_and_place_in_the_line_are_told(visit, long_one, talking):
    first, second = visit(), visit()
    upload(first, long_one)
    status = first.get_by_role('status')
    done = re.compile(rf'^Analysing long\.mp4: \d+ of {LONG} frames$')
    expect(status).to_have_text(done, timeout=SOON)
    upload(second, talking)
    expect(second.get_by_role('status')).to_have_text(
        'Waiting: 1 before you', timeout=SOON
    )
    verdict(first)
    assert 'head.mp4' in verdict(second).inner_text()


def test_files_go_when_the_page_is_closed(visit, server, talking, wait_for):
    page = visit()
    before = set(server.temp.glob('gml-web-*/*/'))
    upload(page, talking)
    verdict(page)
    mine = set(server.temp.glob('gml-web-*/*/')) - before
    assert mine
    page.close()
    wait_for(lambda: not any(folder.exists() for folder in mine), 30)


def test_the_page_asks_nobody_but_its_server(
    browser, server, talking, tmp_path
):
    context = browser.new_context()
    asked, sockets = [], []
    page = context.new_page()
    page.on('request', lambda request: asked.append(request.url))
    page.on('websocket', lambda one: sockets.append(one.url))
    page.goto(server.url)
    upload(page, talking)
    expect(page.get_by_alt_text('Optical flow')).to_be_visible(timeout=SOON)
    context.close()
    home = urlsplit(server.url).netloc
    away = [
        url
        for url in asked + sockets
        if not url.startswith(('data:', 'blob:'))
        and urlsplit(url).netloc != home
    ]
    assert len(asked) > 10
    assert sockets
    assert away == []


@pytest.mark.parametrize('width', [1280, 360])
def test_nothing_sticks_out_at_the_side(visit, talking, width):
    page = visit(width=width)
    upload(page, talking)
    expect(page.get_by_alt_text('Optical flow')).to_be_visible(timeout=SOON)
    assert page.evaluate('document.documentElement.scrollWidth') == width
