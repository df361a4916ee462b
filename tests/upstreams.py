"""The two feeds that ingest reads, as fakes in memory: they keep what was sent, and fail when told to."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import httpx

Fault = Callable[[], httpx.Response]


class FakeFeed:
    """A broadcast feed; a cursor is the number of lines before it."""

    def __init__(self, match: str = "", page: int = 500) -> None:
        self.lines: list[bytes] = []
        self.has_ended = False
        self.faults: deque[Fault] = deque()  # each answers one request
        self.asked: list[tuple[str, str]] = []  # cursor and If-None-Match of each request
        self.forgets_below = 0
        self._match = match
        self._page = page

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        cursor, known = request.url.params.get("cursor", ""), request.headers.get("If-None-Match", "")
        self.asked.append((cursor, known))
        if self.faults:
            return self.faults.popleft()()
        start = int(cursor or "0")
        if cursor and start < self.forgets_below:
            return httpx.Response(410)
        end = min(start + self._page, len(self.lines))
        headers = {"ETag": f'"{end}"', "Next-Cursor": str(end)}
        if self._match:
            headers["Match"] = self._match
        if self.has_ended and end == len(self.lines):
            headers["Feed-End"] = "true"
        if known == headers["ETag"] and start == end:
            return httpx.Response(304, headers=headers)
        body = b"".join(line + b"\n" for line in self.lines[start:end])
        headers["Content-Length"] = str(len(body))  # httpx leaves it out for an empty body
        return httpx.Response(200, headers=headers, content=body)


class FakeStream:
    """A social stream; an id is the number of events up to it. Connections stay open until they are cut."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.faults: deque[Fault] = deque()  # each answers one request
        self.asked: list[str] = []  # Last-Event-ID of each request
        self._changed = asyncio.Condition()
        self._cuts = 0

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def add(self, lines: list[bytes]) -> None:
        async with self._changed:
            self.lines += lines
            self._changed.notify_all()

    async def cut(self) -> None:
        """End every open connection."""
        async with self._changed:
            self._cuts += 1
            self._changed.notify_all()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        last = request.headers.get("Last-Event-ID", "")
        self.asked.append(last)
        if self.faults:
            return self.faults.popleft()()
        events = self._events(int(last or "0"), self._cuts)
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=events)

    async def _events(self, sent: int, cuts: int) -> AsyncIterator[bytes]:
        yield b": welcome\nretry: 50\n\n"
        while self._cuts == cuts:
            known = len(self.lines)
            for number, line in enumerate(self.lines[sent:known], sent + 1):
                yield b"id: %d\ndata: %b\n\n" % (number, line)
            sent = known
            async with self._changed:
                while self._cuts == cuts and len(self.lines) == known:
                    await self._changed.wait()


def unavailable() -> httpx.Response:
    return httpx.Response(503, headers={"Retry-After": "0"})


def refused() -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def cut_in_the_middle(lines: list[bytes]) -> Fault:
    """An answer that breaks off after some lines."""

    async def body() -> AsyncIterator[bytes]:
        yield b"".join(line + b"\n" for line in lines)
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    return lambda: httpx.Response(200, headers={"Next-Cursor": "999"}, content=body())
