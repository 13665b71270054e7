"""Checks of every request: who may ask, and what a page may load.

A server on the loopback interface can still be reached by other web sites:
through the visitor's own browser. They are refused by the headers Origin
(another site's script) and Host (another site's name that was made to point
here, DNS rebinding). And the policy that is sent along lets the browser load
nothing from, and send nothing to, any host but this one.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ['LOOPBACK', 'Guard']

LOOPBACK = ('127.0.0.1', 'localhost', '::1')
# NiceGUI compiles its templates in the browser, hence 'unsafe-eval'.
POLICY = '; '.join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    'content-security-policy': POLICY,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
}


class Guard:
    """Middleware that refuses foreign requests and sends the policy.

    Args:
        app: The application.
        hosts: Names under which the server may be called, without ports;
            None for any.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] | None) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope['type'] not in ('http', 'websocket'):
            await self.app(scope, receive, send)
        elif self._is_foreign(Headers(scope=scope)):
            await _refuse(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send))

    def _is_foreign(self, headers: Headers) -> bool:
        host = headers.get('host', '')
        origin = headers.get('origin')
        try:
            if origin is not None and urlsplit(origin).netloc != host:
                return True
            name = urlsplit(f'//{host}').hostname
        except ValueError:  # brackets that do not close, and the like
            return True
        return self.hosts is not None and name not in self.hosts


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope['type'] == 'websocket':
        await send({'type': 'websocket.close', 'code': 1008})
        return
    text = 'This server answers its own page under its own name only.\n'
    await PlainTextResponse(text, 403)(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def send_more(message: Message) -> None:
        if message['type'] == 'http.response.start':
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return send_more
