"""The feeds as HTTP answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from local.simulator import served
from local.simulator.feed import Feed

pytestmark = pytest.mark.anyio


def forget(_: Sequence[int]) -> None: ...


def a_feed(items: int) -> Feed[int]:
    feed: Feed[int] = Feed("abc", forget)
    feed.begin(0)
    feed.release([(b'{"n":%d}' % number, number) for number in range(items)])
    return feed


@asynccontextmanager
async def asking(feed: Feed[int]) -> AsyncIterator[httpx.AsyncClient]:
    routes = served.broadcast(feed, {"Match": "m-1"}), served.social(feed, asyncio.Event())
    application: Any = served.application(*routes)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:
        yield client


async def test_a_page_is_ndjson_with_the_place_behind_it() -> None:
    async with asking(a_feed(3)) as client:
        answer = await client.get("/broadcast", params={"limit": 2})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        assert answer.content == b'{"n":0}\n{"n":1}\n'
        assert answer.headers["Match"] == "m-1"
        rest = await client.get("/broadcast", params={"cursor": answer.headers["Next-Cursor"]})
        assert rest.content == b'{"n":2}\n'


async def test_nothing_new_is_304_for_who_has_the_tag() -> None:
    feed = a_feed(1)
    async with asking(feed) as client:
        cursor = (await client.get("/broadcast")).headers["Next-Cursor"]
        empty = await client.get("/broadcast", params={"cursor": cursor})
        assert (empty.status_code, empty.content) == (200, b"")
        tag = {"If-None-Match": empty.headers["ETag"]}
        again = await client.get("/broadcast", params={"cursor": cursor}, headers=tag)
        assert again.status_code == 304
        feed.release([(b'{"n":1}', 1)])
        more = await client.get("/broadcast", params={"cursor": cursor}, headers=tag)
        assert (more.status_code, more.content) == (200, b'{"n":1}\n')


async def test_the_end_is_said_with_the_last_item_and_with_304() -> None:
    feed = a_feed(2)
    feed.finish(is_end=True)
    async with asking(feed) as client:
        first = await client.get("/broadcast", params={"limit": 1})
        assert "Feed-End" not in first.headers
        last = await client.get("/broadcast", params={"cursor": first.headers["Next-Cursor"]})
        assert last.headers["Feed-End"] == "true"
        end = {"cursor": last.headers["Next-Cursor"]}
        tag = {"If-None-Match": (await client.get("/broadcast", params=end)).headers["ETag"]}
        unchanged = await client.get("/broadcast", params=end, headers=tag)
        assert (unchanged.status_code, unchanged.headers["Feed-End"]) == (304, "true")


async def test_a_cursor_of_another_run_is_gone() -> None:
    async with asking(a_feed(2)) as client:
        assert (await client.get("/broadcast", params={"cursor": "def-0-1"})).status_code == 410


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1000000"])
async def test_a_limit_out_of_range_is_refused(limit: str) -> None:
    async with asking(a_feed(2)) as client:
        assert (await client.get("/broadcast", params={"limit": limit})).status_code == 400


async def events_after(feed: Feed[int], last_event_id: str) -> list[str]:
    """The stream of a day that is over and not yet taken: it ends by itself."""
    async with asking(feed) as client:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        answer = await client.get("/social", headers=headers)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        return [block for block in answer.text.split("\n\n") if block.startswith("id: ")]


async def test_the_stream_goes_on_after_the_last_event_that_a_reader_has() -> None:
    feed = a_feed(3)
    feed.finish(is_end=False)
    everything = await events_after(feed, "")
    assert everything == [f'id: abc-0-{number + 1}\ndata: {{"n":{number}}}' for number in range(3)]
    assert await events_after(feed, "abc-0-2") == everything[2:]
    assert feed.taken == 2


async def test_the_stream_of_another_run_starts_over() -> None:
    """The protocol knows no 410; a gap would be worse than repeats."""
    feed = a_feed(2)
    feed.finish(is_end=False)
    assert len(await events_after(feed, "def-0-2")) == 2
