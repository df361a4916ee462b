"""The two feeds over HTTP: the broadcaster's, to poll, and the social one, a stream of events."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import uvicorn
from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from litestar.response import Stream

from local.simulator.feed import Feed, ForeignCursorError, Page

_PAGE = 500
# A stream is closed now and then, as proxies do: the reader comes back with the
# id of the last event it has, which is how we learn what was taken.
_STREAM_SECONDS = 15.0
_KEEP_ALIVE_SECONDS = 5.0
_RETRY_MILLISECONDS = 250


class QuietServer(uvicorn.Server):
    """Leaves signals to its program: they stop all of it, not the server alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


Limit = Annotated[int, QueryParameter(ge=1, le=10_000)]
Cursor = Annotated[str, QueryParameter()]


def broadcast(feed: Feed[Any], headers: dict[str, str] | None = None) -> HTTPRouteHandler:
    """`GET /broadcast?cursor=&limit=`: NDJSON with `Next-Cursor`, `ETag`, 304, 410 for a foreign cursor.

    `headers` are added to each answer: a vendor's feed names its match there.
    """

    @get("/broadcast")
    async def page_of_broadcast(
        request: Request[Any, Any, Any], cursor: Cursor = "", limit: Limit = _PAGE
    ) -> Response[bytes]:
        page = _asked(feed, cursor, limit)
        # Of this answer at this cursor: a longer one is another.
        tag = f'"{page.cursor}+{len(page.payloads)}"'
        said = {**(headers or {}), "ETag": tag, "Next-Cursor": page.cursor}
        if page.is_last:
            said["Feed-End"] = "true"
        if not page.payloads and request.headers.get("if-none-match") == tag:
            return Response(b"", status_code=304, headers=said)
        body = b"".join(payload + b"\n" for payload in page.payloads)
        return Response(body, media_type="application/x-ndjson", headers=said)

    return page_of_broadcast


def social(feed: Feed[Any], closing: asyncio.Event) -> HTTPRouteHandler:
    """`GET /social`: server-sent events, continued after `Last-Event-ID`."""

    @get("/social")
    async def stream_of_social(request: Request[Any, Any, Any]) -> Stream:
        try:
            page = feed.ask(request.headers.get("last-event-id", ""), 0)
        except ForeignCursorError:
            page = feed.ask("", 0)  # the protocol has no word for it; another run starts over
        return Stream(_events(feed, page, closing), media_type="text/event-stream")

    return stream_of_social


def ready() -> HTTPRouteHandler:
    """`GET /health/ready`: 200 as soon as it is served."""

    @get("/health/ready")
    async def is_ready() -> dict[str, bool]:
        return {"ready": True}

    return is_ready


def application(*routes: HTTPRouteHandler) -> Litestar:
    return Litestar(list(routes), openapi_config=None, logging_config=None)


def _asked(feed: Feed[Any], cursor: str, limit: int) -> Page:
    try:
        return feed.ask(cursor, limit)
    except ForeignCursorError as error:
        raise HTTPException(status_code=410, detail=str(error)) from error


async def _events(feed: Feed[Any], page: Page, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Events until the connection has lived long enough, or the day is over and was sent."""
    clock = asyncio.get_running_loop().time
    closes_at = clock() + _STREAM_SECONDS
    day, index = feed.day, page.follows
    yield b"retry: %d\n\n" % _RETRY_MILLISECONDS
    while not closing.is_set() and clock() < closes_at:
        if feed.day != day:
            day, index = feed.day, 0
        page = feed.peek(index, _PAGE)
        if page.payloads:
            yield b"".join(
                b"id: %s\ndata: %s\n\n" % (feed.cursor_of(index + number).encode(), payload)
                for number, payload in enumerate(page.payloads, 1)
            )
            index = page.follows
        elif feed.is_day_over and not feed.is_taken:
            return
        elif not await feed.news(min(_KEEP_ALIVE_SECONDS, closes_at - clock())):
            yield b": still here\n\n"
