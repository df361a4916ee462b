"""Server-sent events: the social stream, continued from the last event that Kafka has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from ingest import vendors
from ingest.cursor import CursorFile, Place, place_in
from ingest.gather import gathered
from ingest.intake import Intake
from ingest.lines import LineLimiter
from ingest.link import Link, reason_of
from ingest.producer import DeliveryError
from ingest.records import LONGEST_FORWARDED_BYTES
from ingest.stopping import pause
from resilience.backoff import Backoff

SOURCE = "social"
# What is taken at once while the batch before it is on its way to Kafka.
_MOST_AT_ONCE = 500
# After a stream was closed without a fault, unless its field `retry` says otherwise.
_REOPEN_AFTER = timedelta(milliseconds=250)
_REOPEN_BOUNDS = (timedelta(milliseconds=50), timedelta(seconds=30))


class SocialStream:
    """Reads the social stream from a durable event id.

    Delivery: at least once and in order. The id moves after Kafka has
    acknowledged everything up to it; a crash asks for what came after it.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        intake: Intake,
        cursor: CursorFile,
        link: Link,
        backoff: Backoff,
    ) -> None:
        self._client = client
        self._url = url
        self._intake = intake
        self._cursor = cursor
        self._link = link
        self._backoff = backoff
        self._mapper = vendors.mapper("touchline", "")
        self._place = place_in(cursor)
        self._reopen_after = _REOPEN_AFTER

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until told to stop."""
        while not stopping.is_set():
            try:
                await self._read(stopping)
            except DeliveryError:  # Kafka's link says so
                await pause(stopping, self._backoff.next_delay())
            except (httpx.HTTPError, SSEError, OSError) as error:
                self._link.failed(reason_of(error))
                await pause(stopping, self._backoff.next_delay())
            else:  # closed as proxies do now and then, which is no failure
                await pause(stopping, self._reopen_after)

    async def _read(self, stopping: asyncio.Event) -> None:
        """Follow one connection to its end."""
        async with self._client.stream("GET", self._url, headers=self._headers()) as answer:
            answer.raise_for_status()
            self._link.succeeded()
            async with aclosing(gathered(_events(answer), _MOST_AT_ONCE, stopping)) as batches:
                async for batch in batches:
                    await self._take(batch, stopping)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Accept-Encoding": "identity"}
        if self._place.cursor:
            headers["Last-Event-ID"] = self._place.cursor
        return headers

    async def _take(self, batch: list[ServerSentEvent], stopping: asyncio.Event) -> None:
        lines = [event.data.encode("latin-1") for event in batch if event.data]
        hold = await self._intake.take(lines, self._mapper)
        self._link.succeeded()
        self._backoff.reset()
        self._reopen_after = _asked_by(batch) or self._reopen_after
        last = batch[-1].id
        if last and last != self._place.cursor:
            place = Place(last)
            await asyncio.to_thread(self._cursor.save, place)
            self._place = place
        await pause(stopping, hold)


def _asked_by(batch: list[ServerSentEvent]) -> timedelta | None:
    """When the upstream wants its stream opened again, within reason."""
    asked = [event.retry for event in batch if event.retry is not None]
    if not asked:
        return None
    least, most = _REOPEN_BOUNDS
    return max(least, min(most, timedelta(milliseconds=min(asked[-1], 1_000_000))))


async def _events(answer: httpx.Response) -> AsyncIterator[ServerSentEvent]:
    """The events of a stream, their bytes kept as they came, one character each."""
    # The standard decodes as UTF-8 and replaces what is not; a dead letter is to
    # show what really came.
    answer.encoding = "latin-1"
    assert isinstance(answer.stream, httpx.AsyncByteStream)
    answer.stream = _LimitedStream(answer.stream)
    async for event in EventSource(answer).aiter_sse():
        yield event


class _LimitedStream(httpx.AsyncByteStream):
    """A body whose lines are cut to the longest that is forwarded."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream
        self._limiter = LineLimiter(LONGEST_FORWARDED_BYTES, b"\r\n")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield self._limiter.feed(chunk)

    async def aclose(self) -> None:
        await self._stream.aclose()
