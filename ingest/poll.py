"""HTTP poll: the broadcast feed, asked again and again for what comes after a cursor."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import httpx
from msgspec.structs import replace

from ingest import vendors
from ingest.cursor import CursorFile, Place, place_in
from ingest.intake import Intake
from ingest.lines import LineSplitter
from ingest.link import Link, reason_of
from ingest.producer import DeliveryError
from ingest.publications import Publications, Published
from ingest.records import LONGEST_FORWARDED_BYTES
from ingest.stopping import pause
from resilience.backoff import Backoff
from telemetry.log import Log

SOURCE = "broadcast"
CURSOR_FORGOTTEN = "cursor.forgotten"
CURSOR_WITHOUT_VERSIONS = "cursor.without_versions"
FEED_ENDED = "feed.ended"

PAGE_RECORDS = 500
# Lines are handed on in parts of about this size, so that a page of huge lines
# does not have to fit into memory.
_PART_BYTES = 1024 * 1024
_MAPPERS_KEPT = 256


class FeedAnswerError(RuntimeError):
    """The feed answered with something that cannot be used; asking again later may help."""


class Page(NamedTuple):
    """What one request brought."""

    lines: int
    has_moved: bool  # the cursor stands behind it now
    is_end: bool  # the feed says that nothing will come after it
    hold: timedelta = timedelta(0)  # how long the rate limit asks to wait

    @property
    def leaves_nothing(self) -> bool:
        """Whether the feed has ended and knows that we have everything: asking with a cursor tells it."""
        return self.is_end and not self.has_moved


class BroadcastPoll:
    """Reads the broadcast feed from a durable cursor.

    Delivery: at least once and in order. The cursor moves after Kafka has
    acknowledged everything before it; a crash asks for the same page again.
    What was published moves with the cursor, in one file, so that page then
    becomes the same records.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        vendor: str,
        intake: Intake,
        cursor: CursorFile,
        link: Link,
        backoff: Backoff,
        interval: timedelta,
    ) -> None:
        self._client = client
        self._url = httpx.URL(url)
        self._vendor = vendor
        self._intake = intake
        self._cursor = cursor
        self._link = link
        self._backoff = backoff
        self._interval = interval
        self._mappers: dict[str, vendors.Mapper] = {}
        self._log = Log("ingest")
        self._place = place_in(cursor)
        if vendor != vendors.OURS and self._place.cursor and self._place.published is None:
            self._place = self._former_place()
        self._publications = Publications(self._place.published)

    async def run(self, stopping: asyncio.Event, until_end: bool = False) -> None:
        """Poll until told to stop; with `until_end`, until everything is taken and the feed has ended."""
        ends = False
        while not stopping.is_set():
            try:
                page = await self._take_page()
            except DeliveryError:  # Kafka's link says so
                await pause(stopping, self._backoff.next_delay())
                continue
            except (httpx.HTTPError, FeedAnswerError, OSError) as error:
                if until_end and ends:
                    break  # it had nothing more to say, and did not wait for our last word
                self._link.failed(reason_of(error))
                await pause(stopping, max(self._backoff.next_delay(), _retry_after(error)))
                continue
            self._link.succeeded()
            self._backoff.reset()
            ends = page.is_end
            if until_end and page.leaves_nothing:
                break
            more = page.has_moved and (page.is_end or page.lines >= PAGE_RECORDS)
            await pause(stopping, page.hold if more else max(page.hold, self._interval))
        if until_end and ends:
            self._log.info(FEED_ENDED, cursor=self._place.cursor)

    def _former_place(self) -> Place:
        """The beginning, for a cursor of a code that kept no versions.

        Read again, first words become the records that the log has, and the
        corrections among them win.
        """
        self._log.warning(CURSOR_WITHOUT_VERSIONS, cursor=self._place.cursor)
        return Place(published=Published(began_hashed=True))

    async def _take_page(self) -> Page:
        self._publications.roll_back()  # of a page that was not taken to its end
        async with self._client.stream("GET", self._asked(), headers=self._conditions()) as answer:
            is_end = answer.headers.get("Feed-End", "").lower() == "true"
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                return Page(0, has_moved=False, is_end=is_end)
            if answer.status_code == httpx.codes.GONE and self._place.cursor:
                return self._begin_again()
            answer.raise_for_status()
            lines, hold = await self._take_lines(answer)
        cursor = answer.headers.get("Next-Cursor", self._place.cursor)
        has_moved = await self._move_to(cursor, answer.headers.get("ETag", ""))
        return Page(lines, has_moved, is_end, hold)

    def _begin_again(self) -> Page:
        """The feed no longer knows our cursor: repeats are dropped by the log, a gap would stay."""
        self._log.warning(CURSOR_FORGOTTEN, cursor=self._place.cursor)
        self._place = Place()
        return Page(0, has_moved=True, is_end=False)

    def _asked(self) -> httpx.URL:
        wanted = {"limit": str(PAGE_RECORDS)}
        if self._place.cursor:
            wanted["cursor"] = self._place.cursor
        return self._url.copy_merge_params(wanted)

    def _conditions(self) -> dict[str, str]:
        return {"If-None-Match": self._place.etag} if self._place.etag else {}

    async def _take_lines(self, answer: httpx.Response) -> tuple[int, timedelta]:
        _must_show_its_end(answer)
        match = answer.headers.get("Match", "")
        taken, hold = 0, timedelta(0)
        async for lines in _parts(answer):
            hold = await self._intake.take(lines, await self._mapper(match))
            taken += len(lines)
        return taken, hold

    async def _move_to(self, cursor: str, etag: str) -> bool:
        """Stand behind a page; return whether that is another place."""
        has_moved = cursor != self._place.cursor
        # The tag belongs to the answer at one cursor; behind the next one there
        # may be more, whatever the feed as a whole looks like.
        place = replace(self._place, cursor=cursor, etag="" if has_moved else etag)
        if has_moved or self._publications.has_news:
            if self._vendor != vendors.OURS:
                place = replace(place, published=self._publications.saved())
            await asyncio.to_thread(self._cursor.save, place)
        self._publications.settle()
        self._place = place
        return has_moved

    async def _mapper(self, match: str) -> vendors.Mapper:
        """The mapper of a match, which may remember what it saw of it."""
        mapper = self._mappers.get(match)
        if mapper is None:
            mapper = vendors.mapper(self._vendor, match, self._publications)
            if self._vendor != vendors.OURS:
                await self._show_opening(mapper, match)
            while len(self._mappers) >= _MAPPERS_KEPT:
                del self._mappers[next(iter(self._mappers))]
            self._mappers[match] = mapper
        return mapper

    async def _show_opening(self, mapper: vendors.Mapper, match: str) -> None:
        """Let a new mapper see how the feed begins, where vendors put what later lines rest on.

        Without this a restart in mid-match, or disorder at the start, would map
        the same line to another record. Asking without a cursor confirms nothing.
        """
        if not match:
            raise FeedAnswerError("the answer has no header Match, and the lines of this format name none")
        opening = self._url.copy_merge_params({"limit": str(PAGE_RECORDS)})
        async with self._client.stream("GET", opening) as answer:
            answer.raise_for_status()
            if answer.headers.get("Match") == match:
                async for lines in _parts(answer):
                    self._intake.show(lines, mapper)
                self._publications.roll_back()  # shown, not published


async def _parts(answer: httpx.Response) -> AsyncIterator[list[bytes]]:
    """The lines of an answer, in parts of bounded size."""
    splitter = LineSplitter(LONGEST_FORWARDED_BYTES)
    lines: list[bytes] = []
    size = 0
    async for chunk in answer.aiter_bytes():
        complete = splitter.feed(chunk)
        lines += complete
        size += sum(map(len, complete))
        if size >= _PART_BYTES:
            yield lines
            lines, size = [], 0
    lines += splitter.rest()
    if lines:
        yield lines


def _must_show_its_end(answer: httpx.Response) -> None:
    """Without a length or chunks, an answer that was cut looks complete, and the cursor would jump."""
    if "Content-Length" not in answer.headers and "Transfer-Encoding" not in answer.headers:
        raise FeedAnswerError("the answer has neither Content-Length nor chunks")


def _retry_after(error: Exception) -> timedelta:
    """What the feed asks for, in seconds, up to a minute."""
    if isinstance(error, httpx.HTTPStatusError):
        asked = error.response.headers.get("Retry-After", "")
        if asked.isdecimal():
            return timedelta(seconds=min(int(asked[:4]), 60))
    return timedelta(0)
