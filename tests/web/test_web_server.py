"""The server without a browser: what it takes, gives and refuses."""

import http.client
import json
import re
import signal
import socket
import threading
import zipfile
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import psutil
import pytest
import torch
from PIL import Image

pytest.importorskip('nicegui')

from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from gml_mmaction.io.records import as_json
from gml_mmaction.video.files import VIDEO_SUFFIXES
from gml_mmaction.web.guard import Guard
from gml_mmaction.web.server import ServerError, build_app, listen
from gml_mmaction.web.sessions import Limits, Sessions

HOME = 'http://127.0.0.1:7860'


@pytest.fixture
def site(inferencer, tmp_path):
    """A server in this process: its sessions and a client of it."""
    limits = Limits(megabytes=2, minutes=0.1)
    sessions = Sessions(inferencer, limits, tmp_path / 'temp')
    with TestClient(build_app(sessions), base_url=HOME) as client:
        yield SimpleNamespace(sessions=sessions, client=client)


@pytest.fixture(autouse=True)
def _temp(tmp_path):
    (tmp_path / 'temp').mkdir()


@pytest.fixture(scope='module')
def talking(talking_head, tmp_path_factory):
    return talking_head(tmp_path_factory.mktemp('talking') / 'a.mp4', 48)


def send(site, session, content, name='a.mp4', **headers):
    return site.client.post(
        session.address('video'),
        content=content,
        headers={'x-file-name': quote(name), **headers},
    )


def folders(site):
    return [path for path in site.sessions.folder.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_a_video_gets_the_scores_that_the_inferencer_gives(
    site, inferencer, talking, wait_for
):
    session = site.sessions.open()
    assert (
        send(site, session, talking.read_bytes(), 'Ü 1.mp4').status_code == 202
    )
    wait_for(lambda: session.stage == 'done')
    told = site.client.get(session.address('prediction.json')).json()
    expected = as_json(inferencer.analyse(talking).prediction)
    assert len(expected['tracks'][0]['clips']) == 3
    assert told['tracks'] == expected['tracks']
    assert told['score'] == expected['score']
    assert told['input'] == 'Ü 1.mp4'
    assert told['detector']['words'] == inferencer.detector['words']


def test_the_timeline_is_a_png_file(site, talking, wait_for):
    session = site.sessions.open()
    send(site, session, talking.read_bytes())
    wait_for(lambda: session.stage == 'done')
    picture = site.client.get(session.address('timeline.png'))
    assert picture.content.startswith(b'\x89PNG')
    assert picture.headers['cache-control'] == 'no-store'


def test_a_file_that_is_said_to_be_too_large_is_refused_unread(site):
    session = site.sessions.open()
    reply = send(site, session, b'x', **{'content-length': '2000001'})
    assert reply.status_code == 422
    assert reply.text == session.message == 'a.mp4: larger than 2 MB'
    assert folders(site) == []


def test_bytes_are_counted_where_no_length_is_said(site):
    session = site.sessions.open()
    reply = send(site, session, (bytes(100_000) for _ in range(21)))
    assert reply.text == 'a.mp4: larger than 2 MB'
    assert folders(site) == []


def test_a_body_without_end_is_cut_off_soon_after_the_limit(server):
    address = urlsplit(server.url)
    page = http.client.HTTPConnection(address.netloc, timeout=30)
    page.request('GET', '/')
    path = re.search(
        r'/session/[\w-]+/video', page.getresponse().read().decode()
    )
    head = f'POST {path[0]} HTTP/1.1\r\nHost: {address.netloc}\r\n'
    chunk = b'10000\r\n' + bytes(0x10000) + b'\r\n'
    sent = 0
    with socket.create_connection((address.hostname, address.port)) as sock:
        sock.settimeout(30)
        sock.sendall(f'{head}Transfer-Encoding: chunked\r\n\r\n'.encode())
        with suppress(ConnectionError):
            while sent < 300e6:
                sock.sendall(chunk)
                sent += len(chunk)
    assert 3e6 < sent < 60e6  # what buffers hold comes on top of 3 MB


def test_a_video_that_is_too_long_is_refused(site, write_video, draw_faces):
    session = site.sessions.open()
    frames = [draw_faces((30, 20, 120))] * 151
    path = write_video(site.sessions.folder.parent / 'long.mp4', frames)
    reply = send(site, session, path.read_bytes(), 'long.mp4')
    assert reply.status_code == 422
    assert reply.text == (
        'long.mp4: 0.1 minutes long; the limit is 0.1 minutes'
    )
    assert session.message == reply.text
    assert folders(site) == []


@pytest.mark.parametrize(
    ('content', 'line'),
    [
        (b'', 'a.mp4: empty: the file has no bytes'),
        (b'no video \0 at all', 'a.mp4: unreadable: not a video'),
        (b'#EXTM3U\nhttp://example.org/a.ts', 'a.mp4: unreadable: a text'),
        (b'\xef\xbb\xbf\n<?xml\0?><MPD>', 'a.mp4: unreadable: a text'),
    ],
)
def test_what_is_no_video_gets_one_line_and_leaves_nothing(
    site, content, line
):
    session = site.sessions.open()
    reply = send(site, session, content)
    assert reply.text.startswith(line)
    assert '\n' not in reply.text
    assert (session.stage, session.message) == ('empty', reply.text)
    assert folders(site) == []


def test_a_name_is_shown_and_never_becomes_a_path(site, talking):
    session = site.sessions.open()
    send(site, session, talking.read_bytes(), '../../..\\evil\n.mp4')
    assert session.upload.name == 'evil.mp4'
    temp = site.sessions.folder.parent
    names = {path.name for path in temp.rglob('*') if path.is_file()}
    assert names <= {'lock', 'video', 'prediction.json', 'timeline.png'}


def test_another_visitor_cannot_fetch_the_files(site, talking, wait_for):
    owner, other = site.sessions.open(), site.sessions.open()
    send(site, owner, talking.read_bytes())
    wait_for(lambda: owner.stage == 'done')
    get = site.client.get
    assert get(owner.address('prediction.json')).status_code == 200
    assert get(other.address('prediction.json')).status_code == 404
    assert get('/session/guess/prediction.json').status_code == 404
    token = owner.token
    for name in ('video', 'lock', '..%2Flock', '%2e%2e/lock', '../../lock'):
        assert get(f'/session/{token}/{name}').status_code == 404


def test_files_of_a_visit_that_ended_are_gone(site, talking, wait_for):
    session = site.sessions.open()
    send(site, session, talking.read_bytes())
    wait_for(lambda: session.stage == 'done')
    site.sessions.close(session)
    assert site.client.get(session.address('timeline.png')).status_code == 404
    assert folders(site) == []


@pytest.mark.parametrize(
    ('headers', 'status'),
    [
        ({}, 404),
        ({'host': 'localhost:7860'}, 404),
        ({'host': '[::1]:7860'}, 404),
        ({'origin': HOME}, 404),
        ({'host': 'rebound.example:7860'}, 403),
        ({'host': '127.0.0.1.example'}, 403),
        ({'origin': 'https://example.org'}, 403),
        ({'origin': 'http://127.0.0.1:8000'}, 403),
        ({'origin': 'null'}, 403),
        ({'origin': 'http://['}, 403),
        ({'host': '['}, 403),
    ],
)
def test_other_sites_are_refused_before_they_reach_a_visit(
    site, headers, status
):
    reply = site.client.get('/session/guess/video.mp4', headers=headers)
    assert reply.status_code == status


def test_other_sites_cannot_open_a_web_socket():
    app = Guard(FastAPI(), hosts=('127.0.0.1',))
    client = TestClient(app, base_url=HOME)
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect('/', headers={'origin': 'http://a.example'}),
    ):
        pass
    assert refused.value.code == 1008


def test_a_server_for_others_answers_under_any_name(inferencer, tmp_path):
    sessions = Sessions(inferencer, Limits(), tmp_path / 'temp')
    app = build_app(sessions, '0.0.0.0')
    with TestClient(app, base_url='http://lab.example') as client:
        assert client.get('/session/x/y').status_code == 404


def test_a_browser_is_told_to_load_from_this_server_alone(site):
    policy = site.client.get('/').headers['content-security-policy']
    rules = dict(rule.split(' ', 1) for rule in policy.split('; '))
    assert rules['default-src'] == "'self'"
    assert 'connect-src' not in rules  # so the default is for it, too
    assert not re.search(r'\*|https?:|wss?:', policy)


def test_a_port_in_use_gets_one_line():
    with (
        listen('127.0.0.1', 0) as taken,
        pytest.raises(ServerError, match='--port'),
    ):
        listen('127.0.0.1', taken.getsockname()[1])


def test_only_this_machine_can_reach_the_server(server):
    process = psutil.Process(server.pid)
    listening = [
        place.laddr.ip
        for place in process.net_connections('inet')
        if place.status == psutil.CONN_LISTEN
    ]
    assert listening == ['127.0.0.1']
    assert 'Warning' not in server.log()


def test_a_wider_host_is_warned_of(start_server, stop):
    wide = start_server('--host=0.0.0.0')
    stop(wide)
    (line,) = [one for one in wide.log().splitlines() if 'Warning' in one]
    assert '0.0.0.0 lets other machines open this page' in line


def ask(server, method, path, body=None):
    """Ask without a browser; return status and body."""
    netloc = urlsplit(server.url).netloc
    connection = http.client.HTTPConnection(netloc, timeout=60)
    connection.request(method, path, body)
    reply = connection.getresponse()
    return reply.status, reply.read()


def upload_and_wait(server, path, wait_for):
    """Upload without a browser; return the prediction."""
    page = ask(server, 'GET', '/')[1].decode()
    address = re.search(r'/session/[\w-]+/', page)[0]
    video = path.read_bytes()
    assert ask(server, 'POST', f'{address}video', video)[0] == 202
    name = f'{address}prediction.json'
    wait_for(lambda: ask(server, 'GET', name)[0] == 200)
    return json.loads(ask(server, 'GET', name)[1])


@pytest.mark.parametrize('by', [signal.SIGINT, signal.SIGTERM])
def test_a_server_connects_to_nothing_and_ends_without_files(
    start_server, stop, talking, wait_for, by
):
    server = start_server()
    told = upload_and_wait(server, talking, wait_for)
    assert told['tracks']
    assert list(server.temp.glob('gml-web-*/*/video'))
    stop(server, by)
    assert list(server.temp.glob('gml-web-*')) == []
    assert server.connections() == "socket.bind ('127.0.0.1', 0)\n"


def connect(server):
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), 30)


def test_half_open_connections_end_and_the_next_visitor_is_served(
    start_server, stop
):
    server = start_server('--max-wait=2')
    silent = [connect(server) for _ in range(200)]
    for sock in silent[::2]:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: 127')
    assert ask(server, 'GET', '/')[0] == 200
    for i, sock in enumerate(silent):
        assert sock.recv(1000)[9:12] == (b'' if i % 2 else b'408')
        sock.close()
    stop(server)
    assert server.log() == ''


@pytest.mark.parametrize('header', ['Host: [', 'Host: a\r\nOrigin: http://['])
def test_headers_that_are_no_address_are_refused(server, header):
    with connect(server) as sock:
        sock.sendall(f'GET / HTTP/1.1\r\n{header}\r\n\r\n'.encode())
        assert sock.recv(1000).startswith(b'HTTP/1.1 403')


def test_so_many_uploads_at_once_are_taken_and_no_more(
    inferencer, talking, tmp_path, wait_for
):
    sessions = Sessions(inferencer, Limits(uploads=1), tmp_path / 'temp')
    leave = threading.Event()
    with TestClient(build_app(sessions), base_url=HOME) as client:
        site = SimpleNamespace(sessions=sessions, client=client)
        first, second = sessions.open(), sessions.open()
        sessions.begin(first, 'a.mp4').analysis = sessions.queue.put(
            lambda progress: leave.wait(30)
        )
        reply = send(site, second, talking.read_bytes(), 'b.mp4')
        assert reply.status_code == 503
        assert reply.text == second.message
        assert reply.text == (
            'b.mp4: not taken: the server is busy with as many videos as it '
            'takes at once (1); try again later'
        )
        assert len(folders(site)) == 1
        leave.set()
        wait_for(lambda: first.stage == 'done')
        reply = send(site, second, talking.read_bytes(), 'b.mp4')
        assert reply.status_code == 202


def test_monsters_are_refused_one_by_one_and_the_page_answers(
    start_server, stop, tmp_path
):
    server = start_server()
    zipped, huge = tmp_path / 'bomb.zip', tmp_path / 'huge.gif'
    with zipfile.ZipFile(zipped, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('0.png', bytes(10**8))
    Image.new('P', (8192, 8192)).save(huge)
    before = psutil.Process(server.pid).memory_info().rss
    lines, peak = [], before

    def upload(path):
        page = ask(server, 'GET', '/')[1].decode()
        address = re.search(r'/session/[\w-]+/video', page)[0]
        lines.append(ask(server, 'POST', address, path.read_bytes()))

    threads = [
        threading.Thread(target=upload, args=(path,))
        for path in (zipped, *[huge] * 6)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert ask(server, 'GET', '/')[0] == 200
        rss = psutil.Process(server.pid).memory_info().rss
        peak = max(peak, rss)
    assert {status for status, _ in lines} == {422}
    texts = sorted(text.decode() for _, text in lines)
    assert sum('more than 36 million pixels' in text for text in texts) == 6
    assert all('\n' not in text for text in texts)
    assert peak - before < 3e8
    stop(server)


def test_an_upload_that_is_broken_off_leaves_a_line_and_no_traceback(
    start_server, stop, wait_for
):
    server = start_server('--max-wait=1')
    page = ask(server, 'GET', '/')[1].decode()
    address = re.search(r'/session/[\w-]+/video', page)[0]
    head = f'POST {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n'
    for wait in (False, True):
        with connect(server) as sock:
            sock.sendall(f'{head}Content-Length: 1000\r\n\r\nabc'.encode())
            wait_for(lambda: list(server.temp.glob('gml-web-*/*/video')))
            assert not wait or sock.recv(1000).startswith(b'HTTP/1.1 408')
        wait_for(lambda: not list(server.temp.glob('gml-web-*/*/video')))
    stop(server)
    assert server.log() == ''


def test_the_page_says_first_what_made_up_training_data_are(
    start_server, stop, talking, wait_for, checkpoint, tmp_path
):
    loaded = torch.load(checkpoint, weights_only=True)
    training = loaded['meta']['provenance']['training']
    training['origin'] = 'made-up videos\x1b[2J of one portrait'
    training['source'] = 'ffpp\u202e\x1b[8m'
    path = tmp_path / 'made\u202e_up.pth'
    torch.save(loaded, path)
    server = start_server(detector=path)
    page = ask(server, 'GET', '/')[1].decode()
    said = page.index(
        r'This detector was trained on made-up videos\\x1b[2J of one portrait.'
    )
    assert said < page.index(r'made\\u202e_up.pth') < page.index('not a proof')
    assert '\x1b' not in page
    assert '\u202e' not in page
    told = upload_and_wait(server, talking, wait_for)
    assert next(iter(told.items())) == (
        *('origin', r'trained on made-up videos\x1b[2J of one portrait'),
    )
    stop(server)


def test_the_page_takes_every_suffix_that_is_read(server):
    page = ask(server, 'GET', '/')[1].decode()
    accepted = re.search(r'video/\*,([.\w,]*)', page)[1].split(',')
    assert set(accepted) == VIDEO_SUFFIXES


def test_an_answer_spells_out_what_a_terminal_obeys(site):
    session = site.sessions.open()
    reply = send(site, session, b'no video \0', 'a\x1b[2J\u202egpj.mp4')
    assert reply.text == session.message
    assert reply.text.isprintable()
