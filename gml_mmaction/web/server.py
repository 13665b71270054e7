"""The server: uploads, downloads and the page, on one machine.

    POST /session/TOKEN/video     the bytes of a video, the body as it is
    GET  /session/TOKEN/NAME      a file that was made of it
    GET  /                        the page, see :mod:`~gml_mmaction.web.page`

The body is written to the visitor's folder as it comes in and counted: a
declared length is believed only where it is too large already.
"""

import asyncio
import socket
import sys
import warnings
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from gml_mmaction.errors import GMLError
from gml_mmaction.io.text import printable, say
from gml_mmaction.video import VideoError
from gml_mmaction.video.limits import check_limits

from .guard import LOOPBACK, Guard
from .page import mount
from .sessions import Limits, Session, Sessions, Upload, UploadError
from .timeouts import timed_protocol

__all__ = ['ServerError', 'build_app', 'listen', 'serve']

GRACE = 2  # seconds that open connections have when the server ends


class ServerError(GMLError):
    """The server cannot start; the message says why."""


def serve(
    inferencer: Any,
    *,
    host: str = '127.0.0.1',
    port: int = 7860,
    limits: Limits | None = None,
    browser: bool = False,
) -> None:
    """Serve the page until the process is asked to end.

    Args:
        inferencer: A ``ForgeryInferencer``.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        limits: Of what may be uploaded; the usual ones if not given.
        browser: Open the page in the system's browser.

    Raises:
        ServerError: The address cannot be listened on.
        SettingError: A limit in the environment is not a number.
    """
    check_limits()
    # NiceGUI looks through all live objects, PyTorch's deprecated ones, too
    warnings.filterwarnings('ignore', category=FutureWarning, module='nicegui')
    with listen(host, port) as sock:
        if host not in LOOPBACK:
            say(
                f'Warning: {host} lets other machines open this page; '
                'their users can upload videos to this one.',
                file=sys.stderr,
            )
        sessions = Sessions(inferencer, limits or Limits())
        url = _url(host, sock.getsockname()[1])

        def started() -> None:
            say(f'{url}  (Ctrl+C ends the server)')
            if browser:
                webbrowser.open(url)

        app = build_app(sessions, host, started=started)
        mount(app, sessions)
        config = uvicorn.Config(
            app,
            http=timed_protocol(sessions.limits.wait_seconds),
            loop='asyncio',  # uvloop raises where a visitor has gone
            log_level='warning',
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        with suppress(KeyboardInterrupt):  # raised anew when all is closed
            uvicorn.Server(config).run(sockets=[sock])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ServerError: The address is in use or not this machine's.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ServerError(
            f'{host}, port {port}: {error}. Remedy: others, by --host and '
            '--port'
        ) from None


def _url(host: str, port: int) -> str:
    return (
        f'http://[{host}]:{port}/' if ':' in host else f'http://{host}:{port}/'
    )


def build_app(
    sessions: Sessions,
    host: str = '127.0.0.1',
    *,
    started: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Build the application without its page.

    Args:
        sessions: Shut down with the application.
        host: Address that it listens on. On loopback it answers to the
            loopback's names only.
        started: Called when the server listens.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(sessions))
        started()
        yield
        sweeping.cancel()
        await run_in_threadpool(sessions.shut_down)

    app = FastAPI(
        lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    looking = asyncio.Lock()  # at one video at a time: it takes memory
    app.add_middleware(Guard, hosts=LOOPBACK if host in LOOPBACK else None)

    @app.post('/session/{token}/video')
    async def receive(token: str, request: Request) -> Response:
        return await _receive(
            sessions, _find(sessions, token), request, looking
        )

    @app.get('/session/{token}/{name}')
    async def download(token: str, name: str) -> FileResponse:
        upload = _find(sessions, token).upload
        path = upload.files.get(name) if upload is not None else None
        if path is None or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers={'cache-control': 'no-store'})

    return app


async def _sweep(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(min(60, 15 * sessions.limits.keep_minutes))
        await run_in_threadpool(sessions.sweep)


def _find(sessions: Sessions, token: str) -> Session:
    session = sessions.find(token)
    if session is None:
        raise HTTPException(404)
    return session


async def _receive(
    sessions: Sessions,
    session: Session,
    request: Request,
    looking: asyncio.Lock,
) -> Response:
    """Take a video in and put it into the queue, or say what is wrong."""
    name = _shown_name(request.headers.get('x-file-name', ''))
    try:
        upload = sessions.begin(session, name)
    except UploadError as error:
        session.message = _one_line(name, error)
        return _refusal(session.message, 503)
    try:
        await _store(request, upload, sessions.limits)
        async with looking:
            await run_in_threadpool(sessions.limits.check_length, upload.video)
    except ClientDisconnect:
        line = f'{name}: the upload was cut off, or came too slowly'
        session.drop(line, upload)
        return _refusal(line, 400)
    except (UploadError, VideoError, OSError) as error:
        line = _one_line(name, error)
        session.drop(line, upload)
        return _refusal(line, 422)
    if session.upload is upload:
        sessions.analyse(upload)
    return PlainTextResponse('received', 202)


def _refusal(line: str, status: int) -> Response:
    return PlainTextResponse(line, status, headers={'connection': 'close'})


async def _store(request: Request, upload: Upload, limits: Limits) -> None:
    """Write the body to the upload's file.

    Raises:
        UploadError: The file is too large.
        ClientDisconnect: The visitor has gone.
        OSError: The disk is full.
    """
    declared = request.headers.get('content-length', '')
    total = int(declared) if declared.isdecimal() else 0
    limits.check_size(total)
    received = 0
    with upload.video.open('wb') as file:
        async for chunk in request.stream():
            received += len(chunk)
            limits.check_size(received)
            file.write(chunk)
            upload.received = (received, total)


def _shown_name(header: str) -> str:
    """Return the visitor's name of the file, for display, one short line."""
    name = unquote(header).replace('\\', '/').rsplit('/')[-1]
    name = ''.join(char for char in name if char.isprintable()).strip()
    return name[:100] or 'video'


def _one_line(name: str, error: Exception) -> str:
    if isinstance(error, OSError):
        return f'{name}: cannot be stored ({error.strerror or error})'
    return printable(f'{name}: {error}')
