"""End connections that keep the server waiting; uvicorn waits without end.

Otherwise two hundred visitors who connect and send nothing would hold two
hundred connections, and those who read an answer byte by byte would hold its
memory.
"""

import socket
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ['timed_protocol']

SEND_BUFFER = 2**16
LEAST = 1000  # bytes a second of an upload, or of an answer that is read


def timed_protocol(seconds: float) -> type:
    """Return uvicorn's protocol of HTTP, with a limit to its patience.

    It ends a connection whose request has no whole header after ``seconds``
    (twice as long after an earlier answer), and one that sends a body or
    reads an answer at less than ``LEAST`` bytes a second for that time. The
    server's own time does not count, nor does a web socket, which uvicorn
    pings.
    """
    return type('TimedProtocol', (_TimedProtocol,), {'seconds': seconds})


# the base is one of two classes, by what is installed
class _TimedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Looks every ``seconds`` whether the other side has done its part."""

    seconds: float
    _timer: TimerHandle
    _waited_for: tuple = ('header', None)  # at the last look
    _received = 0
    _moved = False  # an answer that was stuck was read on
    _unread = 0  # bytes of an answer that are left

    def connection_made(self, transport: Transport) -> None:
        super().connection_made(transport)
        # with megabytes between, it would not be seen how an answer is read
        transport.get_extra_info('socket').setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER
        )
        self._timer = self.loop.call_later(self.seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._timer.cancel()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        self._moved = True
        super().resume_writing()

    def _look(self) -> None:
        """End the connection if nothing has come of the wait since last."""
        left = self.transport.get_write_buffer_size()
        waits_for = self._waits_for(left)
        part, _ = waits_for
        least = LEAST * self.seconds
        enough = {
            'header': False,
            'body': self._received >= least,
            'reader': self._moved or self._unread - left >= least,
            'nothing': True,
        }
        if waits_for == self._waited_for and not enough[part]:
            self._end(part)
            return
        self._waited_for, self._unread = waits_for, left
        self._received, self._moved = 0, False
        self._timer = self.loop.call_later(self.seconds, self._look)

    def _waits_for(self, left: int) -> tuple[str, Any]:
        """What the server waits for, and in which request."""
        cycle = self.cycle
        complete = cycle is None or cycle.response_complete
        if self.flow.write_paused or (complete and left):
            return 'reader', cycle
        if complete:
            return 'header', cycle
        if cycle.more_body and not self.flow.read_paused:
            return 'body', cycle
        return 'nothing', cycle

    def _end(self, part: str) -> None:
        cycle = self.cycle
        begun = part == 'header' and self._received
        if begun or (part == 'body' and not cycle.response_started):
            self._say_why()
        if cycle is not None:
            cycle.disconnected = True  # else it would write on
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _say_why(self) -> None:
        line = f'No data came in for {self.seconds:g} s.\n'
        self.transport.write(
            b'HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n'
            b'content-type: text/plain; charset=utf-8\r\n'
            b'content-length: %d\r\n\r\n' % len(line) + line.encode()
        )
