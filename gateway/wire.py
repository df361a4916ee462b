"""Sending to fans through the stock Socket.IO server: encoded once, bounded per fan.

The only module that knows what is inside python-socketio and python-engineio;
what it relies on is pinned in tests/contract/test_socketio_clients.py.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, TypeAlias

import engineio
import socketio
from engineio.exceptions import EngineIOError
from engineio.packet import MESSAGE, Packet
from socketio.packet import EVENT
from socketio.packet import Packet as StockMessage

from gateway import wire_json
from gateway.wire_json import Fragment
from telemetry.log import Log
from telemetry.metrics import counter

NAMESPACE = "/"
Frame: TypeAlias = Packet  # an Engine.IO message, ready to be sent to any number of fans
# What waits for one fan. Payloads are shared between fans, so this bounds how
# far behind one may fall (2 s at 10,000 events/s) rather than memory.
OUTBOX_BYTES = 16 * 1024 * 1024
_LARGEST_REQUEST = 64 * 1024
_PING_SECONDS = 25
_PING_TIMEOUT_SECONDS = 20
_CLOSE_WITHIN_SECONDS = 5.0
_GOODBYE_WITHIN_SECONDS = 1.0

CLIENT_TOO_SLOW = "client.closed_too_slow"
CLIENT_SPOKE_NONSENSE = "client.closed_malformed"

_log = Log("gateway")
_closed = counter("gateway_closed_clients", "Fans disconnected by the gateway, by reason")


class Message(StockMessage):  # type: ignore[misc]
    """A Socket.IO packet whose JSON is orjson's, here only: the stock switch is for the whole process."""

    json = wire_json


class Outbox(asyncio.Queue[Frame | None]):
    """What waits for one fan, counted in characters of payload."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self.waiting = 0

    def _put(self, item: Frame | None) -> None:
        self.waiting += _size(item)
        super()._put(item)

    def _get(self) -> Frame | None:
        item: Frame | None = super()._get()
        self.waiting -= _size(item)
        return item

    def drop_all(self) -> None:
        """Forget what waits."""
        while not self.empty():
            self.get_nowait()
            self.task_done()


def _size(item: Frame | None) -> int:
    return len(item.data) if item is not None and isinstance(item.data, str | bytes) else 0


class _Engine(engineio.AsyncServer):  # type: ignore[misc]
    def create_queue(self, *_arguments: Any, **_options: Any) -> Outbox:
        return Outbox()


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """The stock server, with bounded queues, which closes on who does not speak the protocol."""

    def __init__(self) -> None:
        super().__init__(
            async_mode="asgi",
            serializer=Message,
            cors_allowed_origins="*",  # public data, no cookies: any page may show it
            cors_credentials=False,
            max_http_buffer_size=_LARGEST_REQUEST,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_TIMEOUT_SECONDS,
        )

        self._closing: dict[str, asyncio.Task[None]] = {}

    def _engineio_server_class(self) -> type[_Engine]:
        return _Engine

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        try:
            await super()._handle_eio_message(eio_sid, data)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            _log.info(CLIENT_SPOKE_NONSENSE, client=eio_sid, detail=str(error))
            _closed.add(1, {"reason": "malformed"})
            self.close_connection(eio_sid)

    def is_closing(self, eio_sid: str) -> bool:
        return eio_sid in self._closing

    def close_connection(self, eio_sid: str) -> None:
        """End a connection below Socket.IO, so that stock clients connect again by themselves."""
        if eio_sid not in self._closing:
            self._closing[eio_sid] = asyncio.create_task(self._close(eio_sid))

    async def _close(self, eio_sid: str) -> None:
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_SECONDS):
                await self.eio.disconnect(eio_sid)
        except (TimeoutError, EngineIOError):
            self.eio.sockets.pop(eio_sid, None)
        finally:
            del self._closing[eio_sid]


class Wire:
    """Sends messages to fans by their Socket.IO id."""

    def __init__(self, server: SocketServer) -> None:
        self._server = server

    def encode(self, event: str, payload: Mapping[str, Any] | Fragment) -> Frame:
        """Make a message that can be sent to any number of fans."""
        return Frame(MESSAGE, Message(EVENT, data=[event, payload], namespace=NAMESPACE).encode())

    async def send(self, client: str, frame: Frame) -> bool:
        """Queue a message for a fan, in order; False when the fan is gone or too slow to get it."""
        eio_sid = self._server.manager.eio_sid_from_sid(client, NAMESPACE)
        socket = self._server.eio.sockets.get(eio_sid)
        if socket is None or socket.closed or self._server.is_closing(eio_sid):
            return False
        if socket.queue.waiting + _size(frame) > OUTBOX_BYTES:
            self._close_slow(eio_sid, socket.queue)
            return False
        try:
            await self._server.eio.send_packet(eio_sid, frame)
        except EngineIOError:
            return False
        return True

    def _close_slow(self, eio_sid: str, outbox: Outbox) -> None:
        _log.warning(CLIENT_TOO_SLOW, client=eio_sid, waiting_bytes=outbox.waiting)
        _closed.add(1, {"reason": "too_slow"})
        outbox.drop_all()
        reason = "you read slower than the match goes; connect again and join with `since`"
        outbox.put_nowait(self.encode("closing", {"code": "too_slow", "message": reason}))
        self._server.close_connection(eio_sid)

    async def say_goodbye(self, code: str, message: str) -> None:
        """Tell every fan that the gateway closes, and why; gives them a moment to read it."""
        frame = self.encode("closing", {"code": code, "message": message})
        sockets = [socket for socket in self._server.eio.sockets.values() if not socket.closed]
        for socket in sockets:
            socket.queue.put_nowait(frame)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_WITHIN_SECONDS):
                await asyncio.gather(*[socket.queue.join() for socket in sockets])
