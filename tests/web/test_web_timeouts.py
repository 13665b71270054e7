"""Connections that keep the server waiting, against a real uvicorn."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

pytest.importorskip('nicegui')

import uvicorn

from gml_mmaction.web.server import listen
from gml_mmaction.web.timeouts import LEAST, timed_protocol

pytestmark = pytest.mark.slow

WAIT = 0.5  # seconds
GET = b'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
HEADER = b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n'


async def app(scope, receive, send):
    """Read the body; answer, after a while, with as much as is asked for."""
    if scope['type'] != 'http':
        return
    while (message := await receive()).get('more_body'):
        pass
    if message['type'] == 'http.disconnect':
        return
    if scope['path'] == '/slow':
        await asyncio.sleep(4 * WAIT)
    size = 2**25 if scope['path'] == '/large' else 2
    headers = [(b'content-length', b'%d' % size)]
    start = {'type': 'http.response.start', 'status': 200, 'headers': headers}
    await send(start)
    for left in range(size, 0, -(2**16)):
        body = {'body': bytes(min(left, 2**16)), 'more_body': left > 2**16}
        await send({'type': 'http.response.body', **body})


@pytest.fixture(scope='module')
def address():
    config = uvicorn.Config(
        app,
        http=timed_protocol(WAIT),
        loop='asyncio',
        log_level='warning',
        lifespan='off',
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    with listen('127.0.0.1', 0) as sock:
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        yield sock.getsockname()
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def connected(address, *parts):
    """Connect and send; the receiver's buffer is small."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        sock.settimeout(20)
        sock.connect(address)
        for part in parts:
            sock.sendall(part)
        yield sock


def read_on(sock):
    """All that comes until the server ends the connection."""
    received = b''
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(2**20):
            received += data
    return received


@pytest.mark.parametrize(
    ('parts', 'answer'),
    [
        ([], b''),
        ([b'GET / HTTP/1.1\r\nHost: '], b'408'),
        ([HEADER], b'408'),
        ([HEADER, b'half a body'], b'408'),
        ([GET, b'GET / HT'], b'200'),
    ],
    ids=['nothing', 'half a header', 'no body', 'half a body', 'half a next'],
)
def test_a_half_open_connection_ends(address, parts, answer):
    began = time.monotonic()
    with connected(address, *parts) as sock:
        received = read_on(sock)
    assert WAIT * 0.9 < time.monotonic() - began < 4 * WAIT
    assert received.partition(b'\r\n')[0].partition(b' ')[2][:3] == answer
    if answer == b'408':
        assert received.endswith(b'\nNo data came in for 0.5 s.\n')


@pytest.mark.parametrize('start', [b'GET / HTTP/1.1\r\nHost: ', HEADER])
def test_a_request_that_trickles_in_ends(address, start):
    began = time.monotonic()
    with connected(address, start) as sock, contextlib.suppress(OSError):
        while time.monotonic() - began < 20:
            sock.sendall(b'a')
            time.sleep(0.05)
    assert time.monotonic() - began < 6 * WAIT


def test_an_upload_that_is_slow_but_moves_is_taken(address):
    size = 100_000
    with connected(address, HEADER) as sock:
        began = time.monotonic()
        while size:
            piece = min(size, LEAST * 10)
            sock.sendall(bytes(piece))
            size -= piece
            time.sleep(WAIT / 3)
        assert time.monotonic() - began > 2 * WAIT
        assert sock.recv(100).startswith(b'HTTP/1.1 200')


def test_an_answer_that_takes_long_is_waited_for(address):
    slow = GET.replace(b'/ HTTP', b'/slow HTTP')
    with connected(address, slow) as sock:
        assert sock.recv(100).startswith(b'HTTP/1.1 200')


@pytest.mark.parametrize('requests', [1, 3])
def test_an_answer_that_nobody_reads_ends(address, requests, caplog):
    large = GET.replace(b'/ HTTP', b'/large HTTP') * requests
    with connected(address, large) as sock:
        time.sleep(5 * WAIT)
        received = read_on(sock)
    assert 0 < len(received) < 2**25
    assert [r for r in caplog.records if r.exc_info] == []


def test_an_answer_that_is_read_slowly_comes_whole(address):
    large = GET.replace(b'/ HTTP', b'/large HTTP')
    received = 0
    with connected(address, large) as sock:
        began = time.monotonic()
        while data := sock.recv(2**20):
            received += len(data)
            if time.monotonic() - began < 4 * WAIT:
                time.sleep(0.05)
            if received > 2**25:
                break
    assert received > 2**25
