"""The Socket.IO events: each ask is checked, carried out and answered by an ack."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from gateway.asks import (
    UNKNOWN_EVENT,
    Ask,
    Backfill,
    Join,
    Leave,
    Ping,
    RefusedError,
    read,
)
from gateway.resume import Resume
from gateway.wire import SocketServer
from gateway.wire_json import Fragment
from resilience.rate_limit import NO_WAIT, TokenBucket

Answer = dict[str, Any] | Fragment

# A fan asks a few times a minute; a page that joins a whole match day at once fits the burst.
_ASKS_A_SECOND = 20.0
_ASKS_AT_ONCE = 200.0
TOO_MANY_ASKS = "too_many_asks"


class FanServer:
    """Puts the asks of stock Socket.IO clients to the gateway."""

    def __init__(
        self,
        sockets: SocketServer,
        resume: Resume,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        """`now` is what a pong says, `clock` counts seconds for the limit of asks."""
        self._resume = resume
        self._now = now
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        sockets.on("connect", self._connect)
        sockets.on("disconnect", self._disconnect)
        sockets.on("join", self._join)
        sockets.on("leave", self._leave)
        sockets.on("backfill", self._backfill)
        sockets.on("ping", self._ping)
        sockets.on("*", self._unknown)

    async def _connect(self, client: str, _environ: object, _auth: object = None) -> None:
        self._buckets[client] = TokenBucket(_ASKS_A_SECOND, _ASKS_AT_ONCE, self._clock)
        self._resume.connect(client)

    async def _disconnect(self, client: str, _reason: object = None) -> None:
        self._buckets.pop(client, None)
        self._resume.disconnect(client)

    async def _join(self, client: str, *arguments: object) -> Answer:
        async def join(ask: Join) -> Answer:
            return await self._resume.join(client, ask)

        return await self._answer(client, Join, arguments, join)

    async def _leave(self, client: str, *arguments: object) -> Answer:
        async def leave(ask: Leave) -> Answer:
            self._resume.leave(client, ask.match)
            return {"match": ask.match}

        return await self._answer(client, Leave, arguments, leave)

    async def _backfill(self, client: str, *arguments: object) -> Answer:
        return await self._answer(client, Backfill, arguments, self._resume.backfill)

    async def _ping(self, client: str, *arguments: object) -> Answer:
        async def pong(ask: Ping) -> Answer:
            return {"t": ask.t, "at": self._now()}

        return await self._answer(client, Ping, arguments, pong)

    async def _unknown(self, event: str, _client: str, *_arguments: object) -> Answer:
        known = "join, leave, backfill and ping"
        return RefusedError(UNKNOWN_EVENT, f"no event {event[:64]!r}; there are {known}").as_answer()

    async def _answer(
        self,
        client: str,
        kind: type[Ask],
        arguments: tuple[object, ...],
        carry_out: Callable[[Ask], Awaitable[Answer]],
    ) -> Answer:
        try:
            bucket = self._buckets.get(client)
            if bucket is not None and (wait := bucket.try_take(1)) > NO_WAIT:
                raise RefusedError(TOO_MANY_ASKS, f"ask again in {wait.total_seconds():.1f} s")
            return await carry_out(read(kind, arguments))
        except RefusedError as refusal:
            return refusal.as_answer()
